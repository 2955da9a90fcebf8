/** The machine and the moment of a checkpoint: what a restart compares itself with. */
import { hostname } from "node:os";
import type { ImageMetadata } from "../image/mod.ts";
import { toWord } from "../base/words.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { addressOf } from "../kernel/memory-ffi.ts";
import { readSystemFacts } from "../kernel/procfs/mod.ts";
import { systemCall } from "../kernel/syscall-ffi.ts";

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
const CLOCK_BOOTTIME = 7;
const NS_PER_SECOND = 1_000_000_000n;

/** Offset of the features that are switched on (XCR0) in an xsave area as ptrace gives it. */
const FEATURES_AT = 464;

/** `extended`: any thread's xsave area, which tells what the processor has. */
export function describeHost(extended: Buffer): ImageMetadata["host"] {
  const facts = readSystemFacts();
  return {
    kernelRelease: facts.kernelRelease,
    hostName: hostname(),
    machine: process.arch === "x64" ? "x86_64" : process.arch,
    bootId: facts.bootId,
    processor: facts.processorModel,
    processorFlags: [...facts.processorFlags],
    extendedFeatures: toWord(extended.length >= FEATURES_AT + 8 ? extended.readBigUInt64LE(FEATURES_AT) : 0n),
    extendedSizeBytes: extended.length,
  };
}

export function describeClocks(): ImageMetadata["clocks"] {
  const now = (clock: number): string => {
    const time = Buffer.alloc(64);
    systemCall(SYSCALLS.clock_gettime, clock, addressOf(time));
    return (time.readBigInt64LE(0) * NS_PER_SECOND + time.readBigInt64LE(8)).toString();
  };
  return { realtimeNs: now(CLOCK_REALTIME), monotonicNs: now(CLOCK_MONOTONIC), boottimeNs: now(CLOCK_BOOTTIME) };
}

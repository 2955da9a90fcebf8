/** The machine and the moment of a checkpoint: what a restart compares itself with. */
import { hostname } from "node:os";
import type { ImageMetadata } from "../image/mod.ts";
import type { Pid } from "../base/ids.ts";
import { toWord } from "../base/words.ts";
import { readSystemClocks } from "../kernel/clocks.ts";
import { readSystemFacts, readTimeOffsets } from "../kernel/procfs/mod.ts";

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

/** As the process reads them, which may be in a time namespace. */
export function describeClocks(pid: Pid | "self"): ImageMetadata["clocks"] {
  const { realtimeNs, monotonicNs, boottimeNs } = readSystemClocks();
  const offsets = readTimeOffsets(pid);
  return {
    realtimeNs: realtimeNs.toString(),
    monotonicNs: (monotonicNs + (offsets?.monotonicNs ?? 0n)).toString(),
    boottimeNs: (boottimeNs + (offsets?.boottimeNs ?? 0n)).toString(),
  };
}

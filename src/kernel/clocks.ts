/** The system's clocks, as a process reads them that is in no time namespace of its own. */
import { CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME } from "./abi/constants.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { addressOf } from "./memory-ffi.ts";
import { readTimeOffsets } from "./procfs/mod.ts";
import { systemCall } from "./syscall-ffi.ts";

const NS_PER_SECOND = 1_000_000_000n;

/** Nanoseconds: since 1970, since the system started without the time it slept, and with it. */
export interface Clocks {
  readonly realtimeNs: bigint;
  readonly monotonicNs: bigint;
  readonly boottimeNs: bigint;
}

/** Whatever time namespace this process itself is in. */
export function readSystemClocks(): Clocks {
  const own = readTimeOffsets("self");
  return {
    realtimeNs: read(CLOCK_REALTIME),
    monotonicNs: read(CLOCK_MONOTONIC) - (own?.monotonicNs ?? 0n),
    boottimeNs: read(CLOCK_BOOTTIME) - (own?.boottimeNs ?? 0n),
  };
}

function read(clock: number): bigint {
  const time = Buffer.alloc(64);
  systemCall(SYSCALLS.clock_gettime, clock, addressOf(time));
  return time.readBigInt64LE(0) * NS_PER_SECOND + time.readBigInt64LE(8);
}

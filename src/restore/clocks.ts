/**
 * The job's own monotonic clocks: in a time namespace they go on from where they were at the checkpoint, so that what was to happen in an
 * hour does, after a week in the store as after a boot of the machine, which sets the system's clocks back to nothing.
 */
import { writeFileSync } from "node:fs";
import { SyscallError } from "../base/errors.ts";
import { formatDuration } from "../base/duration.ts";
import type { ImageMetadata } from "../image/mod.ts";
import { CLONE_NEWTIME } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { readSystemClocks } from "../kernel/clocks.ts";
import { formatTimeOffsets } from "../kernel/procfs/mod.ts";
import { call } from "../tracee/puppet.ts";
import type { Puppet } from "../tracee/puppet.ts";

/** Less than this between checkpoint and restart no program can complain of: it may have to wait as long for the processor. */
const NEGLIGIBLE_NS = 1_000_000_000n;
const NS_PER_MS = 1_000_000n;

/**
 * All processes that `keeper` makes from now on are in a time namespace with the clocks as they were. Gives a warning where this system
 * does not allow it; then the clocks are the system's.
 */
export function continueClocks(keeper: Puppet, taken: ImageMetadata["clocks"]): string[] {
  try {
    keeper.run([call(SYSCALLS.unshare, BigInt(CLONE_NEWTIME))]);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return describeJump(taken, `no time namespace can be made here (${error.errnoName})`);
  }
  const now = readSystemClocks();
  const offsets = {
    monotonicNs: BigInt(taken.monotonicNs) - now.monotonicNs,
    boottimeNs: BigInt(taken.boottimeNs) - now.boottimeNs,
  };
  try {
    writeFileSync(`/proc/${keeper.pid}/timens_offsets`, formatTimeOffsets(offsets));
  } catch (error) {
    return describeJump(taken, `a time namespace's clocks cannot be set here (${String((error as NodeJS.ErrnoException).code)})`);
  }
  return [];
}

/** What a program reads when it has the system's clocks; nothing if the difference is small. */
export function describeJump(taken: ImageMetadata["clocks"], because: string): string[] {
  const jumpNs = readSystemClocks().monotonicNs - BigInt(taken.monotonicNs);
  if (jumpNs >= 0n && jumpNs < NEGLIGIBLE_NS) return [];
  const length = formatDuration(Number((jumpNs < 0n ? -jumpNs : jumpNs) / NS_PER_MS));
  const consequence = jumpNs < 0n ? "what was to happen at a time may come that much later" : "what was to happen meanwhile is due at once";
  return [`CLOCK_MONOTONIC jumps ${jumpNs < 0n ? "back" : "ahead"} by ${length}, and ${consequence}: ${because}`];
}

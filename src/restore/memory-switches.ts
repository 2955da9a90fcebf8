/** Switches that the kernel keeps with a process's address space, apart from its mappings. */
import type { LiveProcessImage } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { tolerant } from "../tracee/puppet.ts";
import type { Call, Puppet } from "../tracee/puppet.ts";

const PR_SET_MDWE = 65n;
const PR_SET_MEMORY_MERGE = 67n;
const BARRIER_BITS = 10;

/**
 * Gives what could not be set, in words. Precondition: all memory is in place, for writable memory may not become executable
 * afterwards; there is but one thread, for which membarrier(2) is much faster to register.
 */
export function restoreMemorySwitches(puppet: Puppet, { membarriers = 0, mergeMemory, denyWriteExecute = 0 }: LiveProcessImage): string[] {
  const calls: Call[] = [];
  const what: string[] = [];
  for (let bit = 0; bit < BARRIER_BITS; bit += 1) {
    if ((membarriers & (1 << bit)) === 0) continue;
    calls.push(tolerant(SYSCALLS.membarrier, BigInt(1 << bit), 0n, 0n));
    what.push("membarrier registration");
  }
  if (mergeMemory === true) {
    calls.push(tolerant(SYSCALLS.prctl, PR_SET_MEMORY_MERGE, 1n, 0n, 0n, 0n));
    what.push("PR_SET_MEMORY_MERGE");
  }
  if (denyWriteExecute !== 0) {
    calls.push(tolerant(SYSCALLS.prctl, PR_SET_MDWE, BigInt(denyWriteExecute), 0n, 0n, 0n));
    what.push("PR_SET_MDWE");
  }
  if (calls.length === 0) return [];
  const results = puppet.run(calls);
  return what.filter((_, index) => results[index] !== 0n);
}

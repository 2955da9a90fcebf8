/**
 * Processes that share what is most often each one's own: clone(2) without CLONE_THREAD, but with CLONE_VM, CLONE_FILES or
 * CLONE_FS, makes them. They would come back as processes that share nothing. (CLONE_SIGHAND is not to be had without CLONE_VM.)
 */
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Pid } from "../base/ids.ts";
import { asPid } from "../base/ids.ts";
import { compareKernelObjects } from "../kernel/kcmp.ts";
import { hasEnded, readStat } from "../kernel/procfs/mod.ts";
import { ProcessGone } from "../kernel/remote-memory.ts";
import type { FrozenProcess } from "../tracee/freeze.ts";

const SHAREABLE = { memory: "memory", descriptors: "descriptors", fileSystem: "current directory and umask" } as const;
type Kind = keyof typeof SHAREABLE;

/**
 * Throws a CairnError (`unsupported`) when two processes share something, also one of the tree with its parent outside.
 * Precondition: all are frozen, so that none is inside vfork(2), where sharing memory is the rule and soon over.
 */
export function requireSeparate(processes: readonly FrozenProcess[]): void {
  // By a living thread of each: one that has ended has nothing left to compare.
  const pids = processes.map(({ reader }) => reader);
  for (const kind of Object.keys(SHAREABLE) as Kind[]) {
    const sorted = [...pids].sort((a, b) => compare(kind, a, b));
    for (let at = 1; at < sorted.length; at += 1) {
      const [first, second] = [sorted[at - 1] as Pid, sorted[at] as Pid];
      if (compare(kind, first, second) === 0) throw refuse(kind, first, second);
    }
  }
  const inside = new Set(processes.map(({ pid }) => pid));
  for (const pid of pids) {
    const parent = readStat(pid)?.parentPid ?? asPid(0);
    if (parent === asPid(0) || inside.has(parent)) continue;
    for (const kind of Object.keys(SHAREABLE) as Kind[]) if (sharesOutside(kind, pid, parent)) throw refuse(kind, pid, parent);
  }
}

function compare(kind: Kind, first: Pid, second: Pid): -1 | 0 | 1 {
  try {
    return compareKernelObjects(kind, first, second);
  } catch (error) {
    if (error instanceof SyscallError && error.errnoName === "ESRCH") throw new ProcessGone(readStat(first) === null ? first : second);
    throw error;
  }
}

/** A parent that may not be looked at is another user's, who shares nothing with this one. */
function sharesOutside(kind: Kind, pid: Pid, parent: Pid): boolean {
  try {
    return compareKernelObjects(kind, pid, parent) === 0;
  } catch {
    return false;
  }
}

function refuse(kind: Kind, first: Pid, second: Pid): Error {
  // What was killed while it stood frozen has nothing left, and shares that with others.
  for (const pid of [first, second]) {
    const stat = readStat(pid);
    if (stat === null || hasEnded(stat)) return new ProcessGone(pid);
  }
  const [older, younger] = first < second ? [first, second] : [second, first];
  return new CairnError("unsupported", `Cannot save process ${younger}: it shares its ${SHAREABLE[kind]} with process ${older}`, {
    data: { pid: younger, other: older, kind: `shared ${SHAREABLE[kind]}` },
    hint: "Processes that clone(2) made with something in common (CLONE_VM, CLONE_FILES, CLONE_FS) are not carried over yet. The job was not changed",
  });
}

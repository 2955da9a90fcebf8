/**
 * A pid is reused; a pid with the time its process started, on one boot of one machine, is not.
 */
import { readFileSync } from "node:fs";
import { asPid } from "../base/ids.ts";
import type { Pid } from "../base/ids.ts";
import { hasEnded, readAllChildren, readStat, readTimeOffsets } from "../kernel/procfs/mod.ts";

export interface ProcessIdentity {
  readonly pid: Pid;
  /** Clock ticks since boot, as field 22 of /proc/PID/stat has them for a reader in no time namespace of its own. */
  readonly startTime: number;
  readonly bootId: string;
}

let boot: string | undefined;

/** Names this boot of this machine: a run that another boot recorded is over. */
export function currentBootId(): string {
  boot ??= readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  return boot;
}

/** Null when there is no such process, or only what is left of one. */
export function identify(pid: Pid): ProcessIdentity | null {
  const stat = readStat(pid);
  if (stat === null || hasEnded(stat)) return null;
  return { pid, startTime: Number(stat.startTimeTicks) - ownOffsetTicks(), bootId: currentBootId() };
}

const NS_PER_TICK = 10_000_000n;
let offsetTicks: number | undefined;

/** In a time namespace, of a restarted job that calls Cairn itself, /proc tells the time of each process's start by its clock. */
function ownOffsetTicks(): number {
  offsetTicks ??= Number((readTimeOffsets("self")?.boottimeNs ?? 0n) / NS_PER_TICK);
  return offsetTicks;
}

export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.bootId !== currentBootId() || identity.pid <= 0) return false;
  const now = identify(identity.pid);
  // Seen from two time namespaces it is rounded twice. No pid is used again within a tick.
  return now !== null && Math.abs(now.startTime - identity.startTime) <= 1;
}

/** A chain of parents longer than this is no process tree. */
const MAX_DEPTH = 4096;

/** The process itself, its parent, and so on up to the first process. */
export function* lineOf(pid: Pid): Generator<Pid> {
  let current = pid;
  for (let depth = 0; depth < MAX_DEPTH && current > 0; depth += 1) {
    yield current;
    current = readStat(current)?.parentPid ?? asPid(0);
  }
}

/** All processes below this one as /proc has them now, parents first. */
export function descendantsOf(pid: Pid): Pid[] {
  const found: Pid[] = [];
  const queue = [pid];
  for (let at = 0; at < queue.length; at += 1) {
    const children = readAllChildren(queue[at] ?? pid) ?? [];
    found.push(...children);
    queue.push(...children);
  }
  return found;
}

/**
 * Time limits of system calls that are issued again after a stop. Each time the call gets its whole limit, unless we know better:
 * a program that is saved every five seconds would never see the end of ten.
 *
 * What we know is when we last let the thread go, with which limit. If it has slept only once since (the kernel counts), it is
 * still in the call that it was let go with, and the time since is taken off. So a limit is never cut short, and is
 * stretched by one interval between checkpoints at most.
 */
import { performance } from "node:perf_hooks";
import type { Pid, Tid } from "../base/ids.ts";
import { readVoluntarySwitches } from "../kernel/procfs/mod.ts";
import type { Registers } from "./x86-64/registers.ts";

/** epoll_wait and epoll_pwait on x86-64: the time limit, in milliseconds, is the fourth argument. */
const LIMITED_BY_FOURTH: ReadonlySet<number> = new Set([232, 281]);
/** In the call that was issued again, and in our stop. */
const SWITCHES_OF_ONE_SLEEP = 2;
/** Threads remembered: more than a job has, and a bound all the same. */
const LARGEST_MEMORY = 100_000;

interface LetGo {
  atMs: number;
  readonly limitMs: number;
  readonly instruction: bigint;
  readonly stack: bigint;
  switches: number;
}

const remembered = new Map<Tid, LetGo>();

/** Sets the limit of the call that a stopped thread is going to issue again. */
export function shortenLimit(pid: Pid, tid: Tid, registers: Registers): void {
  if (!LIMITED_BY_FOURTH.has(registers.syscall)) return;
  const limit = Number(BigInt.asIntN(32, registers.get("r10")));
  const switches = readVoluntarySwitches(pid, tid);
  if (limit <= 0 || switches === null) {
    remembered.delete(tid);
    return;
  }
  const now = performance.now();
  const instruction = registers.get("rip");
  const stack = registers.get("rsp");
  const before = remembered.get(tid);
  const isSameCall =
    before !== undefined &&
    before.limitMs === limit &&
    before.instruction === instruction &&
    before.stack === stack &&
    switches - before.switches <= SWITCHES_OF_ONE_SLEEP;
  const left = isSameCall ? Math.max(0, limit - Math.floor(now - before.atMs)) : limit;
  registers.set("r10", BigInt(left));
  if (remembered.size >= LARGEST_MEMORY) remembered.clear();
  remembered.set(tid, { atMs: now, limitMs: left, instruction, stack, switches });
}

/** To be called when a stopped thread is about to be let go: from here on its sleeps count. */
export function rememberLetGo(pid: Pid, tid: Tid): void {
  const known = remembered.get(tid);
  if (known === undefined) return;
  known.switches = readVoluntarySwitches(pid, tid) ?? known.switches;
  known.atMs = performance.now();
}

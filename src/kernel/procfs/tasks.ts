/** Threads and children of a process. */
import { asPid, asTid, type Pid, type Tid } from "../../base/ids.ts";
import { bigHexadecimal, decimal, words } from "./fields.ts";
import { listProcNumbers, readProcRaw } from "./read.ts";

/** The threads, ascending; null when the process is gone. */
export function listThreads(pid: Pid): Tid[] | null {
  return listProcNumbers(`/proc/${pid}/task`)?.map(asTid) ?? null;
}

/** Every process that this /proc shows, ascending. */
export function listProcesses(): Pid[] {
  return (listProcNumbers("/proc") ?? []).map(asPid);
}

export function parseChildren(raw: string): Pid[] {
  return words(raw.trimEnd()).map((word) => asPid(decimal(word, "/proc/PID/task/TID/children")));
}

/**
 * The children of one thread, in the order of their birth, zombies included.
 *
 * Precondition: for a complete answer the thread and its children are stopped; the kernel walks a list that changes
 * under it otherwise, and may leave out children that follow one that has just ended (proc(5)).
 */
export function readChildren(pid: Pid, tid: Tid): Pid[] | null {
  const raw = readProcRaw(`/proc/${pid}/task/${tid}/children`);
  return raw === null ? null : parseChildren(raw);
}

/** The children of all threads of a process, ascending. Precondition: as for `readChildren`. */
export function readAllChildren(pid: Pid): Pid[] | null {
  const threads = listThreads(pid);
  if (threads === null) return null;
  const children: Pid[] = [];
  for (const tid of threads) children.push(...(readChildren(pid, tid) ?? []));
  return children.toSorted((a, b) => a - b);
}

export interface BlockingCall {
  readonly number: number;
  readonly arguments: readonly bigint[];
}

/** `35 0x7ffd1000 0x0 ...`: number, six arguments, stack and instruction pointer; `running`, or `-1` for a wait in no call. */
export function parseSyscall(raw: string): BlockingCall | null {
  const [number = "", ...rest] = words(raw.trimEnd());
  if (!/^[0-9]+$/.test(number)) return null;
  return {
    number: Number(number),
    arguments: rest.slice(0, 6).map((word) => bigHexadecimal(word.replace(/^0x/, ""), "/proc/PID/task/TID/syscall")),
  };
}

/** The system call in which a thread sleeps; null when it runs, or is gone. Throws a CairnError (`permission`) where Yama forbids a look. */
export function readSyscall(pid: Pid, tid: Tid): BlockingCall | null {
  const raw = readProcRaw(`/proc/${pid}/task/${tid}/syscall`);
  return raw === null ? null : parseSyscall(raw);
}

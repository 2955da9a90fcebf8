/** Files of /proc/PID that hold one value. */
import type { Pid, Tid } from "../../base/ids.ts";
import { bigDecimal, decimal, hexadecimal } from "./fields.ts";
import { readProcBytes, readProcRaw } from "./read.ts";

/** The auxiliary vector as the kernel keeps it, AT_NULL included: what PR_SET_MM_MAP takes. */
export function readAuxiliaryVector(pid: Pid): Buffer | null {
  return readProcBytes(`/proc/${pid}/auxv`);
}

/** Pairs of 64-bit words (type, value), up to and without AT_NULL. No type comes twice. */
export function parseAuxiliaryVector(bytes: Buffer): Map<number, bigint> {
  const values = new Map<number, bigint>();
  for (let at = 0; at + 16 <= bytes.length; at += 16) {
    const type = Number(bytes.readBigUInt64LE(at));
    if (type === 0) break;
    values.set(type, bytes.readBigUInt64LE(at + 8));
  }
  return values;
}

/** What the process now has between arg_start and arg_end: arguments, NUL after each, unless it wrote over them. */
export function readCommandLine(pid: Pid): Buffer | null {
  return readProcBytes(`/proc/${pid}/cmdline`);
}

export function readEnvironment(pid: Pid): Buffer | null {
  return readProcBytes(`/proc/${pid}/environ`);
}

/** Strings that end in NUL; the last one may lack it. */
export function splitAtNul(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    let end = bytes.indexOf(0, at);
    if (end < 0) end = bytes.length;
    parts.push(bytes.subarray(at, end));
    at = end + 1;
  }
  return parts;
}

/** oom_score_adj, -1000 to 1000. */
export function readOomScoreAdjustment(pid: Pid): number | null {
  const raw = readProcRaw(`/proc/${pid}/oom_score_adj`);
  return raw === null ? null : decimal(raw.trim(), "/proc/PID/oom_score_adj");
}

/** Of one thread. Another process's needs CAP_SYS_NICE: without, ask the thread itself (PR_GET_TIMERSLACK). */
export function readTimerSlackNs(tid: Tid): bigint | null {
  const raw = readProcRaw(`/proc/${tid}/timerslack_ns`);
  return raw === null ? null : bigDecimal(raw.trim(), "/proc/PID/timerslack_ns");
}

/** personality(2): ADDR_NO_RANDOMIZE and the like. */
export function readPersonality(pid: Pid): number | null {
  const raw = readProcRaw(`/proc/${pid}/personality`);
  return raw === null ? null : hexadecimal(raw.trim(), "/proc/PID/personality");
}

/** Which kinds of mapping go into a core dump; null also for a process without memory, whose file is empty. */
export function readCoreDumpFilter(pid: Pid): number | null {
  const text = readProcRaw(`/proc/${pid}/coredump_filter`)?.trim();
  return text === undefined || text === "" ? null : hexadecimal(text, "/proc/PID/coredump_filter");
}

/** How often a thread has given up its processor by itself, to sleep: voluntary_ctxt_switches of its status. */
export function readVoluntarySwitches(pid: Pid, tid: Tid): number | null {
  const text = /^voluntary_ctxt_switches:\t([0-9]+)$/m.exec(readProcRaw(`/proc/${pid}/task/${tid}/status`) ?? "")?.[1];
  return text === undefined ? null : Number(text);
}

/** PF_* of the kernel's sched.h: one field of a thread's stat, for those who have thousands of threads to ask. */
export function readThreadFlags(pid: Pid, tid: Tid): number | null {
  const raw = readProcRaw(`/proc/${pid}/task/${tid}/stat`);
  return raw === null ? null : decimal(raw.slice(raw.lastIndexOf(")") + 2).split(" ", 7)[6], "/proc/PID/task/TID/stat");
}

/**
 * The lines of a thread's status that tell its ids, groups, capabilities, no_new_privs and seccomp filters, as the kernel writes
 * them: threads of one process most often have the same, and to see that they need not be parsed.
 */
export function readCredentialLines(pid: Pid, tid: Tid): string | null {
  const raw = readProcRaw(`/proc/${pid}/task/${tid}/status`);
  if (raw === null) return null;
  const lines = (first: string, last: string): string => {
    const start = raw.indexOf(first);
    const end = raw.indexOf("\n", raw.indexOf(last, start) + 1);
    return start < 0 ? "" : raw.slice(start, end);
  };
  return lines("\nUid:", "\nGid:") + lines("\nGroups:", "\nGroups:") + lines("\nCapInh:", "\nSeccomp:");
}

/** A thread's number in the innermost of its pid namespaces: the last of NSpid, which kernels before 4.1 lack. */
export function readInnermostTid(pid: Pid, tid: Tid): number | null {
  const raw = readProcRaw(`/proc/${pid}/task/${tid}/status`);
  if (raw === null) return null;
  const text = /^NSpid:.*?([0-9]+)$/m.exec(raw)?.[1];
  return text === undefined ? tid : decimal(text, "/proc/PID/task/TID/status");
}

export interface SeccompState {
  /** 0 none, 1 strict, 2 filter: each thread has its own. */
  readonly mode: number;
  /** 0 also where the kernel does not tell (before 5.9). */
  readonly filters: number;
}

export function readSeccomp(pid: Pid, tid: Tid): SeccompState | null {
  const raw = readProcRaw(`/proc/${pid}/task/${tid}/status`);
  if (raw === null) return null;
  const number = (line: RegExp): number => Number(line.exec(raw)?.[1] ?? 0);
  return { mode: number(/^Seccomp:\t([0-9]+)$/m), filters: number(/^Seccomp_filters:\t([0-9]+)$/m) };
}

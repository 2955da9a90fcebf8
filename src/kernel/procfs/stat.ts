/**
 * /proc/PID/stat and /proc/PID/task/TID/stat: one line of 52 fields, proc(5).
 *
 * The second field is the comm in parentheses, and it may hold spaces, parentheses and newlines unescaped: the last
 * `)` of the file ends it, for all that follows is numbers.
 *
 * Without permission to trace the process the kernel gives 0 (or 1) for its addresses and its exit code.
 */
import { asPid, asTid, type Pid, type Tid } from "../../base/ids.ts";
import { bigDecimal, decimal, decodeDevice, malformed } from "./fields.ts";
import { nameFromRaw, type Name } from "./name.ts";
import { readProcRaw } from "./read.ts";

export interface ProcessStat {
  /** The pid, or the tid in a thread's file. */
  readonly pid: Pid;
  readonly comm: Name;
  /** R running, S sleeping, D uninterruptible, T stopped by a signal, t stopped by a tracer, Z zombie, X dead, I idle. */
  readonly state: string;
  readonly parentPid: Pid;
  readonly processGroup: Pid;
  readonly session: Pid;
  /** The controlling terminal, or null. */
  readonly ttyDevice: { readonly major: number; readonly minor: number } | null;
  /** -1 without a terminal. */
  readonly ttyForegroundGroup: number;
  /** PF_* of the kernel's sched.h. */
  readonly flags: number;
  readonly threads: number;
  readonly priority: number;
  readonly nice: number;
  /** Since boot, in clock ticks: together with the pid it names a process for the life of the machine. */
  readonly startTimeTicks: bigint;
  readonly virtualBytes: bigint;
  readonly residentPages: bigint;
  readonly residentLimitBytes: bigint;
  readonly startCode: bigint;
  readonly endCode: bigint;
  readonly startStack: bigint;
  /** The signal that the parent gets when the process ends; -1 for a thread that is no group leader. */
  readonly exitSignal: number;
  readonly processor: number;
  readonly realtimePriority: number;
  readonly policy: number;
  readonly startData: bigint;
  readonly endData: bigint;
  readonly startBrk: bigint;
  readonly argStart: bigint;
  readonly argEnd: bigint;
  readonly envStart: bigint;
  readonly envEnd: bigint;
  /** A zombie's wait status, as waitpid gives it. */
  readonly exitCode: number;
}

const FILE = "/proc/PID/stat";
/** Fields after the comm, in Linux 3.5 and later. */
const FIELDS_AFTER_COMM = 50;

export function parseStat(raw: string): ProcessStat {
  const open = raw.indexOf("(");
  const close = raw.lastIndexOf(")");
  if (open < 1 || close < open) throw malformed(FILE, raw);
  // Index 0 is the state, the third field of proc(5): field n of the manual page is index n - 3.
  const field = raw
    .slice(close + 2)
    .trimEnd()
    .split(" ");
  if (field.length < FIELDS_AFTER_COMM) throw malformed(FILE, raw);
  const small = (number: number): number => decimal(field[number - 3], FILE);
  const word = (number: number): bigint => bigDecimal(field[number - 3], FILE);
  const tty = small(7);
  return {
    pid: asPid(decimal(raw.slice(0, open - 1), FILE)),
    comm: nameFromRaw(raw.slice(open + 1, close)),
    state: field[0] ?? "",
    parentPid: asPid(small(4)),
    processGroup: asPid(small(5)),
    session: asPid(small(6)),
    ttyDevice: tty === 0 ? null : decodeDevice(tty),
    ttyForegroundGroup: small(8),
    flags: small(9),
    priority: small(18),
    nice: small(19),
    threads: small(20),
    startTimeTicks: word(22),
    virtualBytes: word(23),
    residentPages: word(24),
    residentLimitBytes: word(25),
    startCode: word(26),
    endCode: word(27),
    startStack: word(28),
    exitSignal: small(38),
    processor: small(39),
    realtimePriority: small(40),
    policy: small(41),
    startData: word(45),
    endData: word(46),
    startBrk: word(47),
    argStart: word(48),
    argEnd: word(49),
    envStart: word(50),
    envEnd: word(51),
    exitCode: small(52),
  };
}

export function readStat(pid: Pid): ProcessStat | null {
  const raw = readProcRaw(`/proc/${pid}/stat`);
  return raw === null ? null : parseStat(raw);
}

export function readThreadStat(pid: Pid, tid: Tid): ProcessStat | null {
  const raw = readProcRaw(`/proc/${pid}/task/${tid}/stat`);
  return raw === null ? null : parseStat(raw);
}

/** The comm of one thread: the file holds its bytes and one newline. */
export function readComm(pid: Pid, tid: Tid = asTid(pid)): Name | null {
  const raw = readProcRaw(`/proc/${pid}/task/${tid}/comm`);
  return raw === null ? null : nameFromRaw(raw.endsWith("\n") ? raw.slice(0, -1) : raw);
}

/** Whether nothing of the process runs any more. A leader that has ended shows as a zombie while its other threads go on. */
export function hasEnded(stat: ProcessStat): boolean {
  return stat.state === "X" || (stat.state === "Z" && stat.threads <= 1);
}

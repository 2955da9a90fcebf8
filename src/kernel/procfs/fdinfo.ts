/**
 * /proc/PID/fdinfo/N: position and flags of an open file, and what only its kind has.
 *
 * The kernel prints some numbers in decimal, some in octal and many in hexadecimal, without a prefix. Which is which
 * stands beside each field here, from `*_show_fdinfo` of the kernel's sources.
 */
import type { Pid } from "../../base/ids.ts";
import { bigDecimal, bigHexadecimal, decimal, decodeKernelDevice, hexadecimal, octal, words } from "./fields.ts";
import { parseLockLine, type FileLock } from "./lock-line.ts";
import { readProcRaw } from "./read.ts";

export interface EpollTarget {
  /** The descriptor's number when it was added: since then it may have been closed, or be open on something else. */
  readonly fd: number;
  readonly events: number;
  readonly data: bigint;
  readonly pos: bigint;
  /** Inode and device of what is watched (absent before Linux 4.14): tell whether `fd` still is it. */
  readonly inode: bigint | null;
  readonly device: { readonly major: number; readonly minor: number } | null;
}

export interface InotifyWatch {
  readonly watch: number;
  readonly inode: bigint;
  readonly device: { readonly major: number; readonly minor: number };
  readonly mask: number;
  readonly handleType: number;
  /** file_handle of open_by_handle_at(2), hexadecimal; empty where the file system has none. */
  readonly handle: string;
}

/** Of what it is not on it has zeros. */
export interface FanotifyMark extends Omit<InotifyWatch, "watch"> {
  readonly on: "file" | "mount" | "file system";
  readonly mountId: number;
  readonly markFlags: number;
  readonly ignoredMask: number;
}

export interface DescriptorInfo {
  readonly pos: bigint;
  /** F_GETFL's flags, with O_CLOEXEC when the descriptor has FD_CLOEXEC. */
  readonly flags: number;
  readonly mountId: number;
  /** Null before Linux 5.14. */
  readonly inode: bigint | null;
  /** Held through this open file: FLOCK and OFDLCK of the description, POSIX of this process. */
  readonly locks: readonly FileLock[];
  readonly eventfd: { readonly count: bigint; readonly id: number | null; readonly semaphore: boolean | null } | null;
  readonly epoll: readonly EpollTarget[];
  readonly signalfdMask: bigint | null;
  readonly timerfd: {
    readonly clock: number;
    readonly ticks: bigint;
    readonly settimeFlags: number;
    /** What is left until it fires; 0 when disarmed. */
    readonly valueNs: bigint;
    readonly intervalNs: bigint;
  } | null;
  readonly inotify: readonly InotifyWatch[];
  readonly fanotify: { readonly flags: number; readonly eventFlags: number; readonly marks: readonly FanotifyMark[] } | null;
  /** -1 when the process has ended and was reaped, 0 when it is in a namespace that is not seen from here. */
  readonly pidfd: { readonly pid: number; readonly namespacePids: readonly number[] } | null;
  /** Of a pty's master: N of /dev/pts/N. */
  readonly ttyIndex: number | null;
  readonly ioUring: IoUringInfo | null;
}

/** Positions count requests and answers since the ring was made, modulo 2^32. */
export interface IoUringInfo {
  readonly submissionEntries: number;
  readonly completionEntries: number;
  /** What the kernel has taken from the submission ring, as it shows it to the program and as it knows it. */
  readonly submissionHead: number;
  readonly knownSubmissionHead: number;
  readonly submissionTail: number;
  readonly completionHead: number;
  /** What the kernel has put into the completion ring, as it shows it to the program and as it knows it. */
  readonly completionTail: number;
  readonly knownCompletionTail: number;
  /** IORING_SETUP_SQPOLL. */
  readonly hasPollThread: boolean;
  readonly registeredFiles: number;
  readonly registeredBuffers: number;
  readonly personalities: number;
  readonly polls: number;
  readonly overflown: number;
  readonly busyPolls: boolean;
}

const FILE = "/proc/PID/fdinfo";
const NS_PER_SECOND = 1_000_000_000n;

export function parseDescriptorInfo(raw: string): DescriptorInfo {
  const fields = new Map<string, string>();
  const locks: FileLock[] = [];
  const epoll: EpollTarget[] = [];
  const inotify: InotifyWatch[] = [];
  const marks: FanotifyMark[] = [];
  let group: string | undefined;
  for (const line of raw.split("\n")) {
    if (line === "") continue;
    if (line.startsWith("lock:\t")) locks.push(parseLockLine(line.slice(6), FILE));
    else if (line.startsWith("tfd:")) epoll.push(parseEpollTarget(line));
    else if (line.startsWith("fanotify flags:")) group = line;
    else if (line.startsWith("fanotify ")) marks.push(parseFanotifyMark(line));
    else if (line.startsWith("inotify ")) inotify.push(parseInotifyWatch(line));
    else {
      const colon = line.indexOf(":");
      if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trim());
    }
  }
  const inode = fields.get("ino");
  const sigmask = fields.get("sigmask");
  const ttyIndex = fields.get("tty-index");
  return {
    pos: bigDecimal(fields.get("pos"), FILE),
    flags: octal(fields.get("flags"), FILE),
    mountId: decimal(fields.get("mnt_id") ?? "0", FILE),
    inode: inode === undefined ? null : bigDecimal(inode, FILE),
    locks,
    eventfd: parseEventfd(fields),
    epoll,
    signalfdMask: sigmask === undefined ? null : bigHexadecimal(sigmask, FILE),
    timerfd: parseTimerfd(fields),
    inotify,
    fanotify: group === undefined ? null : { ...parseFanotifyGroup(group), marks },
    pidfd: parsePidfd(fields),
    ttyIndex: ttyIndex === undefined ? null : decimal(ttyIndex, FILE),
    ioUring: parseIoUring(raw, fields),
  };
}

function parseEventfd(fields: ReadonlyMap<string, string>): DescriptorInfo["eventfd"] {
  const count = fields.get("eventfd-count");
  if (count === undefined) return null;
  const id = fields.get("eventfd-id");
  const semaphore = fields.get("eventfd-semaphore");
  return {
    count: bigHexadecimal(count, FILE),
    id: id === undefined ? null : decimal(id, FILE),
    // Linux 6.5 and later; before that a semaphore can't be told from a counter.
    semaphore: semaphore === undefined ? null : semaphore !== "0",
  };
}

function parseTimerfd(fields: ReadonlyMap<string, string>): DescriptorInfo["timerfd"] {
  const clock = fields.get("clockid");
  if (clock === undefined) return null;
  return {
    clock: decimal(clock, FILE),
    ticks: bigDecimal(fields.get("ticks"), FILE),
    settimeFlags: octal(fields.get("settime flags"), FILE),
    valueNs: nanoseconds(fields.get("it_value")),
    intervalNs: nanoseconds(fields.get("it_interval")),
  };
}

/** `(seconds, nanoseconds)` */
function nanoseconds(pair: string | undefined): bigint {
  const [seconds, rest] = (pair ?? "").replace("(", "").replace(")", "").split(",");
  return bigDecimal(seconds?.trim(), FILE) * NS_PER_SECOND + bigDecimal(rest?.trim(), FILE);
}

function parsePidfd(fields: ReadonlyMap<string, string>): DescriptorInfo["pidfd"] {
  const pid = fields.get("Pid");
  if (pid === undefined) return null;
  return { pid: decimal(pid, FILE), namespacePids: words(fields.get("NSpid") ?? "").map((word) => decimal(word, FILE)) };
}

/**
 * Lists follow the line that names them, each entry indented. Where the kernel could not take the ring's lock, which it
 * only tries to, the later lines are missing: null, as before Linux 5.19, whose lines say less.
 */
function parseIoUring(raw: string, fields: ReadonlyMap<string, string>): IoUringInfo | null {
  const number = (field: string): number => decimal(fields.get(field), FILE);
  if (
    !["SqMask", "CachedSqHead", "CachedCqTail", "UserFiles", "UserBufs", "PollList", "CqOverflowList"].every((field) => fields.has(field))
  )
    return null;
  const listed = new Map<string, number>();
  let list = "";
  for (const line of raw.split("\n")) {
    if (line.startsWith(" ")) listed.set(list, (listed.get(list) ?? 0) + 1);
    else list = line.slice(0, Math.max(0, line.indexOf(":")));
  }
  return {
    submissionEntries: number("SqMask") + 1,
    completionEntries: number("CqMask") + 1,
    submissionHead: number("SqHead"),
    knownSubmissionHead: number("CachedSqHead"),
    submissionTail: number("SqTail"),
    completionHead: number("CqHead"),
    completionTail: number("CqTail"),
    knownCompletionTail: number("CachedCqTail"),
    hasPollThread: fields.get("SqThread") !== "-1",
    registeredFiles: number("UserFiles"),
    registeredBuffers: number("UserBufs"),
    personalities: listed.get("Personalities") ?? 0,
    polls: listed.get("PollList") ?? 0,
    overflown: listed.get("CqOverflowList") ?? 0,
    busyPolls: fields.has("NAPI") && fields.get("NAPI") !== "disabled",
  };
}

/** `tfd:        3 events: 80000019 data:                3  pos:0 ino:40f sdev:10`: all but fd and pos hexadecimal. */
function parseEpollTarget(line: string): EpollTarget {
  const value = keyedValues(line);
  const inode = value.get("ino");
  const device = value.get("sdev");
  return {
    fd: decimal(value.get("tfd"), FILE),
    events: hexadecimal(value.get("events"), FILE),
    data: bigHexadecimal(value.get("data"), FILE),
    pos: bigDecimal(value.get("pos") ?? "0", FILE),
    inode: inode === undefined ? null : bigHexadecimal(inode, FILE),
    device: device === undefined ? null : decodeKernelDevice(hexadecimal(device, FILE)),
  };
}

/** `inotify wd:1 ino:3f7e8 sdev:fe00000 mask:fff ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:e8f7...`: all hexadecimal. */
function parseInotifyWatch(line: string): InotifyWatch {
  const value = keyedValues(line.slice("inotify ".length));
  return {
    watch: hexadecimal(value.get("wd"), FILE),
    inode: bigHexadecimal(value.get("ino"), FILE),
    device: decodeKernelDevice(hexadecimal(value.get("sdev"), FILE)),
    mask: hexadecimal(value.get("mask"), FILE),
    handleType: hexadecimal(value.get("fhandle-type") ?? "0", FILE),
    handle: value.get("f_handle") ?? "",
  };
}

/** `fanotify flags:c10 event-flags:8000` */
function parseFanotifyGroup(line: string): { flags: number; eventFlags: number } {
  const value = keyedValues(line.slice("fanotify ".length));
  return { flags: hexadecimal(value.get("flags"), FILE), eventFlags: hexadecimal(value.get("event-flags"), FILE) };
}

/** `fanotify ino:1a60c1 sdev:fe00000 mflags:40 mask:48000028 ignored_mask:8 fhandle-...`; of a mount `mnt_id:1e` instead, of a file system only `sdev`. */
function parseFanotifyMark(line: string): FanotifyMark {
  const value = keyedValues(line.slice("fanotify ".length));
  const on = value.has("ino") ? "file" : value.has("mnt_id") ? "mount" : "file system";
  return {
    on,
    inode: bigHexadecimal(value.get("ino") ?? "0", FILE),
    device: decodeKernelDevice(hexadecimal(value.get("sdev") ?? "0", FILE)),
    mountId: hexadecimal(value.get("mnt_id") ?? "0", FILE),
    markFlags: hexadecimal(value.get("mflags"), FILE),
    mask: hexadecimal(value.get("mask"), FILE),
    ignoredMask: hexadecimal(value.get("ignored_mask"), FILE),
    handleType: hexadecimal(value.get("fhandle-type") ?? "0", FILE),
    handle: value.get("f_handle") ?? "",
  };
}

/** `key: value` or `key:value`, separated by spaces. */
function keyedValues(line: string): Map<string, string> {
  const values = new Map<string, string>();
  let key = "";
  for (const word of words(line)) {
    const colon = word.indexOf(":");
    if (colon < 0) values.set(key, word);
    else {
      key = word.slice(0, colon);
      if (colon + 1 < word.length) values.set(key, word.slice(colon + 1));
    }
  }
  return values;
}

export function readDescriptorInfo(pid: Pid, fd: number): DescriptorInfo | null {
  const raw = readProcRaw(`/proc/${pid}/fdinfo/${fd}`);
  return raw === null ? null : parseDescriptorInfo(raw);
}

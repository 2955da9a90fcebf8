/**
 * /proc/PID/status and /proc/PID/task/TID/status: `Key:\tvalue` lines, proc(5).
 *
 * Invariants of the format: keys do not repeat, and the comm in `Name:` has its newlines and backslashes escaped
 * (`\n`, `\\`) but nothing else, so a line is a line.
 *
 * Pid lists (`NSpid`) run from the pid namespace of this /proc to the innermost one of the process: the last entry is
 * what the process itself sees.
 */
import { asPid, type Pid, type Tid } from "../../base/ids.ts";
import { bigHexadecimal, decimal, malformed, octal, words } from "./fields.ts";
import { nameFromRaw, type Name } from "./name.ts";
import { readProcRaw } from "./read.ts";

export interface CredentialIds {
  readonly real: number;
  readonly effective: number;
  readonly saved: number;
  readonly fileSystem: number;
}

export interface CapabilitySets {
  readonly inheritable: bigint;
  readonly permitted: bigint;
  readonly effective: bigint;
  readonly bounding: bigint;
  readonly ambient: bigint;
}

export interface ProcessStatus {
  readonly name: Name;
  /** Null for a zombie, whose file system information is gone. */
  readonly umask: number | null;
  /** One letter as in stat. */
  readonly state: string;
  readonly tgid: Pid;
  readonly pid: Pid;
  readonly parentPid: Pid;
  /** 0 when nobody traces it. */
  readonly tracerPid: Pid;
  readonly uids: CredentialIds;
  readonly gids: CredentialIds;
  readonly groups: readonly number[];
  readonly namespaceTgids: readonly number[];
  readonly namespacePids: readonly number[];
  readonly namespacePgids: readonly number[];
  readonly namespaceSids: readonly number[];
  readonly kernelThread: boolean;
  readonly threads: number;
  /** Bit n-1 stands for signal n, here and below. */
  readonly signalsPendingThread: bigint;
  readonly signalsPendingShared: bigint;
  readonly signalsBlocked: bigint;
  readonly signalsIgnored: bigint;
  readonly signalsCaught: bigint;
  /** Signals queued by the user, of how many that RLIMIT_SIGPENDING allows. */
  readonly signalsQueued: number;
  readonly capabilities: CapabilitySets;
  readonly noNewPrivileges: boolean;
  /** 0 none, 1 strict, 2 filter. */
  readonly seccompMode: number;
  readonly seccompFilters: number;
  /** False after PR_SET_THP_DISABLE; null where the kernel does not say (before 5.0) or there is no memory. */
  readonly thpEnabled: boolean | null;
  readonly coreDumping: boolean;
  /** `shstk wrss` of x86 shadow stacks, where the kernel has the line. */
  readonly threadFeatures: readonly string[];
  /** Zero for a zombie and a kernel thread. */
  readonly virtualBytes: number;
  /** Private memory that can be written, as RLIMIT_DATA counts it. */
  readonly dataBytes: number;
  readonly residentBytes: number;
  readonly residentAnonymousBytes: number;
  readonly residentSharedBytes: number;
  readonly lockedBytes: number;
  readonly pinnedBytes: number;
  readonly swappedBytes: number;
}

const FILE = "/proc/PID/status";

export function parseStatus(raw: string): ProcessStatus {
  const fields = new Map<string, string>();
  let at = 0;
  while (at < raw.length) {
    let end = raw.indexOf("\n", at);
    if (end < 0) end = raw.length;
    const colon = raw.indexOf(":\t", at);
    if (colon >= 0 && colon < end) fields.set(raw.slice(at, colon), raw.slice(colon + 2, end));
    at = end + 1;
  }
  const required = (key: string): string => {
    const value = fields.get(key);
    if (value === undefined) throw malformed(FILE, `no ${key} in ${raw}`);
    return value;
  };
  const number = (key: string): number => decimal(required(key), FILE);
  const numberOr = (key: string, absent: number): number => {
    const value = fields.get(key);
    return value === undefined ? absent : decimal(value.trim(), FILE);
  };
  const mask = (key: string): bigint => bigHexadecimal(fields.get(key) ?? "0", FILE);
  const numbers = (key: string): number[] => words(fields.get(key) ?? "").map((word) => decimal(word, FILE));
  // "Groups" and the lists of pids are absent, never empty, in kernels that lack them; the file's own pid stands in.
  const pids = (key: string, absent: string): number[] => (fields.has(key) ? numbers(key) : [number(absent)]);
  const bytes = (key: string): number => kibibytes(fields.get(key));
  const umask = fields.get("Umask");
  const thp = fields.get("THP_enabled");
  return {
    name: nameFromRaw(unescapeComm(required("Name"))),
    umask: umask === undefined ? null : octal(umask, FILE),
    state: required("State").charAt(0),
    tgid: asPid(number("Tgid")),
    pid: asPid(number("Pid")),
    parentPid: asPid(number("PPid")),
    tracerPid: asPid(number("TracerPid")),
    uids: credentialIds(numbers("Uid")),
    gids: credentialIds(numbers("Gid")),
    groups: numbers("Groups"),
    namespaceTgids: pids("NStgid", "Tgid"),
    namespacePids: pids("NSpid", "Pid"),
    namespacePgids: numbers("NSpgid"),
    namespaceSids: numbers("NSsid"),
    kernelThread: numberOr("Kthread", 0) !== 0,
    threads: numberOr("Threads", 1),
    signalsPendingThread: mask("SigPnd"),
    signalsPendingShared: mask("ShdPnd"),
    signalsBlocked: mask("SigBlk"),
    signalsIgnored: mask("SigIgn"),
    signalsCaught: mask("SigCgt"),
    signalsQueued: decimal((fields.get("SigQ") ?? "0/0").split("/")[0], FILE),
    capabilities: {
      inheritable: mask("CapInh"),
      permitted: mask("CapPrm"),
      effective: mask("CapEff"),
      bounding: mask("CapBnd"),
      ambient: mask("CapAmb"),
    },
    noNewPrivileges: numberOr("NoNewPrivs", 0) !== 0,
    seccompMode: numberOr("Seccomp", 0),
    seccompFilters: numberOr("Seccomp_filters", 0),
    thpEnabled: thp === undefined ? null : thp.trim() !== "0",
    coreDumping: numberOr("CoreDumping", 0) !== 0,
    threadFeatures: words(fields.get("x86_Thread_features") ?? ""),
    virtualBytes: bytes("VmSize"),
    dataBytes: bytes("VmData"),
    residentBytes: bytes("VmRSS"),
    residentAnonymousBytes: bytes("RssAnon"),
    residentSharedBytes: bytes("RssShmem"),
    lockedBytes: bytes("VmLck"),
    pinnedBytes: bytes("VmPin"),
    swappedBytes: bytes("VmSwap"),
  };
}

function kibibytes(value: string | undefined): number {
  if (value === undefined) return 0;
  return decimal(value.trim().split(" ")[0], FILE) * 1024;
}

function credentialIds(ids: readonly number[]): CredentialIds {
  const [real, effective, saved, fileSystem] = ids;
  if (real === undefined || effective === undefined || saved === undefined || fileSystem === undefined) {
    throw malformed(FILE, `ids ${ids.join(" ")}`);
  }
  return { real, effective, saved, fileSystem };
}

function unescapeComm(escaped: string): string {
  if (!escaped.includes("\\")) return escaped;
  return escaped.replaceAll(/\\([n\\])/g, (_, character: string) => (character === "n" ? "\n" : "\\"));
}

export function readStatus(pid: Pid): ProcessStatus | null {
  const raw = readProcRaw(`/proc/${pid}/status`);
  return raw === null ? null : parseStatus(raw);
}

export function readThreadStatus(pid: Pid, tid: Tid): ProcessStatus | null {
  const raw = readProcRaw(`/proc/${pid}/task/${tid}/status`);
  return raw === null ? null : parseStatus(raw);
}

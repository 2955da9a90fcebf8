/**
 * The look before anything is touched: whether every process of the tree is of a kind that can be carried over. A
 * refusal here leaves the job exactly as it was; what changes between the look and the freeze is found again when frozen.
 *
 * All obstacles are found one after the other, each as a value: a checkpoint stops at the first, `cairn check` tells them all.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Pid, Tid } from "../base/ids.ts";
import { asPid } from "../base/ids.ts";
import { nameToText } from "../base/names.ts";
import { openProcess } from "../kernel/descriptors.ts";
import {
  listThreads,
  readAllChildren,
  readComm,
  readLimits,
  readMaps,
  readNamespaces,
  readNumaMaps,
  readStat,
  readStatus,
  readThreadStat,
  readVmFlags,
} from "../kernel/procfs/mod.ts";
import { GONE, dispatchesSyscalls } from "../kernel/ptrace.ts";
import type { ProcessStatus } from "../kernel/procfs/mod.ts";
import { ProcessGone } from "../kernel/remote-memory.ts";
import type { FrozenProcess } from "../tracee/freeze.ts";
import { SCRATCH_BYTES } from "../tracee/remote-syscalls.ts";
import { listReferences } from "./descriptors.ts";
import type { DescriptorReference } from "./descriptors.ts";
import { lookAtMarks } from "./fanotify.ts";
import { inspectDescription } from "./files.ts";
import { lookAtWatches } from "./inotify.ts";
import { isProgram, lookAtThreads } from "./look-at-threads.ts";
import { planMapping } from "./mappings.ts";
import type { TreeSelection } from "./mod.ts";
import { workingDirectoryOf } from "./process.ts";
import { lookAtPidfds } from "./pidfds.ts";
import { inheritedFilters, lookForSeccomp } from "./seccomp.ts";
import type { WatchedPaths } from "./watched-paths.ts";

/** Namespaces that a restart does not make again for one process yet; a job that was restarted before may have its own of some. */
const NAMESPACE_NAMES = {
  ipc: "ipc",
  mnt: "mount",
  net: "network",
  pid: "pid",
  user: "user",
  uts: "uts",
  cgroup: "cgroup",
} as const;
const ONE_FOR_ALL = Object.keys(NAMESPACE_NAMES) as (keyof typeof NAMESPACE_NAMES)[];
/** Namespaces of children to come, by those that their parent is in itself. */
const FOR_CHILDREN = { pid_for_children: "pid", time_for_children: "time" } as const;

/** What took the look some time to find out, and need not be found out again while the job stands still. */
export interface Looked {
  /** Processes without any NUMA policy. */
  readonly withoutMemoryPolicy: ReadonlySet<Pid>;
}

/** Throws the first obstacle. */
export function look(roots: readonly Pid[], selection: TreeSelection, watchedPaths: WatchedPaths): Looked {
  for (const obstacle of obstacles(roots, selection, "quick", watchedPaths)) throw obstacle;
  return { withoutMemoryPolicy: new Set([...processesBelow(roots)].filter((pid) => !hasAnyMemoryPolicy(pid))) };
}

/**
 * `quick`: mappings by their names alone; flags need the kernel's walk over the page tables, and are looked at when frozen.
 * Everything else is the same.
 */
export type LookDepth = "quick" | "thorough";

/** What cannot be carried over: at most one error for each process, descriptor and mapping. Throws `exited` when nothing runs. */
export function* obstacles(
  roots: readonly Pid[],
  selection: TreeSelection,
  depth: LookDepth,
  watchedPaths: WatchedPaths,
): Generator<CairnError> {
  if (roots.length === 0 || (selection.kind === "process" && readStat(selection.rootPid) === null)) {
    throw new CairnError("exited", "The job has ended: there is no process left to save", { data: { pid: selection.rootPid } });
  }
  const reference = new GivenToAll(selection);
  const watching: DescriptorReference[] = [];
  const seen = new Set<Pid>();
  for (const pid of processesBelow(roots)) {
    seen.add(pid);
    yield* lookUnlessEnding(pid, reference, depth, watching);
  }
  const keeper = selection.kind === "keeper" ? selection.keeperPid : null;
  for (const one of watching) {
    yield* refusal(() => lookAtWatches(one, watchedPaths));
    yield* refusal(() => lookAtMarks(one, watchedPaths));
    yield* refusal(() => lookAtPidfds([one], seen, keeper));
  }
}

/** The tree as it is now, zombies included. */
export function* processesBelow(roots: readonly Pid[]): Generator<Pid> {
  const queue = [...roots];
  const seen = new Set<Pid>();
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    if (seen.has(pid)) continue;
    seen.add(pid);
    yield pid;
    queue.push(...(readAllChildren(pid) ?? []));
  }
}

/** Of the whole process or of a mapping. To find out takes the kernel as long as to walk all its page tables. */
export function hasAnyMemoryPolicy(pid: Pid): boolean {
  try {
    return readNumaMaps(pid)?.some(({ policy }) => policy !== "default") ?? false;
  } catch (error) {
    if (!isEnding(pid)) throw error;
    return false;
  }
}

/** What a process that is ending refuses to show is no reason to refuse the job. */
function* lookUnlessEnding(pid: Pid, reference: GivenToAll, depth: LookDepth, watching: DescriptorReference[]): Generator<CairnError> {
  try {
    for (const obstacle of lookAt(pid, reference, depth, watching)) {
      if (isEnding(pid)) return;
      // Whoever may not see one thing of a process sees none of the others either.
      const denied = obstacle.code === "permission";
      yield denied ? notAllowed(pid, obstacle) : obstacle;
      if (denied) return;
    }
  } catch (error) {
    if (isEnding(pid)) return;
    if (!(error instanceof CairnError) || error.code !== "permission") throw error;
    yield notAllowed(pid, error);
  }
}

/** What `check` refuses, so that the look can go on behind it. */
function* refusal(check: () => unknown): Generator<CairnError> {
  try {
    check();
  } catch (error) {
    if (!(error instanceof CairnError)) throw error;
    yield error;
  }
}

/** PF_EXITING of the kernel's sched.h: the thread has begun to end, and shows less and less of itself. */
const EXITING = 0x4;
/** The same: a thread of the kernel's own for io_uring. */
const PF_IO_WORKER = 0x10;

/** Whether every thread of the process has begun to end: one that ended by itself leaves a process that lives. */
function isEnding(pid: Pid): boolean {
  return (listThreads(pid) ?? []).every((tid) => hasBegunToEnd(pid, tid));
}

function hasBegunToEnd(pid: Pid, tid: Tid): boolean {
  const stat = readThreadStat(pid, tid);
  return stat === null || (stat.flags & EXITING) !== 0;
}

/** Looks again at what may have changed after the look, once all is frozen. */
export function lookAgain(frozen: FrozenProcess): void {
  requireReader(frozen);
  refuseNewNamespaces(frozen);
  refuseDispatch(frozen);
  lookAtThreads(
    frozen.reader,
    frozen.threads.map(({ tid }) => tid),
  );
}

/**
 * Of a process whose first thread has ended, descriptors are looked at by way of another thread, which Linux before 6.9 cannot. Asked
 * once more when all is frozen: the first thread may have ended after the look.
 */
function requireReader({ pid, reader }: Pick<FrozenProcess, "pid" | "reader">): void {
  if (reader === pid) return;
  try {
    using thread = openProcess(reader);
    void thread;
  } catch (error) {
    if (!(error instanceof SyscallError) || error.errnoName === "ESRCH") return;
    throw new CairnError("unsupported", `Cannot save process ${pid}: its first thread has ended while others run`, {
      data: { pid, kind: "first thread ended" },
      hint: "Programs whose main function ends by pthread_exit need Linux 6.9 or newer. The job was not changed",
      cause: error,
    });
  }
}

/**
 * Only a tracer is told of it, so this is seen once all is frozen, and before any thread is made to do anything: its first system
 * call of ours would end it by SIGSYS.
 */
function refuseDispatch({ pid, threads }: FrozenProcess): void {
  for (const { tid } of threads) {
    const isOn = dispatchesSyscalls(tid);
    if (isOn === GONE) throw new ProcessGone(pid);
    if (!isOn) continue;
    throw new CairnError("unsupported", `Cannot save process ${pid}${called(pid)}: its thread ${tid} uses syscall user dispatch`, {
      data: { pid, tid, kind: "syscall user dispatch" },
      hint: "Programs that have their own system calls turned into signals, as Wine does, are not carried over yet. The job runs on unchanged",
    });
  }
}

/** A thread by which the process can be read (see `FrozenProcess`); null when it is ending. */
function livingThread(pid: Pid): Pid | null {
  for (const tid of listThreads(pid) ?? []) {
    const stat = readThreadStat(pid, tid);
    if (stat !== null && (stat.flags & (EXITING | PF_IO_WORKER)) === 0) return tid as number as Pid;
  }
  return null;
}

/** `watching` gets the descriptors that are on other processes or files, which can be looked at when all processes are known. */
function* lookAt(process: Pid, reference: GivenToAll, depth: LookDepth, watching: DescriptorReference[]): Generator<CairnError> {
  const first = readStatus(process);
  if (first === null || first.state === "X" || (first.state === "Z" && first.threads <= 1)) return;
  const pid = first.state === "Z" ? livingThread(process) : process;
  const status = pid === null ? null : readStatus(pid);
  if (pid === null || status === null) return;
  yield* refusal(() => requireReader({ pid: process, reader: pid }));
  if (status.kernelThread) {
    yield new CairnError("unsupported", `Cannot save process ${pid}: it is a part of the kernel`, { data: { pid } });
    return;
  }
  if (status.tracerPid !== 0) {
    yield new CairnError("unsupported", `Cannot save process ${pid}: process ${status.tracerPid} traces it`, {
      data: { pid, tracer: status.tracerPid, kind: "traced" },
      hint: "End the debugger or tracer (gdb, strace) and try again",
    });
  }
  const threads = listThreads(pid) ?? [];
  yield* refusal(() => lookAtThreads(pid, threads));
  yield* refusal(() => lookForSeccomp(pid, threads, reference.filters, (tid) => isProgram(pid, tid)));
  yield* refusal(() => lookAtProgram(pid));
  yield* lookAtNamespaces(pid, reference);
  yield* refusal(() => workingDirectoryOf(pid));
  const flags = depth === "thorough" ? readVmFlags(pid) : null;
  for (const entry of readMaps(pid) ?? []) yield* refusal(() => planMapping(pid, entry, flags?.get(entry.start)));
  yield* refusal(() => lookAtLimits(status));
  const descriptors = listReferences(pid);
  for (const found of descriptors) yield* refusal(() => lookAtDescriptor(found));
  watching.push(...descriptors.filter(({ info }) => info.pidfd !== null || info.inotify.length > 0 || info.fanotify !== null));
}

/** The job runs: a descriptor that was listed may be closed by now, and that is no reason to refuse. */
function lookAtDescriptor(found: DescriptorReference): void {
  try {
    inspectDescription({ id: 0, references: [found] });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // A process that is ending shows nothing to an ordinary user; whether it may be saved at all the freeze finds out.
    if (code !== "ENOENT" && code !== "ESRCH" && code !== "EACCES") throw error;
  }
}

function notAllowed(pid: Pid, cause: unknown): CairnError {
  return new CairnError("permission", `Cannot save process ${pid}${called(pid)}: the system does not let this user look into it`, {
    data: { pid },
    hint: "Run as the user who owns the process, or as root; `cairn doctor` says what restricts tracing here",
    cause,
  });
}

function called(pid: Pid): string {
  const name = readComm(pid);
  return name === null ? "" : ` (${nameToText(name)})`;
}

const ELF_CLASS_AT = 4;
const ELF_CLASS_32 = 1;

function lookAtProgram(pid: Pid): void {
  const header = Buffer.alloc(ELF_CLASS_AT + 1);
  let fd: number;
  try {
    fd = openSync(`/proc/${pid}/exe`, "r");
  } catch {
    return; // Not to be read by this user, or ending: what follows says which.
  }
  try {
    readSync(fd, header, 0, header.length, 0);
  } finally {
    closeSync(fd);
  }
  if (header[ELF_CLASS_AT] !== ELF_CLASS_32) return;
  throw new CairnError("unsupported", `Cannot save process ${pid}: it is a 32-bit program`, {
    data: { pid, kind: "32-bit" },
    hint: "Only 64-bit programs are carried over; start its 64-bit version. The job was not changed",
  });
}

/** What a restart gives to all processes alike. */
class GivenToAll {
  /** The keeper's, which are those of whoever started or restarted the job. */
  readonly others: Namespaces | null;
  /** Seccomp filters of the keeper, which are on every process of the job. */
  readonly filters: number;
  /** It may be the job's own, made by a restart or around its start: but one for all. */
  #time: { readonly inode: bigint; readonly of: Pid } | undefined;

  constructor(selection: TreeSelection) {
    this.others = readNamespaces(selection.kind === "keeper" ? selection.keeperPid : asPid(process.pid));
    this.filters = inheritedFilters(selection);
  }

  requireOneTime(pid: Pid, inode: bigint | undefined): void {
    if (inode === undefined) return;
    this.#time ??= { inode, of: pid };
    if (this.#time.inode === inode) return;
    throw ownNamespace(pid, "time", `: process ${this.#time.of} has another`);
  }
}

function* lookAtNamespaces(pid: Pid, reference: GivenToAll): Generator<CairnError> {
  const own = readNamespaces(pid);
  const { others } = reference;
  if (own === null || others === null) return;
  for (const kind of ONE_FOR_ALL) {
    // A process that is ending has lost some of them already.
    if (own[kind] === undefined || others[kind] === undefined || own[kind] === others[kind]) continue;
    yield ownNamespace(pid, NAMESPACE_NAMES[kind]);
  }
  yield* refusal(() => reference.requireOneTime(pid, own.time));
  yield* refusal(() => refuseNamespaceOfChildren(pid, own, others));
}

function ownNamespace(pid: Pid, kind: string, detail = ""): CairnError {
  return new CairnError("unsupported", `Cannot save process ${pid}: it has a ${kind} namespace of its own${detail}`, {
    data: { pid, kind: `${kind} namespace` },
    hint: "Namespaces that a job makes are not carried over yet; start the program without, or run cairn inside them. The job was not changed",
  });
}

type Namespaces = NonNullable<ReturnType<typeof readNamespaces>>;

/** After unshare(CLONE_NEWPID) the next child is a namespace's init: the copy of the process's memory must not be that, nor could a restart make it. */
function refuseNamespaceOfChildren(pid: Pid, own: Namespaces, others: Namespaces): void {
  for (const link of ["pid_for_children", "time_for_children"] as const) {
    const kind = FOR_CHILDREN[link];
    // The link is missing before the new namespace's first process, and where the kernel has none of its kind: the reference tells.
    if (others[link] === undefined || own[kind] === undefined || own[link] === own[kind]) continue;
    throw new CairnError(
      "unsupported",
      `Cannot save process ${pid}${called(pid)}: its next children are to be in a ${kind} namespace of their own`,
      {
        data: { pid, kind: `${kind} namespace` },
        hint: "Namespaces that a job makes are not carried over yet. The job was not changed",
      },
    );
  }
}

/** The same once all is frozen. */
function refuseNewNamespaces({ pid, reader }: FrozenProcess): void {
  const own = readNamespaces(reader);
  const others = readNamespaces(asPid(process.pid));
  if (own !== null && others !== null) refuseNamespaceOfChildren(pid, own, others);
}
const RLIMIT_DATA = 2;
const RLIMIT_AS = 9;

/** Whether the process may still map what its own system calls for us need. */
function lookAtLimits({ pid, name, dataBytes, virtualBytes }: ProcessStatus): void {
  const limits = readLimits(pid) ?? [];
  for (const { resource, used, what, option, command } of [
    { resource: RLIMIT_AS, used: virtualBytes, what: "address space", option: "--as", command: "ulimit -v" },
    { resource: RLIMIT_DATA, used: dataBytes, what: "data", option: "--data", command: "ulimit -d" },
  ]) {
    const { soft, hard } = limits.find((limit) => limit.resource === resource) ?? { soft: "unlimited", hard: "unlimited" };
    if (soft === "unlimited" || BigInt(used + SCRATCH_BYTES) <= soft) continue;
    const enough = BigInt(used) + (1n << 20n);
    // The colon leaves the hard limit as it is.
    const value = hard === "unlimited" || hard >= enough ? `${enough}:` : enough;
    throw new CairnError(
      "unsupported",
      `Cannot save process ${pid} (${nameToText(name)}): its limit of ${what} leaves no room for the ${SCRATCH_BYTES >> 10} KiB that a checkpoint needs in it for a moment`,
      {
        data: { pid, kind: `limit of ${what}`, soft: soft.toString(), used },
        hint: `Raise it: prlimit --pid ${pid} ${option}=${value}, or ${command} before the program is started. The job was not changed`,
      },
    );
  }
}

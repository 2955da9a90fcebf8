/**
 * Freezing: every thread of every process of a tree, stopped under our trace and kept so until it is thawed.
 *
 * A tree changes while it is being stopped. What holds it together:
 * - a process is frozen when a pass over its threads finds none that is not stopped: only its own threads make new ones;
 * - its children are looked for after that: only its own threads make them (or its descendants' orphans come to it,
 *   which the last pass over the whole tree sees);
 * - the tree is frozen when a whole pass finds nothing new.
 *
 * A parent inside vfork(2) can't stop before its child execs or exits, and a child that we stopped does neither:
 *   1. P calls vfork, C runs in P's memory, P sleeps uninterruptibly;
 *   2. we seize P and interrupt it: nothing happens until C lets P go;
 *   3. we seize C and stop it: now neither can go on.
 * So a thread that stays in state D while a child shares its memory makes us let go of everything and try again.
 */
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Pid, Tid } from "../base/ids.ts";
import { asRemoteAddress, asTid } from "../base/ids.ts";
import { compareKernelObjects } from "../kernel/kcmp.ts";
import { pauseMicroseconds } from "../kernel/pause.ts";
import { hasEnded, listThreads, readAllChildren, readStat, readStatus, readThreadStat } from "../kernel/procfs/mod.ts";
import {
  EVENT_STOP,
  GONE,
  TRACE_SYSCALL_GOOD,
  WNOHANG,
  interrupt,
  resume,
  seize,
  setGeneralRegisters,
  waitKeepingSignal,
  getGeneralRegisters,
  getRseq,
  getSignalMask,
} from "../kernel/ptrace.ts";
import { ProcessGone, readRemoteExactly } from "../kernel/remote-memory.ts";
import { rememberLetGo, shortenLimit } from "./asleep.ts";
import { tryReap } from "./patience.ts";
import { detachAll, rememberEnded } from "./unreported.ts";
import { Registers } from "./x86-64/registers.ts";
import { ERESTARTNOHAND, isEintrOfOurStop } from "./x86-64/restart-codes.ts";

const SIGTRAP = 5;
/** include/linux/sched.h: the field `flags` of /proc/PID/stat. */
const PF_IO_WORKER = 0x10;
/** Some three seconds in all: a vfork that starts a program is over in less than a millisecond. */
const ATTEMPTS = 240;
const PASSES = 1000;
/** How long one thread may take to stop before we look at why. */
const PATIENCE_POLLS = 400;
const POLL_MICROSECONDS = 50;
/** Polls (of a growing pause) after which an uninterruptible thread is given up. */
const LAST_POLL = 40_000;
/** How often, and how long apart, a thread is looked at that can be let go only once it has stopped: some ten seconds in all. */
const SETTLING_POLLS = 5000;
const SETTLING_MICROSECONDS = 2000;

export interface FrozenThread {
  readonly tid: Tid;
  readonly registers: Registers;
  readonly signalMask: bigint;
}

export interface FrozenProcess {
  readonly pid: Pid;
  /**
   * By what the process is read: a thread that lives. Of a process whose first thread has ended /proc shows nothing under its pid; under
   * the number of any other thread it shows all.
   */
  readonly reader: Pid;
  /** The leader first, unless it has already ended. */
  readonly threads: readonly FrozenThread[];
  /** The signal that stopped the process (job control) before we came; 0 when it ran. */
  readonly stopSignal: number;
}

/** Which processes belong to the tree, asked again and again while it is being frozen. */
export interface TreeRoots {
  /** Processes that are the tops of the tree now. */
  list(): readonly Pid[];
}

interface Entry {
  readonly threads: Map<Tid, { stopped: boolean; stopSignal: number }>;
}

/** A tree of stopped processes. Disposing of it lets them go on as if nothing had happened. */
export class FrozenTree implements Disposable {
  readonly processes: readonly FrozenProcess[];
  readonly zombies: readonly Pid[];
  #thawed = false;

  constructor(processes: readonly FrozenProcess[], zombies: readonly Pid[]) {
    this.processes = processes;
    this.zombies = zombies;
  }

  thaw(): void {
    if (this.#thawed) return;
    this.#thawed = true;
    for (const { pid, threads } of this.processes) for (const { tid } of threads) rememberLetGo(pid, tid);
    detachAll(this.processes.flatMap(({ threads }) => threads.map(({ tid }) => tid)));
  }

  /** Ends every process; none of them runs another instruction. */
  kill(): void {
    this.#thawed = true;
    for (const { pid } of this.processes) tryKill(pid);
    for (const frozen of this.processes) for (const thread of [...frozen.threads].reverse()) tryReap(thread.tid);
  }

  [Symbol.dispose](): void {
    this.thaw();
  }
}

function tryKill(pid: Pid): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

class VforkInProgress extends Error {
  readonly pid: Pid;
  constructor(pid: Pid) {
    super(`process ${pid} is in vfork`);
    this.pid = pid;
  }
}

/** Freezes the tree. Throws a CairnError when it can't be done; then everything runs on. */
export function freeze(roots: TreeRoots): FrozenTree {
  let parent: Pid | undefined;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const entries = new Map<Pid, Entry>();
    try {
      return tryFreeze(roots, entries);
    } catch (error) {
      letGo(entries);
      // Killed from outside after it was stopped: the tree is another one now.
      if (error instanceof ProcessGone) continue;
      if (!(error instanceof VforkInProgress)) throw error;
      parent = error.pid;
      // Longer and longer, in steps that do not keep time with the job's own loop.
      pauseMicroseconds(200 + 97 * attempt);
    }
  }
  if (parent === undefined)
    throw new CairnError("exited", "Cannot freeze the job: its processes are killed faster than they can be stopped");
  throw new CairnError("unsupported", `Cannot freeze the job: process ${parent} waits in vfork for a child that neither execs nor exits`, {
    data: { pid: parent, kind: "vfork" },
    hint: "Try again when the child has started its program. The job was not changed",
  });
}

/** Lets every thread go on: first those that stand, then those that could not stop because of them. */
function letGo(entries: ReadonlyMap<Pid, Entry>): void {
  const threads = [...entries].flatMap(([pid, entry]) => [...entry.threads].map(([tid, { stopped }]) => ({ pid, tid, stopped })));
  detachAll(threads.filter(({ stopped }) => stopped).map(({ tid }) => tid));
  for (const { pid, tid, stopped } of threads) {
    if (stopped) continue;
    settle(pid, tid);
    detachAll([tid]);
  }
}

function tryFreeze(roots: TreeRoots, entries: Map<Pid, Entry>): FrozenTree {
  const zombies = new Set<Pid>();
  for (let pass = 0; ; pass += 1) {
    if (pass === PASSES) throw new CairnError("unsupported", "Cannot freeze the job: it makes processes faster than they can be stopped");
    zombies.clear();
    if (!freezeNew(roots, entries, zombies)) break;
  }
  const processes: FrozenProcess[] = [];
  for (const [pid, entry] of entries) {
    if (entry.threads.size > 0) processes.push(finish(pid, entry));
  }
  return new FrozenTree(processes, [...zombies]);
}

/** One pass over the tree: whether anything was found that was not frozen before. */
function freezeNew(roots: TreeRoots, entries: Map<Pid, Entry>, zombies: Set<Pid>): boolean {
  let found = false;
  const queue: Pid[] = [...roots.list()];
  const seen = new Set<Pid>();
  for (let at = 0; at < queue.length; at += 1) {
    const pid = queue[at] as Pid;
    if (seen.has(pid)) continue;
    seen.add(pid);
    const stat = readStat(pid);
    if (stat === null) continue;
    if (hasEnded(stat)) {
      zombies.add(pid);
      dropEnded(pid, entries);
      continue;
    }
    if (freezeProcess(pid, entries)) found = true;
    queue.push(...(readAllChildren(pid) ?? []));
  }
  for (const pid of entries.keys()) if (!seen.has(pid)) dropEnded(pid, entries);
  return found;
}

/** A process that ended after its threads were seized: nothing of it is left to hold. */
function dropEnded(pid: Pid, entries: Map<Pid, Entry>): void {
  const entry = entries.get(pid);
  if (entry === undefined) return;
  detachAll(entry.threads.keys());
  entries.delete(pid);
}

/** Tells of a parent that sleeps in vfork before it is seized: it could not be let go again until its child does. */
function throwIfInVfork(pid: Pid, tid: Tid): void {
  if (isInVfork(pid, tid)) throw new VforkInProgress(pid);
}

/** Stops all threads of one process; whether any was new. */
function freezeProcess(pid: Pid, entries: Map<Pid, Entry>): boolean {
  let entry = entries.get(pid);
  if (entry === undefined) {
    entry = { threads: new Map() };
    entries.set(pid, entry);
  }
  let foundAny = false;
  for (;;) {
    const fresh = (listThreads(pid) ?? []).filter((tid) => !entry.threads.has(tid));
    const seized: Tid[] = [];
    for (const tid of fresh) {
      const stat = readThreadStat(pid, tid);
      // A worker of an io_uring is the kernel's: it could be stopped, but there is no program in it that could be saved.
      if (stat !== null && (stat.flags & PF_IO_WORKER) !== 0) continue;
      if (stat?.state === "D") throwIfInVfork(pid, tid);
      if (trySeize(pid, tid)) {
        entry.threads.set(tid, { stopped: false, stopSignal: 0 });
        seized.push(tid);
      }
    }
    if (seized.length === 0) return foundAny;
    foundAny = true;
    for (const tid of seized) interrupt(tid);
    for (const tid of seized) {
      const stop = awaitStop(pid, tid);
      if (stop === null) entry.threads.delete(tid);
      else Object.assign(entry.threads.get(tid) ?? {}, { stopped: true, stopSignal: stop });
    }
  }
}

/**
 * Without TRACE_CLONE: between the seizure and the stop a thread may make another, which would be traced before we have
 * looked at it. It is found as what it is, a new thread, by the next pass.
 */
function trySeize(pid: Pid, tid: Tid): boolean {
  try {
    return seize(tid, TRACE_SYSCALL_GOOD) !== GONE;
  } catch (error) {
    if (!(error instanceof SyscallError) || error.errnoName !== "EPERM") throw error;
    const stat = readThreadStat(pid, tid);
    // A thread that is ending can't be seized; what remains of a leader whose threads go on is no obstacle.
    if (stat === null || stat.state === "Z" || stat.state === "X") return false;
    throw refusal(pid, error);
  }
}

function refusal(pid: Pid, cause: SyscallError): CairnError {
  const tracer = tracerOf(pid);
  if (tracer !== 0) {
    return new CairnError("unsupported", `Cannot save process ${pid}: process ${tracer} traces it`, {
      data: { pid, tracer },
      hint: "End the debugger or tracer (gdb, strace) and try again",
      cause,
    });
  }
  return new CairnError("permission", `Cannot save process ${pid}: the system does not let this user trace it`, {
    data: { pid },
    hint: "Run as the user who owns the process, or as root; `cairn doctor` says what restricts tracing here",
    cause,
  });
}

function tracerOf(pid: Pid): number {
  return readStatus(pid)?.tracerPid ?? 0;
}

/**
 * Waits until a thread that was interrupted stops: 0 or the job-control signal it is stopped by; null when it ended.
 */
function awaitStop(pid: Pid, tid: Tid): number | null {
  for (let poll = 0; poll < LAST_POLL; poll += 1) {
    const outcome = waitKeepingSignal(tid, WNOHANG);
    if (outcome.kind === "no-child" || outcome.kind === "ended") return null;
    if (outcome.kind === "stopped") {
      if (outcome.event === EVENT_STOP) return outcome.signal === SIGTRAP ? 0 : outcome.signal;
      // A signal that was on its way: it is delivered, and the interrupt stops the thread right after.
      if (resume(tid, outcome.event === 0 ? outcome.signal : 0) === GONE) return null;
      continue;
    }
    if (poll > 20) pauseMicroseconds(POLL_MICROSECONDS);
    if (poll % 16 === 15) {
      if (hasThreadEnded(pid, tid)) {
        rememberEnded(tid);
        return null;
      }
      throwIfInVfork(pid, tid);
    }
    if (poll > PATIENCE_POLLS && poll % 100 === 0) pauseMicroseconds(1000);
  }
  throw new CairnError("unsupported", `Cannot freeze process ${pid}: thread ${tid} is in a wait that no signal ends`, {
    data: { pid, tid },
    hint: "It waits for a device or a network file system; try again when that answers. The job was not changed",
  });
}

/** A leader that ended while others of its process live: no wait tells of it before they have ended too. */
function hasThreadEnded(pid: Pid, tid: Tid): boolean {
  const state = readThreadStat(pid, tid)?.state ?? "X";
  return state === "Z" || state === "X";
}

function isInVfork(pid: Pid, tid: Tid): boolean {
  if (readThreadStat(pid, tid)?.state !== "D") return false;
  return (readAllChildren(pid) ?? []).some((child) => {
    try {
      return compareKernelObjects("memory", pid, child) === 0;
    } catch {
      return false; // It ended or changed its credentials meanwhile.
    }
  });
}

/** Waits for a stop, or the end: used only to let go. What does not come is let go when it does. */
function settle(pid: Pid, tid: Tid): void {
  for (let poll = 0; !hasThreadEnded(pid, tid); poll += 1) {
    if (poll === SETTLING_POLLS) {
      rememberEnded(tid);
      return;
    }
    const outcome = waitKeepingSignal(tid, WNOHANG);
    if (outcome.kind === "no-child" || outcome.kind === "ended") return;
    if (outcome.kind === "stopped") {
      if (outcome.event === EVENT_STOP) return;
      resume(tid, outcome.event === 0 ? outcome.signal : 0);
    }
    pauseMicroseconds(poll < PATIENCE_POLLS ? POLL_MICROSECONDS : SETTLING_MICROSECONDS);
  }
}

function finish(pid: Pid, entry: Entry): FrozenProcess {
  const threads: FrozenThread[] = [];
  let stopSignal = 0;
  for (const [tid, state] of entry.threads) {
    const bytes = getGeneralRegisters(tid);
    const signalMask = getSignalMask(tid);
    if (bytes === GONE || signalMask === GONE) throw new ProcessGone(pid);
    const registers = new Registers(bytes);
    leaveCriticalSection(tid, registers);
    if (isEintrOfOurStop(registers.syscall, registers.result)) {
      registers.set("rax", BigInt(ERESTARTNOHAND));
      shortenLimit(pid, tid, registers);
      setGeneralRegisters(tid, registers.bytes);
    }
    if (state.stopSignal !== 0) stopSignal = state.stopSignal;
    threads.push({ tid, registers, signalMask });
  }
  threads.sort((a, b) => Number(b.tid === asTid(pid)) - Number(a.tid === asTid(pid)) || a.tid - b.tid);
  return { pid, reader: (threads[0]?.tid ?? pid) as number as Pid, threads, stopSignal };
}

const RSEQ_CRITICAL_SECTION_AT = 8n;

/**
 * A thread stopped inside a restartable sequence (rseq(2)) was preempted there, and the kernel sends a preempted thread
 * to the sequence's abort handler. It would do so on its own, but not once we have borrowed the thread: by then the
 * registers point elsewhere, and it forgets the sequence. So the thread is sent there at once.
 */
function leaveCriticalSection(tid: Tid, registers: Registers): void {
  const rseq = getRseq(tid);
  if (rseq === GONE || rseq === null) return;
  // By the thread's own id: what has ended of a process whose first thread has ended shows no memory.
  const reader = tid as number as Pid;
  const pointer = readRemoteExactly(reader, asRemoteAddress(rseq.address + RSEQ_CRITICAL_SECTION_AT), 8).readBigUInt64LE(0);
  if (pointer === 0n) return;
  // struct rseq_cs: version, flags (u32 each), start_ip, post_commit_offset, abort_ip (u64 each).
  const section = readRemoteExactly(reader, asRemoteAddress(pointer), 32);
  const start = section.readBigUInt64LE(8);
  const offset = registers.get("rip") - start;
  if (offset < 0n || offset >= section.readBigUInt64LE(16)) return;
  registers.set("rip", section.readBigUInt64LE(24));
  setGeneralRegisters(tid, registers.bytes);
}

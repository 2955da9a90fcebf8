/**
 * System calls inside a stopped process, in a way that leaves nothing behind: neither when all goes well, nor when
 * this process is killed at any instruction (see x86-64/trampoline.ts).
 *
 * Invariants:
 * - while a thread's registers point into a trampoline, the trampoline brings it back by itself;
 * - registers are pointed at the trampoline before the signal mask is closed, and the mask is opened before they are
 *   set back: a kill in between leaves a thread whose trampoline sets its mask;
 * - a call at which a thread's seccomp filters would end it is not made: they are suspended, but only as long as we live;
 * - the main thread borrowed stays borrowed as long as the scratch mapping exists, and only its trampoline unmaps it.
 */
import { AssertionError, assert } from "../base/assert.ts";
import { CairnError } from "../base/errors.ts";
import type { Pid, RemoteAddress, Tid } from "../base/ids.ts";
import { asRemoteAddress } from "../base/ids.ts";
import { SYSCALLS, syscallName } from "../kernel/abi/x86-64/syscalls.ts";
import {
  EVENT_CLONE,
  EVENT_STOP,
  GONE,
  SYSCALL_STOP_SIGNAL,
  TRACE_CLONE,
  TRACE_SUSPEND_SECCOMP,
  TRACE_SYSCALL_GOOD,
  eventMessage,
  getGeneralRegisters,
  interrupt,
  resume,
  resumeToSyscall,
  setGeneralRegisters,
  setOptions,
  setSignalMask,
} from "../kernel/ptrace.ts";
import type { WaitOutcome } from "../kernel/ptrace.ts";
import { ProcessGone, RemoteMemoryFile, readRemoteExactly } from "../kernel/remote-memory.ts";
import { unresponsive, waitPatiently } from "./patience.ts";
import type { Verdict } from "./seccomp-verdict.ts";
import { verdictOf } from "./seccomp-verdict.ts";
import { Registers } from "./x86-64/registers.ts";
import { AFTER_SYSCALL, TRAMPOLINE_BYTES, trampoline } from "./x86-64/trampoline.ts";
import type { TrampolineVariant } from "./x86-64/trampoline.ts";
import { PLACE_MARK, findTrampolinePlace } from "./x86-64/trampoline-place.ts";
import type { ExecutableRange } from "./x86-64/trampoline-place.ts";

const ALL_SIGNALS = 0xffff_ffff_ffff_ffffn;
/** Stops on the way to the end of one system call: two, and a few for job control. More means that we are lost. */
const MAX_STOPS = 1000;
/** One for the main thread, one for another. */
const PLACE_BYTES = 2 * TRAMPOLINE_BYTES;
export const SCRATCH_BYTES = 65536;
const PROT_READ_WRITE = 3n;
/** wait4(2) for a child of whatever number, __WALL. */
const REAP_ARGUMENTS = [1n, 0n, 0x40000000n, 0n];
const MAP_PRIVATE_ANONYMOUS = 0x22n;

/** A stopped thread as the freeze found it. */
export interface BorrowableThread {
  readonly tid: Tid;
  readonly registers: Registers;
  readonly signalMask: bigint;
}

/** Waits for the next stop of a thread that is about to stop; the end of the thread is thrown as ProcessGone. Errors: `unsupported` when it does not come. */
export function waitForStop(pid: Pid, tid: Tid): Extract<WaitOutcome, { kind: "stopped" }> {
  const outcome = waitPatiently(tid);
  if (outcome.kind === "stopped") return outcome;
  if (outcome.kind === "nothing") throw unresponsive(pid, tid);
  throw new ProcessGone(pid);
}

function alive<T>(pid: Pid, value: T | typeof GONE): T {
  if (value === GONE) throw new ProcessGone(pid);
  return value;
}

/** Seccomp filters of those threads whose filters are suspended. */
export type SuspendedFilters = ReadonlyMap<Tid, readonly Buffer[]>;

const NO_FILTERS: SuspendedFilters = new Map();
/** rt_sigprocmask(2) that asks for nothing: with any filter that lets the trampoline bring the thread back, it does nothing. */
const HARMLESS_ARGUMENTS = [0n, 0n, 0n, 8n];

/** One thread on its trampoline. */
export class BorrowedThread {
  readonly tid: Tid;
  readonly #pid: Pid;
  readonly #own: BorrowableThread;
  #place: RemoteAddress;
  readonly #memory: RemoteMemoryFile;
  readonly #filters: readonly Buffer[];

  constructor(
    pid: Pid,
    thread: BorrowableThread,
    place: RemoteAddress,
    memory: RemoteMemoryFile,
    variant: TrampolineVariant,
    filters: readonly Buffer[],
  ) {
    this.#pid = pid;
    this.tid = thread.tid;
    this.#own = thread;
    this.#place = place;
    this.#memory = memory;
    this.#filters = filters;
    this.write(variant);
    this.#load(SYSCALLS.rt_sigprocmask, HARMLESS_ARGUMENTS);
    alive(pid, setSignalMask(this.tid, ALL_SIGNALS));
  }

  write(variant: TrampolineVariant): void {
    this.#memory.write(this.#place, trampoline(this.#own.registers, this.#own.signalMask, variant));
  }

  /**
   * From now on the thread uses the trampoline at `place`, with `variant`. Takes effect with the registers of the next
   * call, in one step, so that a kill meets either the old trampoline or the new one with its call loaded.
   */
  moveTo(place: RemoteAddress, variant: TrampolineVariant): void {
    this.#place = place;
    this.write(variant);
  }

  #load(number: number, args: readonly bigint[]): void {
    const registers = this.#own.registers.copy();
    registers.loadSyscall(this.#place, number, args);
    alive(this.#pid, setGeneralRegisters(this.tid, registers.bytes));
  }

  /**
   * Makes one system call in the thread: its result, negated errno included. `onClone` is told of a process that the
   * call makes, in this process's numbering.
   */
  call(number: number, args: readonly bigint[], onClone?: (child: Tid) => void): bigint {
    if (this.verdict(number, args) === "fatal") throw fatalCall(this.#pid, this.tid, number);
    this.#load(number, args);
    let entered = false;
    let signal = 0;
    for (let stops = 0; stops < MAX_STOPS; stops += 1) {
      alive(this.#pid, resumeToSyscall(this.tid, signal));
      signal = 0;
      const stop = waitForStop(this.#pid, this.tid);
      if (stop.event === 0 && stop.signal === SYSCALL_STOP_SIGNAL) {
        if (entered) return resultOf(this.tid, this.#pid);
        entered = true;
      } else if (stop.event === EVENT_CLONE) {
        onClone?.(alive(this.#pid, eventMessage(this.tid)) as Tid);
      } else if (stop.event === 0) {
        // SIGSTOP can't be blocked: hand it on, the group stop that follows holds until we let go.
        signal = stop.signal;
      }
      // Anything else is a group stop or the trap of an earlier interrupt: go on.
    }
    throw new AssertionError(`thread ${this.tid} never reached the end of system call ${number}`);
  }

  /** What the call would meet if we were killed meanwhile, and the thread's filters were in force again. */
  verdict(number: number, args: readonly bigint[]): Verdict {
    return verdictOf(this.#filters, { number, arguments: args, instruction: this.#place + AFTER_SYSCALL });
  }

  /** Sets the thread back to where it was, stopped in the state that PTRACE_INTERRUPT leaves. */
  giveBack(): void {
    alive(this.#pid, interrupt(this.tid));
    let signal = 0;
    for (let stops = 0; ; stops += 1) {
      assert(stops < MAX_STOPS, `thread ${this.tid} never stops`);
      alive(this.#pid, resume(this.tid, signal));
      const stop = waitForStop(this.#pid, this.tid);
      if (stop.event === EVENT_STOP) break;
      signal = stop.event === 0 && stop.signal !== SYSCALL_STOP_SIGNAL ? stop.signal : 0;
    }
    alive(this.#pid, setSignalMask(this.tid, this.#own.signalMask));
    alive(this.#pid, setGeneralRegisters(this.tid, this.#own.registers.bytes));
  }
}

function resultOf(tid: Tid, pid: Pid): bigint {
  const registers = new Registers(alive(pid, getGeneralRegisters(tid)));
  return BigInt.asIntN(64, registers.get("rax"));
}

function fatalCall(pid: Pid, tid: Tid, number: number): CairnError {
  const name = syscallName(number) ?? `system call ${number}`;
  return new CairnError("unsupported", `Cannot save process ${pid}: thread ${tid} runs under a seccomp filter that ends it for ${name}`, {
    data: { pid, tid, kind: "seccomp", call: name },
    hint: "A checkpoint asks by this call, and cairn may be killed meanwhile; have the filter allow it or answer with an error, or start the program without its sandbox. The job was not changed",
  });
}

/** Makes a system call in a thread; the result, a negated errno included. */
export type RemoteCall = (number: number, ...args: bigint[]) => bigint;

/**
 * A process whose threads can be made to do system calls, with a scratch mapping for their arguments and results.
 * Precondition: every thread of the process is stopped by us; threads[0] is alive.
 */
export class RemoteSyscalls implements Disposable {
  readonly pid: Pid;
  readonly scratch: RemoteAddress;
  readonly scratchBytes = SCRATCH_BYTES;
  readonly #memory: RemoteMemoryFile;
  readonly #place: RemoteAddress;
  readonly #main: BorrowedThread;
  readonly #threads: ReadonlyMap<Tid, BorrowableThread>;
  readonly #filters: SuspendedFilters;
  #closed = false;

  /** Precondition: filters allow what the trampoline itself does. */
  constructor(
    pid: Pid,
    threads: readonly BorrowableThread[],
    executable: readonly ExecutableRange[],
    filters: SuspendedFilters = NO_FILTERS,
  ) {
    const first = threads[0];
    if (first === undefined) throw new ProcessGone(pid);
    this.pid = pid;
    this.#threads = new Map(threads.map((thread) => [thread.tid, thread]));
    this.#filters = filters;
    this.#memory = new RemoteMemoryFile(pid);
    let main: BorrowedThread | undefined;
    try {
      const standing = threads.map(({ registers }) => ({ instruction: registers.get("rip"), stack: registers.get("rsp") }));
      const place = findTrampolinePlace(this.#memory, executable, PLACE_BYTES, standing);
      if (place === null) {
        throw new CairnError("unsupported", `Cannot save process ${pid}: it has no executable memory with room for ${PLACE_BYTES} bytes`, {
          data: { pid },
        });
      }
      this.#place = place;
      this.#memory.write(asRemoteAddress(place + BigInt(PLACE_BYTES)), PLACE_MARK);
      main = this.#borrow(first, place, { kind: "map", lengthBytes: SCRATCH_BYTES });
      const mapped = main.call(SYSCALLS.mmap, [0n, BigInt(SCRATCH_BYTES), PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1n, 0n]);
      if (mapped < 0n) {
        throw new CairnError("unsupported", `Cannot save process ${pid}: no room for ${SCRATCH_BYTES >> 10} KiB in its address space`, {
          data: { pid, errno: Number(-mapped) },
          hint: "A limit of it is reached (ulimit -v, ulimit -d) or the system has no memory; raise it with prlimit, or try again. The job runs on unchanged",
        });
      }
      this.scratch = asRemoteAddress(mapped);
      main.write({ kind: "call", scratch: { address: mapped, lengthBytes: SCRATCH_BYTES } });
      this.#main = main;
    } catch (error) {
      try {
        main?.giveBack();
      } finally {
        this.#memory[Symbol.dispose]();
      }
      throw error;
    }
  }

  #borrow(thread: BorrowableThread, place: RemoteAddress, variant: TrampolineVariant): BorrowedThread {
    return new BorrowedThread(this.pid, thread, place, this.#memory, variant, this.#filters.get(thread.tid) ?? []);
  }

  /** How the main thread is traced, and what it makes by `clone`: seccomp filters of a copy are suspended as well. */
  get traceOptions(): number {
    return TRACE_SYSCALL_GOOD | (this.#filters.has(this.#main.tid) ? TRACE_SUSPEND_SECCOMP : 0);
  }

  /** A system call in the main thread. */
  call(number: number, ...args: bigint[]): bigint {
    return this.#main.call(number, args);
  }

  /** Runs `work` with a caller for system calls in `tid`, which is given back afterwards. */
  inThread<T>(tid: Tid, work: (call: RemoteCall) => T): T {
    if (tid === this.#main.tid) return work((number, ...args) => this.#main.call(number, args));
    const thread = this.#threads.get(tid);
    if (thread === undefined) throw new ProcessGone(this.pid);
    const borrowed = this.#borrow(thread, this.#secondPlace, { kind: "call", scratch: null });
    try {
      return work((number, ...args) => borrowed.call(number, args));
    } finally {
      borrowed.giveBack();
    }
  }

  /**
   * clone(2) in the main thread: the new process, stopped under our trace, standing at the trampoline. The caller
   * reaps it by `reapClone`. Gives a negated errno when the process can't be copied; 0 when a seccomp filter stands against it.
   */
  clone(flags: bigint): { readonly child: Tid; readonly numberInside: bigint; readonly place: RemoteAddress } | { readonly errno: number } {
    // The trampoline has to be able to reap: a copy's helper would stay in the job for good.
    const mayClone = this.#main.verdict(SYSCALLS.clone, [flags, 0n, 0n, 0n, 0n]) !== "fatal";
    if (!mayClone || this.#main.verdict(SYSCALLS.wait4, REAP_ARGUMENTS) !== "allowed") return { errno: 0 };
    // In the second place: written where the thread stands, it would take the result of the call before for that of clone, and 0 for a child.
    this.#main.moveTo(this.#secondPlace, { kind: "clone", scratch: { address: this.scratch, lengthBytes: SCRATCH_BYTES } });
    let child: Tid | undefined;
    // Only now: what the call makes is ours from its first instruction on.
    alive(this.pid, setOptions(this.#main.tid, this.traceOptions | TRACE_CLONE));
    const result = this.#main.call(SYSCALLS.clone, [flags, 0n, 0n, 0n, 0n], (made) => {
      child = made;
    });
    if (result < 0n || child === undefined) {
      this.#leaveSecondPlace();
      return { errno: Number(-result) };
    }
    return { child, numberInside: result, place: this.#place };
  }

  /** Waits, inside, for a child made by `clone` that has ended. */
  reapClone(numberInside: bigint): void {
    this.#main.call(SYSCALLS.wait4, [numberInside, ...REAP_ARGUMENTS.slice(1)]);
    this.#leaveSecondPlace();
  }

  #leaveSecondPlace(): void {
    this.#main.moveTo(this.#place, { kind: "call", scratch: { address: this.scratch, lengthBytes: SCRATCH_BYTES } });
    this.#main.call(SYSCALLS.rt_sigprocmask, HARMLESS_ARGUMENTS);
  }

  /** Of two trampolines: for other threads, and for the main one on its way to another variant. */
  get #secondPlace(): RemoteAddress {
    return asRemoteAddress(this.#place + BigInt(TRAMPOLINE_BYTES));
  }

  readScratch(lengthBytes: number, offsetBytes = 0): Buffer {
    return readRemoteExactly(this.pid, asRemoteAddress(this.scratch + BigInt(offsetBytes)), lengthBytes);
  }

  writeScratch(bytes: Uint8Array, offsetBytes = 0): void {
    this.#memory.write(asRemoteAddress(this.scratch + BigInt(offsetBytes)), bytes);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      // In the second place, whose trampoline unmaps nothing: killed after this call, the thread must not unmap twice what
      // another thread may have mapped again by then.
      this.#main.moveTo(this.#secondPlace, { kind: "call", scratch: null });
      this.#main.call(SYSCALLS.munmap, [this.scratch, BigInt(SCRATCH_BYTES)]);
      this.#main.giveBack();
      this.#memory.write(this.#place, Buffer.alloc(PLACE_BYTES + PLACE_MARK.length));
    } catch (error) {
      if (!(error instanceof ProcessGone)) throw error;
    } finally {
      this.#memory[Symbol.dispose]();
    }
  }
}

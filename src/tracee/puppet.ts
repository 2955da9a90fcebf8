/**
 * A puppet: a process or thread that we made, that holds nothing yet but an arena (our code, tapes and data, at an
 * address that the job does not use), and that does what its tapes say. A restart turns puppets into the job.
 *
 * Every puppet dies with us (EXITKILL) until it is released.
 */
import { assert } from "../base/assert.ts";
import { SyscallError } from "../base/errors.ts";
import type { Pid, RemoteAddress, Tid } from "../base/ids.ts";
import { asPid, asRemoteAddress, asTid } from "../base/ids.ts";
import { syscallName } from "../kernel/abi/x86-64/syscalls.ts";
import { errnoName } from "../kernel/errno.ts";
import {
  EVENT_CLONE,
  EVENT_STOP,
  GONE,
  SYSCALL_STOP_SIGNAL,
  TRACE_CLONE,
  TRACE_EXIT_KILL,
  TRACE_SUSPEND_SECCOMP,
  TRACE_SYSCALL_GOOD,
  detach,
  eventMessage,
  getGeneralRegisters,
  interrupt,
  resume,
  resumeToSyscall,
  seize,
  setExtendedRegisters,
  setGeneralRegisters,
  setOptions,
  setSignalMask,
  waitFor,
} from "../kernel/ptrace.ts";
import { ProcessGone, readRemoteExactly, writeRemote } from "../kernel/remote-memory.ts";
import { tryReap } from "./patience.ts";
import { Registers } from "./x86-64/registers.ts";
import { TAPE_RECORD_BYTES, encodeTape, loadTape, tapeProgram, tapeResults } from "./x86-64/tape.ts";
import type { TapeCall } from "./x86-64/tape.ts";

const TRACE_FORK = 2;
const TRACE_VFORK = 4;
const OPTIONS = TRACE_SYSCALL_GOOD | TRACE_CLONE | TRACE_FORK | TRACE_VFORK | TRACE_EXIT_KILL;
const EVENT_FORK = 1;
const EVENT_VFORK = 2;
const SIGTRAP = 5;
const SIGSTOP = 19;
const BREAKPOINT = Buffer.of(0xcc);
/** All signals but SIGTRAP, by which tapes stop. */
const ALL_BUT_TRAP = 0xffff_ffff_ffff_ffffn & ~(1n << BigInt(SIGTRAP - 1));

/**
 * The arena's parts, in bytes from its start:
 * the keeper's page, the tape's program, tape records, data for their arguments.
 */
export const ARENA = {
  program: 0x1000n,
  records: 0x2000n,
  recordsBytes: 0x20000,
  data: 0x22000n,
  dataBytes: 0x40000,
  bytes: 0x62000,
} as const;
const RECORDS = ARENA.recordsBytes / TAPE_RECORD_BYTES;

/** One call on a tape, with what to say when it fails. */
export interface Call {
  readonly number: number;
  readonly arguments: readonly bigint[];
  /** Errors that do not matter: their results are given back like any other. */
  readonly mayFail?: boolean;
  /** What the call does, for the message. */
  readonly purpose?: string;
}

export function call(number: number, ...args: bigint[]): Call {
  return { number, arguments: args };
}

export function tolerant(number: number, ...args: bigint[]): Call {
  return { number, arguments: args, mayFail: true };
}

export function purposed(purpose: string, number: number, ...args: bigint[]): Call {
  return { number, arguments: args, purpose };
}

/** Gathers data for one tape: bytes get an address in the arena. */
export class TapeData {
  readonly #base: RemoteAddress;
  readonly #parts: Buffer[] = [];
  #length = 0;

  constructor(base: RemoteAddress) {
    this.#base = base;
  }

  put(bytes: Uint8Array): bigint {
    const at = this.#length;
    const padded = Buffer.alloc(Math.ceil(bytes.length / 16) * 16 || 16);
    padded.set(bytes);
    this.#parts.push(padded);
    this.#length += padded.length;
    assert(this.#length <= ARENA.dataBytes, "a tape's data outgrows the arena");
    return this.#base + BigInt(at);
  }

  get lengthBytes(): number {
    return this.#length;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/**
 * A process or thread from the moment that it exists, which is before it is a puppet: whoever makes one notes it at once, so that a
 * failure ends it too.
 */
export class Made {
  /** As we number them. */
  readonly pid: Pid;
  readonly tid: Tid;
  #isOver = false;

  constructor(pid: Pid, tid: Tid) {
    this.pid = pid;
    this.tid = tid;
  }

  /** It has ended, and its number may be another's by now. */
  forget(): void {
    this.#isOver = true;
  }

  kill(): void {
    if (this.#isOver) return;
    try {
      process.kill(this.pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  /**
   * Takes the end of what was killed or has exited, and gives up where it does not come. Threads before their leader, whose end is shown
   * only after theirs, and all of it after everything was killed: a namespace's init ends last.
   */
  reap(): void {
    if (!this.#isOver) tryReap(this.tid);
    this.#isOver = true;
  }
}

export class Puppet {
  /** As we number it. */
  readonly tid: Tid;
  readonly pid: Pid;
  readonly arena: RemoteAddress;
  readonly #registers: Registers;

  private constructor(pid: Pid, tid: Tid, arena: RemoteAddress, registers: Registers) {
    this.pid = pid;
    this.tid = tid;
    this.arena = arena;
    this.#registers = registers;
  }

  /** Takes over the program that was just started and loads the tape's code into its arena. */
  static seizeFirst(pid: Pid, arena: RemoteAddress): Puppet {
    const tid = asTid(pid);
    if (seize(tid, OPTIONS) === GONE || interrupt(tid) === GONE) throw new ProcessGone(pid);
    for (;;) {
      const outcome = waitFor(tid, 0);
      if (outcome.kind !== "stopped") throw new ProcessGone(pid);
      if (outcome.event === EVENT_STOP) break;
      resume(tid, outcome.event === 0 ? outcome.signal : 0);
    }
    const puppet = Puppet.#stopped(pid, tid, arena);
    writeRemote(pid, asRemoteAddress(arena + ARENA.program), tapeProgram());
    return puppet;
  }

  /** A process or thread made by a tape, at its first stop. */
  static adopt(pid: Pid, tid: Tid, arena: RemoteAddress): Puppet {
    const outcome = waitFor(tid, 0);
    if (outcome.kind !== "stopped") throw new ProcessGone(pid);
    setOptions(tid, OPTIONS);
    return Puppet.#stopped(pid, tid, arena);
  }

  static #stopped(pid: Pid, tid: Tid, arena: RemoteAddress): Puppet {
    const bytes = getGeneralRegisters(tid);
    if (bytes === GONE) throw new ProcessGone(pid);
    setSignalMask(tid, ALL_BUT_TRAP);
    return new Puppet(pid, tid, arena, new Registers(bytes));
  }

  /** Fresh data space: what a former tape had there is forgotten. */
  data(): TapeData {
    return new TapeData(asRemoteAddress(this.arena + ARENA.data));
  }

  write(address: bigint, bytes: Uint8Array): void {
    writeRemote(this.pid, asRemoteAddress(address), bytes);
  }

  readData(address: bigint, lengthBytes: number): Buffer {
    return readRemoteExactly(this.pid, asRemoteAddress(address), lengthBytes);
  }

  /**
   * Runs the calls in order and gives their results. A call that fails and may not is a SyscallError; the calls after it have run all
   * the same, so whoever catches it gives the puppet up. `onClone` is told of processes and threads made, in our numbering.
   */
  run(calls: readonly Call[], data?: TapeData, onClone?: (made: Tid) => void): bigint[] {
    if (data !== undefined && data.lengthBytes > 0) writeRemote(this.pid, asRemoteAddress(this.arena + ARENA.data), data.bytes());
    const results: bigint[] = [];
    for (let at = 0; at < calls.length; at += RECORDS) results.push(...this.#runTape(calls.slice(at, at + RECORDS), onClone));
    return results;
  }

  #runTape(calls: readonly Call[], onClone: ((made: Tid) => void) | undefined): bigint[] {
    const records = asRemoteAddress(this.arena + ARENA.records);
    writeRemote(this.pid, records, encodeTape(calls satisfies readonly TapeCall[]));
    const registers = this.#registers.copy();
    loadTape(registers, this.arena + ARENA.program, records, calls.length);
    setGeneralRegisters(this.tid, registers.bytes);
    for (;;) {
      if (resume(this.tid) === GONE) throw new ProcessGone(this.pid);
      const outcome = waitFor(this.tid, 0);
      if (outcome.kind !== "stopped") throw new ProcessGone(this.pid);
      if (outcome.event === EVENT_CLONE || outcome.event === EVENT_FORK || outcome.event === EVENT_VFORK) {
        const made = eventMessage(this.tid);
        if (made !== GONE) onClone?.(made as Tid);
      } else if (outcome.event === 0 && outcome.signal === SIGTRAP) {
        break;
      }
    }
    const results = tapeResults(readRemoteExactly(this.pid, records, calls.length * TAPE_RECORD_BYTES));
    results.forEach((result, index) => {
      const made = calls[index];
      if (made === undefined || made.mayFail === true || result >= 0n || result < -4095n) return;
      const name = made.purpose ?? syscallName(made.number) ?? `system call ${made.number}`;
      const args = made.arguments.map((argument) =>
        argument < 4096n && argument > -4096n ? argument.toString() : `0x${BigInt.asUintN(64, argument).toString(16)}`,
      );
      throw new SyscallError(name, Number(-result), errnoName(Number(-result)), { pid: this.pid, arguments: args.join(", ") });
    });
    return results;
  }

  /** One call, its result. */
  do(number: number, ...args: bigint[]): bigint {
    return this.run([call(number, ...args)])[0] as bigint;
  }

  /** Sends the puppet off without an answer: for a call that ends it. */
  runLast(calls: readonly Call[]): void {
    const records = asRemoteAddress(this.arena + ARENA.records);
    writeRemote(this.pid, records, encodeTape(calls));
    const registers = this.#registers.copy();
    loadTape(registers, this.arena + ARENA.program, records, calls.length);
    setGeneralRegisters(this.tid, registers.bytes);
    for (;;) {
      resume(this.tid);
      if (waitFor(this.tid, 0).kind !== "stopped") return;
    }
  }

  /**
   * Runs a few bytes of code that ends by itself in a breakpoint; `rax` points at `data`. For what only an instruction can do.
   */
  execute(code: Uint8Array, data: Uint8Array): void {
    const place = asRemoteAddress(this.arena + ARENA.records);
    const address = asRemoteAddress(this.arena + ARENA.data);
    writeRemote(this.pid, place, Buffer.concat([code, BREAKPOINT]));
    writeRemote(this.pid, address, data);
    const registers = this.#registers.copy();
    registers.set("rip", place);
    registers.set("rax", address);
    setGeneralRegisters(this.tid, registers.bytes);
    if (resume(this.tid) === GONE) throw new ProcessGone(this.pid);
    let outcome = waitFor(this.tid, 0);
    // In a process that job control has stopped, a thread tells of that first.
    while (outcome.kind === "stopped" && outcome.event === EVENT_STOP && resume(this.tid) !== GONE) outcome = waitFor(this.tid, 0);
    assert(
      outcome.kind === "stopped" && outcome.event === 0 && outcome.signal === SIGTRAP,
      `puppet ${this.pid} did not come through its code`,
    );
  }

  /** Lets a signal that was just sent to the puppet end it. Precondition: its action is the default one, which ends. */
  endBySignal(signal: number): void {
    setSignalMask(this.tid, ~(1n << BigInt(signal - 1)) & 0xffff_ffff_ffff_ffffn);
    let deliver = 0;
    for (;;) {
      // A killed one can't be resumed, and still has to be waited for: until then its parent does not see the end.
      resume(this.tid, deliver);
      const outcome = waitFor(this.tid, 0);
      if (outcome.kind !== "stopped") return;
      deliver = outcome.event === 0 ? outcome.signal : 0;
    }
  }

  /** Job control stops the process; it does what its tapes say nevertheless. Precondition: it has no other thread. */
  stopByJobControl(): void {
    process.kill(this.pid, "SIGSTOP");
    for (let deliver = 0; ;) {
      if (resume(this.tid, deliver) === GONE) throw new ProcessGone(this.pid);
      const outcome = waitFor(this.tid, 0);
      if (outcome.kind !== "stopped") throw new ProcessGone(this.pid);
      if (outcome.event === EVENT_STOP && outcome.signal === SIGSTOP) return;
      deliver = outcome.event === 0 ? outcome.signal : 0;
    }
  }

  /** One system call through an instruction outside the arena: to unmap the arena itself, or without a breakpoint. */
  callThrough(instruction: bigint, number: number, args: readonly bigint[]): bigint {
    const registers = this.#registers.copy();
    registers.loadSyscall(instruction, number, args);
    setGeneralRegisters(this.tid, registers.bytes);
    for (let stops = 0; stops < 2;) {
      if (resumeToSyscall(this.tid) === GONE) throw new ProcessGone(this.pid);
      const outcome = waitFor(this.tid, 0);
      if (outcome.kind !== "stopped") throw new ProcessGone(this.pid);
      if (outcome.event === 0 && outcome.signal === SYSCALL_STOP_SIGNAL) stops += 1;
    }
    const bytes = getGeneralRegisters(this.tid);
    if (bytes === GONE) throw new ProcessGone(this.pid);
    return BigInt.asIntN(64, new Registers(bytes).get("rax"));
  }

  /** The registers with which the thread goes on when released. */
  become(registers: Registers, extended: Buffer | null, signalMask: bigint): void {
    if (extended !== null) setExtendedRegisters(this.tid, extended);
    if (setGeneralRegisters(this.tid, registers.bytes) === GONE) throw new ProcessGone(this.pid);
    setSignalMask(this.tid, signalMask);
  }

  /** The registers that the puppet had when it was taken over, to start from. */
  ownRegisters(): Registers {
    return this.#registers.copy();
  }

  /** Filters that the thread has or gets are not asked until it is released. Throws a SyscallError (EPERM) for whoever may not do so. */
  suspendSeccomp(): void {
    if (setOptions(this.tid, OPTIONS | TRACE_SUSPEND_SECCOMP) === GONE) throw new ProcessGone(this.pid);
  }

  release(): void {
    detach(this.tid);
  }
}

export function threadOf(process: Puppet, tid: Tid): Puppet {
  return Puppet.adopt(process.pid, tid, process.arena);
}

export function childOf(parent: Puppet, tid: Tid): Puppet {
  return Puppet.adopt(asPid(tid), tid, parent.arena);
}

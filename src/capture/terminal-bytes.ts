/**
 * The bytes that wait in a pseudo-terminal, taken out and put back while the job stands still: the kernel has no way to
 * look at them where they are.
 *
 * They are never in our hands alone. splice(2) moves them between the terminal and pipes, and the guard, a process that
 * holds the same pipes, puts them back if we are killed:
 *   1. we are killed at any point of `take` or `put`;
 *   2. the kernel lets the job go on, in the quiet modes and without those bytes;
 *   3. the guard wakes, takes what is in the terminal, puts back all in order, and sets the modes.
 * What remains open lies between 2 and the end of 3: until the guard has run, its calls, and the 2 ms that it gives the
 * kernel before it sets the modes. A byte that the job writes then may come before those put back, modes that it sets are
 * set back, and what is typed is not translated. Also, the guard knows no end-of-file characters: one that waited is put
 * back as a NUL, and one more NUL may follow if we are killed just as it was put back.
 * Where the guard stands by while nothing goes wrong, the terminal is exactly what it was, but for what nothing shows: a
 * Ctrl-V that waits for its character, and a status of packet mode, with which a terminal is left alone.
 */
import { closeSync, readSync, writeSync } from "node:fs";
import { SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { FIONREAD, TCSETS2, TIOCPKT } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { control, ioctlBuffer, pollNow, teePipe } from "../kernel/descriptors.ts";
import { errnoName } from "../kernel/errno.ts";
import { closeOnExecPipe } from "../kernel/spawn-ffi.ts";
import { countStep, systemCall } from "../kernel/syscall-ffi.ts";
import {
  isCanonical,
  isOutputStopped,
  isReadable,
  putInput,
  putOutput,
  quietModes,
  readableBytes,
  setModes,
  settleInput,
} from "../kernel/terminal-queues.ts";
import type { Putter } from "../kernel/terminal-queues.ts";
import { Guard } from "../tracee/guard.ts";
import type { GuardCall } from "../tracee/guard.ts";

const F_SETPIPE_SZ = 1031;
/** 64 buffers, for a terminal that holds some 22 KiB at most. */
const PIPE_BYTES = 256 * 1024;
const SPLICE_F_NONBLOCK = 2;
const POLLPRI = 2;
const EAGAIN = 11;
const SPLICES = 8;
const MOST_TAKES = 40;
const SETTLE_NS = 2_000_000n;

export interface TerminalBytes {
  readonly input: Buffer;
  readonly output: Buffer;
  readonly isStopped: boolean;
  /** What is not carried over, for the user. */
  readonly problems: string[];
}

interface Pipe {
  readonly readEnd: Fd;
  readonly writeEnd: Fd;
}

/**
 * What waits in the terminal. Precondition: nobody reads or writes it meanwhile; `termios` are its modes.
 * `slave` is a descriptor on it, if possible one that does not block.
 */
export function readTerminalBytes(master: Fd, slave: Fd, termios: Buffer, packetMode: boolean): TerminalBytes {
  const problems: string[] = [];
  const isStopped = isOutputStopped(master, slave);
  const nothing = { input: Buffer.alloc(0), output: Buffer.alloc(0), isStopped, problems };
  const waiting = { input: isReadable(slave), output: isReadable(master) };
  if (packetMode && (pollNow(master, POLLPRI) & POLLPRI) !== 0) {
    // A status byte can be read but not put back, and is forgotten with packet mode.
    problems.push("a status that packet mode tells of is not carried over, nor are bytes that wait in it");
    return nothing;
  }
  if (!waiting.input && !waiting.output && !isCanonical(termios)) return nothing;
  // The kernel refuses output to a terminal that was stopped (Ctrl-S), so what waits for its master can't be put back.
  if (isStopped && waiting.output)
    problems.push("its output is stopped, and bytes that wait to be read from its master are not carried over");
  settleInput(slave);
  const movesOutput = waiting.output && !isStopped;
  using terminal = new OpenedTerminal(master, slave, termios, packetMode, movesOutput);
  const input = terminal.takeInput();
  const output = movesOutput ? terminal.takeOutput() : nothing.output;
  if (terminal.isFull) problems.push("it is so full that bytes in it may have changed their order");
  return { input, output, isStopped, problems };
}

/** A terminal with a guard beside it. */
class OpenedTerminal implements Disposable {
  readonly #master: Fd;
  readonly #slave: Fd;
  readonly #termios: Buffer;
  readonly #packetMode: boolean;
  readonly #input = new Way();
  readonly #output = new Way();
  readonly #guard: Guard;
  isFull = false;
  /** Bytes are in the pipes that belong into the terminal. */
  #isOpen = false;

  constructor(master: Fd, slave: Fd, termios: Buffer, packetMode: boolean, movesOutput: boolean) {
    this.#master = master;
    this.#slave = slave;
    this.#termios = termios;
    this.#packetMode = packetMode;
    const canonical = isCanonical(termios);
    const pause = Buffer.alloc(16);
    pause.writeBigInt64LE(SETTLE_NS, 8);
    this.#guard = new Guard(
      [master, slave, ...this.#input.descriptors, ...this.#output.descriptors],
      [
        packetModeCall(master, false),
        modesCall(master, quietModes(termios, false)),
        ...this.#input.callsToTake(slave),
        ...(movesOutput ? this.#output.callsToTake(master) : []),
        modesCall(master, quietModes(termios, canonical)),
        ...this.#input.callsToPut(master),
        ...(movesOutput ? this.#output.callsToPut(slave) : []),
        { number: SYSCALLS.nanosleep, arguments: [pause, 0] },
        modesCall(master, termios),
        ...(packetMode ? [packetModeCall(master, true)] : []),
      ],
    );
    if (packetMode) setPacketMode(master, false);
  }

  takeInput(): Buffer {
    this.#isOpen = true;
    setModes(this.#master, quietModes(this.#termios, false));
    const input = this.#input.take(this.#slave);
    const put = putInput(this.#master, this.#slave, input, this.#termios, this.#input);
    if (put < input.length) this.isFull = true;
    else this.#isOpen = false;
    return input;
  }

  takeOutput(): Buffer {
    if (this.isFull) return Buffer.alloc(0);
    this.#isOpen = true;
    const output = this.#output.take(this.#master);
    const put = putOutput(this.#slave, output, this.#termios, this.#output);
    if (put < output.length) this.isFull = true;
    else this.#isOpen = false;
    return output;
  }

  [Symbol.dispose](): void {
    if (this.#isOpen) {
      // What found no room, or was taken when something failed, is in the guard's pipes: it puts it back as the job reads.
      this.#guard.letWork();
    } else {
      if (this.#packetMode) setPacketMode(this.#master, true);
      this.#guard[Symbol.dispose]();
    }
    this.#input[Symbol.dispose]();
    this.#output[Symbol.dispose]();
  }
}

/**
 * One direction of a terminal: three pipes. What was taken is in `taken`; it goes over into `putting` by one call before
 * the first of it is put back. So at any time the order is: `taken`, what is in the terminal, `putting`.
 */
class Way implements Putter, Disposable {
  readonly #taken = largePipe();
  readonly #putting = largePipe();
  /** For the guard: what it finds in the terminal. */
  readonly #found = largePipe();

  get descriptors(): Fd[] {
    return [this.#taken, this.#putting, this.#found].flatMap(({ readEnd, writeEnd }) => [readEnd, writeEnd]);
  }

  /** Takes all that waits at this end of the terminal. */
  take(from: Fd): Buffer {
    for (let takes = 0; takes < MOST_TAKES && isReadable(from); takes += 1) {
      countStep("terminal");
      if (splice(from, this.#taken.writeEnd, readableBytes(from)) === 0) break;
    }
    const bytes = copyOf(this.#taken);
    countStep("terminal");
    if (bytes.length > 0) splice(this.#taken.readEnd, this.#putting.writeEnd, bytes.length);
    return bytes;
  }

  put(to: Fd, bytes: Uint8Array): number {
    return splice(this.#putting.readEnd, to, bytes.length);
  }

  putInstead(to: Fd, byte: number): void {
    writeSync(to, Buffer.of(byte));
    readSync(this.#putting.readEnd, Buffer.alloc(1), 0, 1, null);
  }

  callsToTake(from: Fd): GuardCall[] {
    return Array.from({ length: SPLICES }, () => ({ ...spliceCall(from, this.#found.writeEnd), onlyIfReadable: from }));
  }

  callsToPut(to: Fd): GuardCall[] {
    return [this.#taken, this.#found, this.#putting].flatMap(({ readEnd }) => [spliceCall(readEnd, to), spliceCall(readEnd, to)]);
  }

  [Symbol.dispose](): void {
    for (const fd of this.descriptors) closeSync(fd);
  }
}

function largePipe(): Pipe {
  const pipe = closeOnExecPipe();
  control(pipe.readEnd, F_SETPIPE_SZ, PIPE_BYTES);
  return pipe;
}

/** All that is in a pipe, which keeps it. */
function copyOf(pipe: Pipe): Buffer {
  const count = Buffer.alloc(64);
  ioctlBuffer(pipe.readEnd, FIONREAD, count);
  const bytes = Buffer.alloc(count.readInt32LE(0));
  if (bytes.length === 0) return bytes;
  const copy = largePipe();
  try {
    teePipe(pipe.readEnd, copy.writeEnd, bytes.length);
    let read = 0;
    while (read < bytes.length) read += readSync(copy.readEnd, bytes, read, bytes.length - read, null);
    return bytes;
  } finally {
    closeSync(copy.readEnd);
    closeSync(copy.writeEnd);
  }
}

/** Moves up to `lengthBytes`; 0 when there is nothing or no room. */
function splice(from: Fd, to: Fd, lengthBytes: number): number {
  const result = systemCall(SYSCALLS.splice, from, 0, to, 0, lengthBytes, SPLICE_F_NONBLOCK);
  if (result < 0 && result !== -EAGAIN) throw new SyscallError("splice", -result, errnoName(-result));
  return Math.max(0, result);
}

function spliceCall(from: Fd, to: Fd): GuardCall {
  return { number: SYSCALLS.splice, arguments: [from, 0, to, 0, PIPE_BYTES, SPLICE_F_NONBLOCK] };
}

function modesCall(fd: Fd, termios: Uint8Array): GuardCall {
  return { number: SYSCALLS.ioctl, arguments: [fd, TCSETS2, termios] };
}

function packetModeCall(master: Fd, on: boolean): GuardCall {
  return { number: SYSCALLS.ioctl, arguments: [master, TIOCPKT, word(on ? 1 : 0)] };
}

function setPacketMode(master: Fd, on: boolean): void {
  countStep("terminal");
  ioctlBuffer(master, TIOCPKT, word(on ? 1 : 0));
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeInt32LE(value, 0);
  return bytes;
}

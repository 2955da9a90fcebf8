/**
 * The bytes that wait in a pseudo-terminal: what is on its way to the slave (input) and to the master (output).
 *
 * The kernel has no way to look at them without taking them out, and none to put them in but by writing at the other
 * end. Both are exact only while the line discipline (n_tty) leaves the bytes alone: with "quiet" modes, in which no
 * byte is echoed, translated, or makes a signal. What n_tty does that this file builds on (Linux 5.10 to 6.18):
 * - a change of ICANON forgets where lines ended: what waited becomes one line. So modes are changed while the queue is
 *   empty, or only in what is not ICANON;
 * - without ICANON, FIONREAD on the slave counts everything, a half-typed line too; with it, only whole lines;
 * - a line that was ended by the end-of-file character ends with a NUL in the queue;
 * - at most 4,095 bytes have been looked at by n_tty; what waits beyond them is still as it was written;
 * - poll(2) on an end for which nothing waits first lets the kernel pass on what was written at the other.
 */
import { writeSync } from "node:fs";
import { assert } from "../base/assert.ts";
import type { Fd } from "../base/ids.ts";
import { FIONREAD, ICANON, IEXTEN, ISIG, OPOST, TCSETS2, TCXONC, VEOF } from "./abi/constants.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { POLLIN, ioctlBuffer, pollNow } from "./descriptors.ts";
import { pauseMicroseconds } from "./pause.ts";
import { countStep, systemCall } from "./syscall-ffi.ts";

/** What n_tty has looked at and nobody has read is at most this much. */
export const INTERPRETED_BYTES = 4095;
export const TERMIOS2_BYTES = 44;
const POLLOUT = 4;
const IXON = 0o2000;
const EXTPROC = 0o200000;
/** ECHO, ECHOE, ECHOK, ECHONL, ECHOCTL, ECHOPRT, ECHOKE. */
const ALL_ECHO = 0o10 | 0o20 | 0o40 | 0o100 | 0o1000 | 0o2000 | 0o4000;
const CONTROL_CHARACTERS_AT = 17;
const CONTROL_CHARACTERS = 19;
const TCOOFF = 0;
const VSTOP = 9;
const VEOL = 11;
const VEOL2 = 16;
const NUL = 0;
const NEWLINE = 10;

/**
 * The kernel takes a piece whole once poll(2) says that the end can be written to, that is, less than 8 KiB are allocated:
 * it then allocates the piece's size once more and puts two pieces into it. So pieces of this size waste nothing and go
 * furthest beyond the limit (6 * 2 * 1,536 bytes); nearly no other way of writing fills a terminal further.
 */
const PIECE_BYTES = 1536;
/** Some 200 ms: the kernel passes bytes on within microseconds of a processor being free. */
const POLLS = 2000;
const POLL_MICROSECONDS = 100;
const SETTLING_POLLS = 20;

/** Writes bytes at one end of a terminal. Precondition of each call: the end can be written to. */
export interface Putter {
  /** Writes all of `bytes`; how many were taken. */
  put(to: Fd, bytes: Uint8Array): number;
  /** Writes `byte` in the place of a byte that waits to be put. */
  putInstead(to: Fd, byte: number): void;
}

/** Whether input is gathered into lines. */
export function isCanonical(termios: Uint8Array): boolean {
  const local = Buffer.from(termios).readUInt32LE(12);
  return (local & ICANON) !== 0 && (local & EXTPROC) === 0;
}

/** `termios` (a struct termios2) changed so that nothing happens to a byte on its way. `endOfFile` ends a line in canonical mode; 0 for none. */
export function quietModes(termios: Uint8Array, canonical: boolean, endOfFile = 0): Buffer {
  assert(termios.length === TERMIOS2_BYTES, "a struct termios2 has 44 bytes");
  const quiet = Buffer.from(termios);
  // Taking away IXON would set a terminal going that was stopped with Ctrl-S; without its characters it does nothing.
  quiet.writeUInt32LE(quiet.readUInt32LE(0) & IXON, 0);
  quiet.writeUInt32LE((quiet.readUInt32LE(4) & ~OPOST) >>> 0, 4);
  const local = quiet.readUInt32LE(12) & ~(ALL_ECHO | ISIG);
  quiet.writeUInt32LE((canonical ? local : local & ~(ICANON | IEXTEN)) >>> 0, 12);
  const character = (index: number): number => quiet[CONTROL_CHARACTERS_AT + index] ?? 0;
  const [endOfLine, secondEndOfLine] = [character(VEOL), character(VEOL2)];
  quiet.fill(0, CONTROL_CHARACTERS_AT, CONTROL_CHARACTERS_AT + CONTROL_CHARACTERS);
  // Without lines, VMIN and VTIME of 0: a read never waits.
  if (!canonical) return quiet;
  quiet[CONTROL_CHARACTERS_AT + VEOF] = endOfFile;
  quiet[CONTROL_CHARACTERS_AT + VEOL] = endOfLine;
  quiet[CONTROL_CHARACTERS_AT + VEOL2] = secondEndOfLine;
  return quiet;
}

/** Sets the modes at once, without waiting and without dropping anything. Works through either end. */
export function setModes(fd: Fd, termios: Uint8Array): void {
  const bytes = Buffer.alloc(64);
  bytes.set(termios);
  countStep("terminal");
  ioctlBuffer(fd, TCSETS2, bytes);
}

/** What can be read at this end at once: in canonical mode, of whole lines. */
export function readableBytes(fd: Fd): number {
  const count = Buffer.alloc(64);
  ioctlBuffer(fd, FIONREAD, count);
  return count.readInt32LE(0);
}

export function isReadable(fd: Fd): boolean {
  return (pollNow(fd, POLLIN) & POLLIN) !== 0;
}

export function isWritable(fd: Fd): boolean {
  return (pollNow(fd, POLLOUT) & POLLOUT) !== 0;
}

/** Whether output was stopped, by Ctrl-S or tcflow(3): the slave can't be written to although there is room. */
export function isOutputStopped(master: Fd, slave: Fd): boolean {
  // What fills it may still be on its way to where it is counted.
  for (let poll = 0; poll < SETTLING_POLLS; poll += 1) {
    if (isWritable(slave) || readableBytes(master) >= INTERPRETED_BYTES) return false;
    pauseMicroseconds(POLL_MICROSECONDS);
  }
  return true;
}

/**
 * Lets n_tty look, under the modes that are set, at all that was written. Nothing tells when it has where a line can be read
 * already: then it gets the time, longer by far than it needs on a busy machine.
 */
export function settleInput(slave: Fd): void {
  let last = -1;
  for (let poll = 0, same = 0; poll < POLLS && same < SETTLING_POLLS && isReadable(slave); poll += 1) {
    const now = readableBytes(slave);
    same = now === last ? same + 1 : 0;
    last = now;
    pauseMicroseconds(POLL_MICROSECONDS);
  }
}

/** Stops output, so that it goes on as it would have: at the key where the modes have one, otherwise by tcflow(3). */
export function stopOutput(master: Fd, slave: Fd, termios: Buffer): void {
  const key = termios[CONTROL_CHARACTERS_AT + VSTOP] ?? 0;
  if ((termios.readUInt32LE(0) & IXON) !== 0 && key !== 0 && isWritable(master)) {
    writeSync(master, Buffer.of(key));
    for (let poll = 0; poll < POLLS && isWritable(slave); poll += 1) pauseMicroseconds(POLL_MICROSECONDS);
  } else {
    systemCall(SYSCALLS.ioctl, slave, TCXONC, TCOOFF);
  }
}

/**
 * Puts input into a terminal whose input queue is empty, and leaves the modes `termios` behind. What n_tty had looked
 * at comes back as it was, lines and a half line alike; the rest is written as its writer wrote it. How many bytes found room.
 */
export function putInput(master: Fd, slave: Fd, input: Buffer, termios: Uint8Array, putter: Putter): number {
  const canonical = isCanonical(termios);
  const interpreted = input.subarray(0, INTERPRETED_BYTES);
  const endOfFile = canonical && interpreted.includes(NUL) ? absentByte(interpreted, termios) : 0;
  setModes(master, quietModes(termios, canonical, endOfFile));
  let put = 0;
  for (const piece of pieces(interpreted, endOfFile !== 0)) {
    if (!awaitWritable(master)) break;
    countStep("terminal");
    if (endOfFile !== 0 && piece.length === 1 && piece[0] === NUL) putter.putInstead(master, endOfFile);
    else if (!putAll(master, piece, putter)) break;
    put += piece.length;
  }
  if (put === interpreted.length) awaitInterpretation(slave, interpreted, canonical, termios);
  setModes(master, termios);
  return put === interpreted.length ? put + putPieces(master, input.subarray(put), putter) : put;
}

/** Puts output where the master will read it, and leaves the modes `termios` behind. How many bytes found room. */
export function putOutput(slave: Fd, output: Buffer, termios: Uint8Array, putter: Putter): number {
  setModes(slave, quietModes(termios, isCanonical(termios)));
  const put = putPieces(slave, output, putter);
  setModes(slave, termios);
  return put;
}

function putPieces(to: Fd, bytes: Buffer, putter: Putter): number {
  let put = 0;
  for (const piece of pieces(bytes, false)) {
    if (!awaitWritable(to)) break;
    countStep("terminal");
    if (!putAll(to, piece, putter)) break;
    put += piece.length;
  }
  return put;
}

function putAll(to: Fd, piece: Buffer, putter: Putter): boolean {
  let put = 0;
  for (let attempt = 0; put < piece.length && attempt < POLLS; attempt += 1) {
    put += putter.put(to, piece.subarray(put));
    if (put < piece.length) pauseMicroseconds(POLL_MICROSECONDS);
  }
  return put === piece.length;
}

/** The pieces, from back to front: the last one holds the last end of a line and the half line behind it wherever that fits. */
function pieces(bytes: Buffer, nulsApart: boolean): Buffer[] {
  const all: Buffer[] = [];
  for (let from = 0; from < bytes.length;) {
    const nul = nulsApart ? bytes.indexOf(NUL, from) : -1;
    const end = nul === -1 ? bytes.length : nul;
    const first = (end - from) % PIECE_BYTES;
    if (first > 0) all.push(bytes.subarray(from, from + first));
    for (let at = from + first; at < end; at += PIECE_BYTES) all.push(bytes.subarray(at, at + PIECE_BYTES));
    if (nul !== -1) all.push(bytes.subarray(nul, nul + 1));
    from = nul === -1 ? end : nul + 1;
  }
  return all;
}

/** A byte that is neither in the queue nor means anything in it. */
function absentByte(bytes: Buffer, termios: Uint8Array): number {
  const taken = new Set([...bytes, NUL, NEWLINE, termios[CONTROL_CHARACTERS_AT + VEOL], termios[CONTROL_CHARACTERS_AT + VEOL2]]);
  for (let byte = 1; byte < 256; byte += 1) if (!taken.has(byte)) return byte;
  return 0; // Every byte is taken: the NULs stay what they look like.
}

function awaitWritable(fd: Fd): boolean {
  for (let poll = 0; poll < POLLS; poll += 1) {
    if (isWritable(fd)) return true;
    pauseMicroseconds(POLL_MICROSECONDS);
  }
  return false;
}

/**
 * Waits until n_tty has looked at all that was put in, so that the modes may change. A half line can't be seen in
 * canonical mode:
 *   1. with no line before it, poll(2) finds nothing to read and lets the kernel finish;
 *   2. behind a line that was put in the same piece, it is looked at in the same go, and a change of modes waits for that;
 *   3. behind one that was put in an earlier piece, there is only time.
 */
function awaitInterpretation(slave: Fd, bytes: Buffer, canonical: boolean, termios: Uint8Array): void {
  if (bytes.length === 0) return;
  const ends = new Set([NUL, NEWLINE, ...[VEOL, VEOL2].map((index) => termios[CONTROL_CHARACTERS_AT + index] ?? 0)]);
  const lines = canonical ? bytes.findLastIndex((byte) => ends.has(byte)) + 1 : bytes.length;
  const expected = canonical ? bytes.subarray(0, lines).filter((byte) => byte !== NUL).length : lines;
  for (let poll = 0; poll < POLLS; poll += 1) {
    const readable = isReadable(slave);
    if (readableBytes(slave) >= expected && (lines === 0 || readable)) break;
    pauseMicroseconds(POLL_MICROSECONDS);
  }
  const half = bytes.length - lines;
  if (lines > 0 && (half >= PIECE_BYTES || (half > 0 && bytes[lines - 1] === NUL))) pauseMicroseconds(20_000);
}

/**
 * The door to the kernel: one function that makes any system call with integer arguments.
 *
 * koffi calls libc's `syscall(3)`, which takes its arguments in registers on every architecture that Cairn knows.
 * A result below zero is a negated errno, as the kernel itself gives it; nothing here throws.
 *
 * For the tests of safety, `CAIRN_KILL_AT=N` makes this process kill itself right before its N-th step; a step is
 * one call that `countStep` is told of: every ptrace, every wait, every access to a tracee's memory, every write of an image.
 * With `CAIRN_KILL_WITH=SIGSTOP` it stops there, so that something can be done to it at that moment.
 */
import koffi from "koffi";

const libc = koffi.load(null);
const call = libc.func("long syscall(long nr, uint64 a, uint64 b, uint64 c, uint64 d, uint64 e, uint64 f)");

export type Argument = number | bigint;

/**
 * Makes system call `number`. Arguments are 64-bit words, a negative one in two's complement.
 * Returns the result, or a negated errno. Results above 2^53 lose precision: no call used here has them, except mmap
 * (whose addresses stay below 2^47).
 */
export function systemCall(
  number: number,
  a: Argument = 0,
  b: Argument = 0,
  c: Argument = 0,
  d: Argument = 0,
  e: Argument = 0,
  f: Argument = 0,
): number {
  const result = call(number, unsigned(a), unsigned(b), unsigned(c), unsigned(d), unsigned(e), unsigned(f)) as number | bigint;
  return result === -1 ? -koffi.errno() : Number(result);
}

function unsigned(value: Argument): Argument {
  if (value >= 0) return value;
  return BigInt.asUintN(64, BigInt(value));
}

const killAt = Number(process.env["CAIRN_KILL_AT"] ?? 0);
const killOnly = process.env["CAIRN_KILL_IN"] ?? "";
const killWith = (process.env["CAIRN_KILL_WITH"] ?? "SIGKILL") as NodeJS.Signals;
let steps = 0;

/** Counts one step of work that must survive a kill at any point; `phase` restricts the count where CAIRN_KILL_IN is set. */
export function countStep(phase: string): void {
  if (killAt === 0 || (killOnly !== "" && killOnly !== phase)) return;
  steps += 1;
  if (steps === killAt) process.kill(process.pid, killWith);
}

/**
 * Which call a thread really waits in that goes on by restart_syscall(2).
 *
 * A wait for a time that is stopped twice shows its own number at the first stop alone:
 *   1. nanosleep is stopped: orig_rax is nanosleep's;
 *   2. it goes on: the kernel sets rax to restart_syscall, whose block knows the rest of the time;
 *   3. it is stopped again: orig_rax is restart_syscall's.
 * A restarted process has no such block, and restart_syscall gives EINTR in it. What is left of the call are its arguments, and
 * the instruction that loaded its number, which stands shortly before the system call instruction.
 */
import type { Registers } from "./registers.ts";

const RESTART_SYSCALL = 219;
const ERESTART_RESTARTBLOCK = -516;
const POLL = 7;
const NANOSLEEP = 35;
const FUTEX = 202;
const CLOCK_NANOSLEEP = 230;
/** All that the kernel restarts by a block. */
const CALLS: ReadonlySet<number> = new Set([POLL, NANOSLEEP, FUTEX, CLOCK_NANOSLEEP]);
/** mov eax, imm32 */
const LOAD_NUMBER = 0xb8;
const LOAD_BYTES = 5;
const LARGEST_CLOCK = 16n;
const LARGEST_SMALL_NUMBER = 0xffffn;
/** FUTEX_WAIT and FUTEX_WAIT_BITSET; the rest are FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME. */
const FUTEX_WAITS: ReadonlySet<bigint> = new Set([0n, 9n]);
const FUTEX_COMMAND = 0x7fn;

/** How many bytes before the instruction pointer are to be looked at. */
export const CODE_BYTES = 96;

export function isRestartedCall(registers: Registers): boolean {
  return registers.syscall === RESTART_SYSCALL && registers.result === ERESTART_RESTARTBLOCK;
}

/** `code`: up to CODE_BYTES that end at the instruction pointer, with the system call instruction last. */
export function restartedCall(registers: Registers, code: Buffer): number {
  for (let at = code.length - 2 - LOAD_BYTES; at >= 0; at -= 1) {
    if (code[at] !== LOAD_NUMBER) continue;
    const number = code.readUInt32LE(at + 1);
    if (CALLS.has(number)) return number;
  }
  return byArguments(registers.get("rdi"), registers.get("rsi"), registers.get("r10"));
}

/** For a C library that loads every number from a variable. */
function byArguments(first: bigint, second: bigint, fourth: bigint): number {
  if (first < LARGEST_CLOCK && second <= 1n) return CLOCK_NANOSLEEP;
  if (second === 0n || second > LARGEST_SMALL_NUMBER) return fourth > LARGEST_SMALL_NUMBER && second === 0n ? FUTEX : NANOSLEEP;
  return fourth > LARGEST_SMALL_NUMBER && FUTEX_WAITS.has(second & FUTEX_COMMAND) ? FUTEX : POLL;
}

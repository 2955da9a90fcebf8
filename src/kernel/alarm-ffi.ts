/**
 * An alarm that ends a system call in which this process's first thread waits (EINTR), when it has waited too long.
 *
 * Node's own handlers have the kernel go on with the call (SA_RESTART), so SIGALRM gets one that does not: any function of libc
 * that takes an int and does nothing. A program that is executed starts without handler and alarm.
 */
import koffi from "koffi";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { addressOf } from "./memory-ffi.ts";
import { systemCall } from "./syscall-ffi.ts";

const libc = koffi.load(null);
const sigaction = libc.func("int sigaction(int signal, const void *action, void *former)");
const dlsym = libc.func("void *dlsym(void *handle, const char *name)");

const SIGALRM = 14;
const ITIMER_REAL = 0;
/** glibc's struct sigaction: the handler, a mask of 128 bytes, flags, restorer. */
const ACTION_BYTES = 152;
/** Again and again: one that comes right before the call begins would end nothing. */
const AGAIN_SECONDS = 1n;

const action = Buffer.alloc(ACTION_BYTES);
action.writeBigUInt64LE(koffi.address(dlsym(null, "abs")), 0);
const former = Buffer.alloc(ACTION_BYTES);

/** struct itimerval: the interval, then what is left, in seconds and microseconds each. */
const timer = Buffer.alloc(32);
const timerAddress = addressOf(timer);

function set(interval: bigint, milliseconds: number): void {
  timer.writeBigUInt64LE(interval, 0);
  timer.writeBigUInt64LE(BigInt(Math.trunc(milliseconds / 1000)), 16);
  timer.writeBigUInt64LE(BigInt(Math.trunc(milliseconds % 1000) * 1000), 24);
  systemCall(SYSCALLS.setitimer, ITIMER_REAL, timerAddress, 0);
}

/** Does `work`, whose system calls give EINTR once `milliseconds` have gone by. */
export function withAlarm<T>(milliseconds: number, work: () => T): T {
  sigaction(SIGALRM, action, former);
  set(AGAIN_SECONDS, Math.max(1, milliseconds));
  try {
    return work();
  } finally {
    set(0n, 0);
    // Cairn may have to end by this very signal, as its job did.
    sigaction(SIGALRM, former, null);
  }
}

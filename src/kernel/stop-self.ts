/** Stopping as by a signal that nobody handles, so that whoever waits for us sees which it was. */
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { addressOf } from "./memory-ffi.ts";
import { SIGNALS } from "./signals.ts";
import { systemCall } from "./syscall-ffi.ts";

const SIGACTION_BYTES = 64;
const SIG_IGN = 1n;

/**
 * Stops this process; it is back when it has been continued. In a group that is orphaned the kernel stops nobody by SIGTSTP, SIGTTIN or
 * SIGTTOU. Precondition: this is the process's first thread, which the kernel chooses for the signal, and it does not block it.
 */
export function stopBy(signal: number): void {
  withAction(signal, 0n, () => systemCall(SYSCALLS.kill, process.pid, signal));
}

/** Sends a signal to every other process of our group. */
export function signalOwnGroup(signal: number): void {
  withAction(signal, SIG_IGN, () => systemCall(SYSCALLS.kill, 0, signal));
}

/** Node knows nothing of it, and finds its handler as it was. SIGSTOP has no action: the calls fail, and are not needed. */
function withAction(signal: number, handler: bigint, act: () => void): void {
  const action = Buffer.alloc(SIGACTION_BYTES);
  const before = Buffer.alloc(SIGACTION_BYTES);
  action.writeBigUInt64LE(handler, 0);
  const changed = signal !== SIGNALS.SIGSTOP && systemCall(SYSCALLS.rt_sigaction, signal, addressOf(action), addressOf(before), 8) === 0;
  try {
    act();
  } finally {
    if (changed) systemCall(SYSCALLS.rt_sigaction, signal, addressOf(before), 0, 8);
  }
}

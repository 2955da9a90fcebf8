/**
 * Ends this process as the job ended, so that whoever waits for us cannot tell the difference: with its exit status, or by the
 * same signal.
 *
 * exit_group(2) is called directly: Node would set the terminal's modes and our descriptors' flags back to what they were at the
 * start, and undo what the program (`stty`, `reset`) did to them on purpose.
 */
import { flushCompileCache } from "node:module";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { addressOf } from "../kernel/memory-ffi.ts";
import { decodeWaitStatus, shellExitStatus } from "../kernel/signals.ts";
import { systemCall } from "../kernel/syscall-ffi.ts";
import type { JobEnd } from "../supervisor/supervise.ts";
import { EXIT_INTERNAL } from "./exit-codes.ts";

const RLIMIT_CORE = 4;
const KERNEL_SIGACTION_BYTES = 64;
/** How long a signal to ourselves may take; it comes at once, unless we are the first process of a pid namespace, where it has no effect. */
const SIGNAL_MS = 1000;

export function endLikeJob({ waitStatus, stoppedAfter }: JobEnd): never {
  flushCompileCache();
  if (waitStatus === null) return exitNow(EXIT_INTERNAL);
  const outcome = decodeWaitStatus(waitStatus);
  // Ended by `cairn checkpoint --stop`: nothing crashed, and the shell shall not say "Killed".
  if (outcome.kind === "signaled" && stoppedAfter === null) dieBy(outcome.signal);
  return exitNow(shellExitStatus(waitStatus));
}

/** Ends this process as a signal would end it that it had not handled. */
export function endBySignal(signal: number): never {
  dieBy(signal);
  return exitNow(128 + signal);
}

function dieBy(signal: number): void {
  // The job has dumped its own core if it was to: ours would bury it.
  systemCall(SYSCALLS.prlimit64, 0, RLIMIT_CORE, addressOf(Buffer.alloc(64)), 0);
  systemCall(SYSCALLS.rt_sigaction, signal, addressOf(Buffer.alloc(KERNEL_SIGACTION_BYTES)), 0, 8);
  systemCall(SYSCALLS.kill, process.pid, signal);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SIGNAL_MS);
}

function exitNow(status: number): never {
  systemCall(SYSCALLS.exit_group, status);
  // Not reached; the type checker cannot know.
  return process.exit(status);
}

/**
 * ptrace(2) and waiting, call by call. No policy: every function makes one system call and gives what the kernel gave.
 *
 * Precondition of all: called on the thread that seized the tracee (the main thread).
 * Every function counts as one step of `CAIRN_KILL_AT`.
 */
import { performance } from "node:perf_hooks";
import type { Pid, Tid } from "../base/ids.ts";
import { SyscallError } from "../base/errors.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { withAlarm } from "./alarm-ffi.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { countStep, systemCall } from "./syscall-ffi.ts";
import type { Argument } from "./syscall-ffi.ts";

const PTRACE_CONT = 7;
const PTRACE_DETACH = 17;
const PTRACE_SYSCALL = 24;
const PTRACE_SETOPTIONS = 0x4200;
const PTRACE_GETEVENTMSG = 0x4201;
const PTRACE_GETSIGINFO = 0x4202;
const PTRACE_GETREGSET = 0x4204;
const PTRACE_SETREGSET = 0x4205;
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;
const PTRACE_PEEKSIGINFO = 0x4209;
const PTRACE_GETSIGMASK = 0x420a;
const PTRACE_SETSIGMASK = 0x420b;
const PTRACE_SECCOMP_GET_FILTER = 0x420c;
const PTRACE_SECCOMP_GET_METADATA = 0x420d;
const PTRACE_GET_RSEQ_CONFIGURATION = 0x420f;
const PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG = 0x4211;
const PTRACE_PEEKSIGINFO_SHARED = 1;

export const TRACE_SYSCALL_GOOD = 1;
export const TRACE_CLONE = 8;
export const TRACE_EXIT_KILL = 0x100000;
/** The thread's seccomp filters are not asked while it is traced. Needs CAP_SYS_ADMIN, and no filter on the tracer itself. */
export const TRACE_SUSPEND_SECCOMP = 0x200000;

export const EVENT_CLONE = 3;
export const EVENT_STOP = 128;
export const SYSCALL_STOP_SIGNAL = 5 | 0x80;

export const WNOHANG = 1;
const WALL = 0x40000000;

const NT_PRSTATUS = 1;
const NT_X86_XSTATE = 0x202;

const SIGINFO_BYTES = 128;
const ENOENT = 2;
const ESRCH = 3;
const ECHILD = 10;
/** BPF_MAXINSNS of struct sock_filter, 8 bytes each. */
const LARGEST_FILTER_BYTES = 4096 * 8;
const FILTER_INSTRUCTION_BYTES = 8;
const FILTER_METADATA_BYTES = 16;
/** SECCOMP_FILTER_FLAG_LOG, the one flag that the kernel tells. */
const FILTER_LOGS = 2n;

/** A thread that ended under our hands is not an error of ours: callers that can go on ask for this value. */
export const GONE = Symbol("gone");
export type Gone = typeof GONE;

function ptrace(request: number, tid: Tid, address: Argument, data: Argument): number {
  countStep("ptrace");
  return systemCall(SYSCALLS.ptrace, request, tid, address, data);
}

function check(call: string, tid: Tid, result: number): number | Gone {
  if (result >= 0) return result;
  if (result === -ESRCH) return GONE;
  throw new SyscallError(call, -result, errnoName(-result), { pid: tid as number as Pid });
}

/** Seizes a thread without stopping it. Errors: EPERM when the system forbids it or another tracer holds it. */
export function seize(tid: Tid, options: number): number | Gone {
  return check("ptrace(PTRACE_SEIZE)", tid, ptrace(PTRACE_SEIZE, tid, 0, options));
}

export function interrupt(tid: Tid): number | Gone {
  return check("ptrace(PTRACE_INTERRUPT)", tid, ptrace(PTRACE_INTERRUPT, tid, 0, 0));
}

/** Lets the thread run, delivering `signal` (0 for none). */
export function resume(tid: Tid, signal = 0): number | Gone {
  return check("ptrace(PTRACE_CONT)", tid, ptrace(PTRACE_CONT, tid, 0, signal));
}

/** Lets the thread run to the next entry to or exit from a system call. */
export function resumeToSyscall(tid: Tid, signal = 0): number | Gone {
  return check("ptrace(PTRACE_SYSCALL)", tid, ptrace(PTRACE_SYSCALL, tid, 0, signal));
}

export function detach(tid: Tid, signal = 0): number | Gone {
  return check("ptrace(PTRACE_DETACH)", tid, ptrace(PTRACE_DETACH, tid, 0, signal));
}

export function setOptions(tid: Tid, options: number): number | Gone {
  return check("ptrace(PTRACE_SETOPTIONS)", tid, ptrace(PTRACE_SETOPTIONS, tid, 0, options));
}

const word = Buffer.alloc(64);
const wordAddress = addressOf(word);
const vector = Buffer.alloc(64);
const vectorAddress = addressOf(vector);

export function eventMessage(tid: Tid): number | Gone {
  const result = check("ptrace(PTRACE_GETEVENTMSG)", tid, ptrace(PTRACE_GETEVENTMSG, tid, 0, wordAddress));
  return result === GONE ? GONE : Number(word.readBigUInt64LE(0));
}

/** siginfo_t of the signal that the thread is stopped for. */
export function signalInformation(tid: Tid): Buffer | Gone {
  const buffer = Buffer.alloc(SIGINFO_BYTES);
  const result = check("ptrace(PTRACE_GETSIGINFO)", tid, ptrace(PTRACE_GETSIGINFO, tid, 0, addressOf(buffer)));
  return result === GONE ? GONE : buffer;
}

function getRegisterSet(tid: Tid, set: number, buffer: Buffer): Buffer | Gone {
  vector.writeBigUInt64LE(addressOf(buffer), 0);
  vector.writeBigUInt64LE(BigInt(buffer.length), 8);
  const result = check("ptrace(PTRACE_GETREGSET)", tid, ptrace(PTRACE_GETREGSET, tid, set, vectorAddress));
  return result === GONE ? GONE : buffer.subarray(0, Number(vector.readBigUInt64LE(8)));
}

function setRegisterSet(tid: Tid, set: number, buffer: Buffer): number | Gone {
  vector.writeBigUInt64LE(addressOf(buffer), 0);
  vector.writeBigUInt64LE(BigInt(buffer.length), 8);
  return check("ptrace(PTRACE_SETREGSET)", tid, ptrace(PTRACE_SETREGSET, tid, set, vectorAddress));
}

/** struct user_regs_struct. */
export function getGeneralRegisters(tid: Tid): Buffer | Gone {
  return getRegisterSet(tid, NT_PRSTATUS, Buffer.alloc(512));
}

export function setGeneralRegisters(tid: Tid, registers: Buffer): number | Gone {
  return setRegisterSet(tid, NT_PRSTATUS, registers);
}

/** The xsave area, uncompacted; as long as the processor makes it. */
export function getExtendedRegisters(tid: Tid): Buffer | Gone {
  return getRegisterSet(tid, NT_X86_XSTATE, Buffer.alloc(65536));
}

export function setExtendedRegisters(tid: Tid, area: Buffer): number | Gone {
  return setRegisterSet(tid, NT_X86_XSTATE, area);
}

export function getSignalMask(tid: Tid): bigint | Gone {
  const result = check("ptrace(PTRACE_GETSIGMASK)", tid, ptrace(PTRACE_GETSIGMASK, tid, 8, wordAddress));
  return result === GONE ? GONE : word.readBigUInt64LE(0);
}

export function setSignalMask(tid: Tid, mask: bigint): number | Gone {
  word.writeBigUInt64LE(mask, 0);
  return check("ptrace(PTRACE_SETSIGMASK)", tid, ptrace(PTRACE_SETSIGMASK, tid, 8, wordAddress));
}

/** All siginfo_t queued for the thread alone, or (`shared`) for its whole process, in order. */
export function pendingSignals(tid: Tid, shared: boolean): Buffer[] | Gone {
  const batch = 64;
  const buffer = Buffer.alloc(SIGINFO_BYTES * batch);
  const found: Buffer[] = [];
  for (;;) {
    vector.writeBigUInt64LE(BigInt(found.length), 0);
    vector.writeUInt32LE(shared ? PTRACE_PEEKSIGINFO_SHARED : 0, 8);
    vector.writeInt32LE(batch, 12);
    const result = check("ptrace(PTRACE_PEEKSIGINFO)", tid, ptrace(PTRACE_PEEKSIGINFO, tid, vectorAddress, addressOf(buffer)));
    if (result === GONE) return GONE;
    for (let i = 0; i < result; i += 1) {
      found.push(Buffer.from(buffer.subarray(i * SIGINFO_BYTES, (i + 1) * SIGINFO_BYTES)));
    }
    if (result < batch) return found;
  }
}

export interface RseqConfiguration {
  readonly address: bigint;
  readonly lengthBytes: number;
  readonly signature: number;
  readonly flags: number;
}

/** The thread's rseq registration; null when it has none or the kernel (before 5.13) can't tell. */
export function getRseq(tid: Tid): RseqConfiguration | null | Gone {
  const result = ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, 24, wordAddress);
  if (result === -ESRCH) return GONE;
  if (result < 0 || word.readBigUInt64LE(0) === 0n) return null;
  return {
    address: word.readBigUInt64LE(0),
    lengthBytes: word.readUInt32LE(8),
    signature: word.readUInt32LE(12),
    flags: word.readUInt32LE(16),
  };
}

export interface SeccompFilter {
  /** struct sock_filter[], as it was given to seccomp(2). */
  readonly program: Buffer;
  /** SECCOMP_FILTER_FLAG_LOG. */
  readonly logs: boolean;
}

/**
 * A seccomp filter of a stopped thread, counted from the oldest, 0; null when there are no more. Errors: EACCES without CAP_SYS_ADMIN or
 * when a filter is on the tracer itself, EINVAL when the thread has none, EMEDIUMTYPE when it cannot be told.
 */
export function seccompFilter(tid: Tid, index: number): SeccompFilter | null | Gone {
  const buffer = Buffer.alloc(LARGEST_FILTER_BYTES);
  const count = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, index, addressOf(buffer));
  if (count === -ENOENT) return null;
  if (check("ptrace(PTRACE_SECCOMP_GET_FILTER)", tid, count) === GONE) return GONE;
  // struct seccomp_metadata: filter_off, flags (u64 each).
  word.writeBigUInt64LE(BigInt(index), 0);
  const told = check(
    "ptrace(PTRACE_SECCOMP_GET_METADATA)",
    tid,
    ptrace(PTRACE_SECCOMP_GET_METADATA, tid, FILTER_METADATA_BYTES, wordAddress),
  );
  if (told === GONE) return GONE;
  return {
    program: Buffer.from(buffer.subarray(0, count * FILTER_INSTRUCTION_BYTES)),
    logs: (word.readBigUInt64LE(8) & FILTER_LOGS) !== 0n,
  };
}

/** Whether the thread has the kernel turn its system calls into signals (PR_SET_SYSCALL_USER_DISPATCH). A kernel before 6.4 can't tell: no. */
export function dispatchesSyscalls(tid: Tid): boolean | Gone {
  // struct ptrace_syscall_user_dispatch_config: mode, selector, offset, len (u64 each).
  const result = ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, tid, 32, wordAddress);
  if (result === -ESRCH) return GONE;
  return result === 0 && word.readBigUInt64LE(0) !== 0n;
}

/** What waitpid told of a thread. */
export type WaitOutcome =
  | { readonly kind: "nothing" }
  | { readonly kind: "no-child" }
  | { readonly kind: "ended"; readonly status: number }
  | { readonly kind: "stopped"; readonly signal: number; readonly event: number };

const NOTHING: WaitOutcome = { kind: "nothing" };
const NO_CHILD: WaitOutcome = { kind: "no-child" };

/** waitpid(tid, __WALL | flags): with WNOHANG `nothing` means that the thread runs on. */
export function waitFor(tid: Tid, flags: number): WaitOutcome {
  countStep("wait");
  return waitNow(tid, flags);
}

/** waitpid(tid, __WALL) for so long at most: `nothing` means that nothing came in that time. */
export function waitAtMost(tid: Tid, milliseconds: number): WaitOutcome {
  countStep("wait");
  const deadline = performance.now() + milliseconds;
  return withAlarm(milliseconds, () => {
    for (;;) {
      try {
        return waitNow(tid, 0);
      } catch (error) {
        // Another signal than the alarm may have come.
        if (!(error instanceof SyscallError) || error.errnoName !== "EINTR") throw error;
        if (performance.now() >= deadline) return NOTHING;
      }
    }
  });
}

function waitNow(tid: Tid, flags: number): WaitOutcome {
  const result = systemCall(SYSCALLS.wait4, tid, wordAddress, WALL | flags, 0);
  if (result === 0) return NOTHING;
  if (result === -ECHILD) return NO_CHILD;
  if (result < 0) throw new SyscallError("wait4", -result, errnoName(-result), { pid: tid as number as Pid });
  const status = word.readInt32LE(0);
  if ((status & 0xff) !== 0x7f) return { kind: "ended", status };
  return { kind: "stopped", signal: (status >> 8) & 0xff, event: status >> 16 };
}

const P_PID = 1;
const WSTOPPED_ENDED_NOW_KEPT = 0x2 | 0x4 | 0x1000000;
const CLD_TRAPPED = 4;
const information = Buffer.alloc(128);
const informationAddress = addressOf(information);

/**
 * The same, but a thread that stands before a signal keeps the kernel's note of it: wait4 takes the note away, and if we were killed
 * then before the thread is resumed with the signal, the signal would be lost.
 */
export function waitKeepingSignal(tid: Tid, flags: number): WaitOutcome {
  countStep("wait");
  information.fill(0);
  const result = systemCall(SYSCALLS.waitid, P_PID, tid, informationAddress, WSTOPPED_ENDED_NOW_KEPT | WALL | flags, 0);
  if (result === -ECHILD) return NO_CHILD;
  if (result < 0) throw new SyscallError("waitid", -result, errnoName(-result), { pid: tid as number as Pid });
  // siginfo_t: si_code at 8, si_pid at 16 behind padding at 12, si_status at 24.
  if (information.readInt32LE(16 - 4) === 0 && information.readInt32LE(8) === 0) return NOTHING;
  const status = information.readInt32LE(24);
  const isSignal = information.readInt32LE(8) === CLD_TRAPPED && status >> 8 === 0 && (status & 0x80) === 0;
  return isSignal ? { kind: "stopped", signal: status & 0x7f, event: 0 } : waitFor(tid, flags);
}

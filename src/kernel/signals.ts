/**
 * Signals by name and number (asm/signal.h, the same on x86-64 and arm64), masks of them, and wait statuses.
 *
 * A mask is the kernel's 64-bit word: bit n-1 stands for signal n. Real-time signals are named as glibc does, which
 * keeps 32 and 33 for itself: SIGRTMIN is 34.
 */
import { assert } from "../base/assert.ts";

export const SIGNALS = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
} as const;

export type SignalName = keyof typeof SIGNALS;

export const SIGNAL_COUNT = 64;
const RTMIN = 34;
const RTMAX = 64;

const NAMES = new Map<number, string>(Object.entries(SIGNALS).map(([name, number]) => [number, name]));
/** With the other names that headers and shells have for the same numbers. */
const NUMBERS = new Map<string, number>([
  ...Object.entries(SIGNALS),
  ["SIGIOT", SIGNALS.SIGABRT],
  ["SIGPOLL", SIGNALS.SIGIO],
  ["SIGCLD", SIGNALS.SIGCHLD],
]);

/** `SIGTERM`, `SIGRTMIN+3`; a number without a name comes out as `SIG32`. */
export function signalName(signal: number): string {
  const name = NAMES.get(signal);
  if (name !== undefined) return name;
  if (signal === RTMAX) return "SIGRTMAX";
  if (signal >= RTMIN && signal < RTMAX) return signal === RTMIN ? "SIGRTMIN" : `SIGRTMIN+${signal - RTMIN}`;
  return `SIG${signal}`;
}

/** The number for `SIGTERM`, `TERM`, `term`, `SIGRTMIN+3`, `SIGRTMAX-1`, `15`; null for what is no signal. */
export function signalNumber(text: string): number | null {
  const upper = text.trim().toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const named = NUMBERS.get(name);
  if (named !== undefined) return named;
  const realTime = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  let signal = Number.NaN;
  if (realTime !== null) {
    const distance = Number(realTime[3] ?? 0) * (realTime[2] === "-" ? -1 : 1);
    signal = (realTime[1] === "MIN" ? RTMIN : RTMAX) + distance;
    if (signal < RTMIN) return null;
  } else if (/^SIG\d{1,2}$/.test(name)) {
    signal = Number(name.slice(3));
  }
  return signal >= 1 && signal <= SIGNAL_COUNT ? signal : null;
}

export function maskOf(...signals: readonly number[]): bigint {
  let mask = 0n;
  for (const signal of signals) {
    assert(signal >= 1 && signal <= SIGNAL_COUNT, `${signal} is no signal`);
    mask |= 1n << BigInt(signal - 1);
  }
  return mask;
}

export function maskHas(mask: bigint, signal: number): boolean {
  return ((mask >> BigInt(signal - 1)) & 1n) === 1n;
}

/** The signals of a mask, ascending. */
export function signalsOf(mask: bigint): number[] {
  const signals: number[] = [];
  for (let signal = 1; signal <= SIGNAL_COUNT; signal++) {
    if (maskHas(mask, signal)) signals.push(signal);
  }
  return signals;
}

/** Signals whose default action stops a process. */
export function stopsByDefault(signal: number): boolean {
  return signal === SIGNALS.SIGSTOP || signal === SIGNALS.SIGTSTP || signal === SIGNALS.SIGTTIN || signal === SIGNALS.SIGTTOU;
}

export type WaitOutcome =
  | { readonly kind: "exited"; readonly code: number }
  | { readonly kind: "signaled"; readonly signal: number; readonly coreDumped: boolean }
  /** `event` is PTRACE_EVENT_* for a tracee, else 0. */
  | { readonly kind: "stopped"; readonly signal: number; readonly event: number }
  | { readonly kind: "continued" };

/**
 * What wait4(2) wrote (bits/waitstatus.h of glibc):
 *
 *     exited     code << 8
 *     signaled   signal | 0x80 when a core was dumped
 *     stopped    event << 16 | signal << 8 | 0x7f
 *     continued  0xffff
 */
export function decodeWaitStatus(status: number): WaitOutcome {
  if (status === 0xffff) return { kind: "continued" };
  const low = status & 0x7f;
  if (low === 0) return { kind: "exited", code: (status >> 8) & 0xff };
  if ((status & 0xff) === 0x7f) return { kind: "stopped", signal: (status >> 8) & 0xff, event: status >>> 16 };
  return { kind: "signaled", signal: low, coreDumped: (status & 0x80) !== 0 };
}

/**
 * The exit status by which a shell tells how a process ended: its code, or 128 and the signal.
 * Precondition: the process has ended.
 */
export function shellExitStatus(waitStatus: number): number {
  const outcome = decodeWaitStatus(waitStatus);
  assert(outcome.kind === "exited" || outcome.kind === "signaled", `wait status ${waitStatus} is of a process that lives`);
  return outcome.kind === "exited" ? outcome.code : 128 + outcome.signal;
}

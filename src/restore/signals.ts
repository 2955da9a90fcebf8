/** What the process does on signals, and signals that were on their way. */
import type { LiveProcessImage } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { call, tolerant } from "../tracee/puppet.ts";
import { timerOf } from "./timers.ts";
import type { Call, Puppet } from "../tracee/puppet.ts";

const SIGTRAP = 5;
const SIG_IGN = 1n;
const ACTION_BYTES = 32;
const ALL_SIGNALS = 0xffff_ffff_ffff_ffffn;
const EAGAIN = -11n;
/** More than may ever be queued by what a restart itself does. */
const LARGEST_FLUSH = 100_000;

export function restoreSignalActions(puppet: Puppet, live: LiveProcessImage): void {
  const data = puppet.data();
  const calls = live.signalActions
    .filter((action) => !isIgnoredTrap(action))
    .map((action) => {
      const record = Buffer.alloc(ACTION_BYTES);
      record.writeBigUInt64LE(BigInt(action.handler), 0);
      record.writeBigUInt64LE(BigInt(action.flags), 8);
      record.writeBigUInt64LE(BigInt(action.restorer), 16);
      record.writeBigUInt64LE(BigInt(action.mask), 24);
      return call(SYSCALLS.rt_sigaction, BigInt(action.signal), data.put(record), 0n, 8n);
    });
  puppet.run(calls, data);
}

/** An ignored SIGTRAP would be reset by the next tape's stop: it is set without one, at the end. */
export function isIgnoredTrap(action: LiveProcessImage["signalActions"][number]): boolean {
  return action.signal === SIGTRAP && BigInt(action.handler) === SIG_IGN;
}

/** Takes away what was queued while the tree was being made: SIGCHLD of helpers and zombies. */
export function flushSignals(puppet: Puppet): void {
  for (let taken = 0; taken < LARGEST_FLUSH; taken += 1) {
    const data = puppet.data();
    const set = Buffer.alloc(8);
    set.writeBigUInt64LE(ALL_SIGNALS & ~(1n << BigInt(SIGTRAP - 1)), 0);
    const [result] = puppet.run([tolerant(SYSCALLS.rt_sigtimedwait, data.put(set), 0n, data.put(Buffer.alloc(16)), 8n)], data);
    if (result === EAGAIN) return;
  }
}

/** Queues them again, in order. `tid` as the job sees it. */
export function queueSignals(puppet: Puppet, pid: number, tid: number | null, signals: readonly string[]): void {
  // A timer's signal is the timer's own to queue, with its overruns: it expires as soon as it is started (timers.ts).
  const queued = signals.filter((signal) => timerOf(signal) === null);
  const batch = 500;
  for (let from = 0; from < queued.length; from += batch) {
    const data = puppet.data();
    const calls: Call[] = queued.slice(from, from + batch).map((text) => {
      const information = Buffer.from(text, "base64");
      const signal = BigInt(information.readInt32LE(0));
      const address = data.put(information);
      return tid === null
        ? call(SYSCALLS.rt_sigqueueinfo, BigInt(pid), signal, address)
        : call(SYSCALLS.rt_tgsigqueueinfo, BigInt(pid), BigInt(tid), signal, address);
    });
    puppet.run(calls, data);
  }
}

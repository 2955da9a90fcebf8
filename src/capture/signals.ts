/** What a process does on signals, and those that wait for it. */
import { toWord } from "../base/words.ts";
import type { LiveProcessImage } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { GONE, pendingSignals } from "../kernel/ptrace.ts";
import { ProcessGone } from "../kernel/remote-memory.ts";
import type { FrozenProcess } from "../tracee/freeze.ts";

const ACTION_BYTES = 32;

/** Who can be asked: the process itself, or its snapshot, which has the same actions and keeps nobody waiting. */
export interface SignalActionSource {
  readonly scratch: bigint;
  call(number: number, ...args: bigint[]): bigint;
  readScratch(lengthBytes: number): Buffer;
}

/** All actions that differ from what a new process has; flags and mask count even for the default action. */
export function captureSignalActions(source: SignalActionSource): LiveProcessImage["signalActions"] {
  const actions: LiveProcessImage["signalActions"] = [];
  for (let signal = 1; signal <= 64; signal += 1) {
    const result = source.call(SYSCALLS.rt_sigaction, BigInt(signal), 0n, source.scratch, 8n);
    if (result < 0n) continue;
    // struct kernel_sigaction: handler, flags, restorer, mask.
    const action = source.readScratch(ACTION_BYTES);
    if (action.every((byte) => byte === 0)) continue;
    actions.push({
      signal,
      handler: toWord(action.readBigUInt64LE(0)),
      flags: toWord(action.readBigUInt64LE(8)),
      restorer: toWord(action.readBigUInt64LE(16)),
      mask: toWord(action.readBigUInt64LE(24)),
    });
  }
  return actions;
}

/** Signals queued for the whole process, in order. */
export function captureSharedPending(process: FrozenProcess): string[] {
  const first = process.threads[0];
  if (first === undefined) throw new ProcessGone(process.pid);
  const pending = pendingSignals(first.tid, true);
  if (pending === GONE) throw new ProcessGone(process.pid);
  return pending.map((information) => information.toString("base64"));
}

/** /proc/PID/timens_offsets: what the clocks of a process's time namespace show more than the system's own. */
import type { Pid } from "../../base/ids.ts";
import { readProcRaw } from "./read.ts";

const NS_PER_SECOND = 1_000_000_000n;

/** Nanoseconds; below zero where the namespace's clock shows less. */
export interface ClockOffsets {
  readonly monotonicNs: bigint;
  readonly boottimeNs: bigint;
}

export function parseTimeOffsets(text: string): ClockOffsets {
  const offset = (name: string): bigint => {
    const [, seconds, nanoseconds] = new RegExp(`^${name}\\s+(-?\\d+)\\s+(\\d+)$`, "m").exec(text) ?? [];
    return BigInt(seconds ?? 0) * NS_PER_SECOND + BigInt(nanoseconds ?? 0);
  };
  return { monotonicNs: offset("monotonic"), boottimeNs: offset("boottime") };
}

/** What is written to the file before the namespace's first process: seconds, which may be below zero, and nanoseconds, which are not. */
export function formatTimeOffsets({ monotonicNs, boottimeNs }: ClockOffsets): string {
  const line = (name: string, offset: bigint): string => {
    const nanoseconds = ((offset % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
    return `${name} ${(offset - nanoseconds) / NS_PER_SECOND} ${nanoseconds}\n`;
  };
  return line("monotonic", monotonicNs) + line("boottime", boottimeNs);
}

/**
 * Of the namespace that the process's children will be in, which is its own unless it has just made one. Null when the process is
 * gone, and where the kernel has no time namespaces.
 */
export function readTimeOffsets(pid: Pid | "self"): ClockOffsets | null {
  const text = readProcRaw(`/proc/${pid}/timens_offsets`);
  return text === null ? null : parseTimeOffsets(text);
}

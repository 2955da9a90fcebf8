/** /proc/locks: every file lock of the machine that this pid namespace can see. */
import { parseLockLine, type FileLock } from "./lock-line.ts";
import { readProcRaw } from "./read.ts";

export function parseLocks(raw: string): FileLock[] {
  const locks: FileLock[] = [];
  for (const line of raw.split("\n")) {
    if (line !== "") locks.push(parseLockLine(line, "/proc/locks"));
  }
  return locks;
}

export function readLocks(): FileLock[] {
  return parseLocks(readProcRaw("/proc/locks") ?? "");
}

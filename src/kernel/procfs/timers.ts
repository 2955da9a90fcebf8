/**
 * /proc/PID/timers: POSIX timers of a process (CONFIG_CHECKPOINT_RESTORE), four lines each, newest first:
 *
 *     ID: 2
 *     signal: 10/00000000deadbeef
 *     notify: signal/tid.4320
 *     ClockID: 1
 *
 * How they are armed is not here: only the process itself can ask, with timer_gettime(2) and timer_getoverrun(2).
 */
import type { Pid } from "../../base/ids.ts";
import { bigHexadecimal, decimal, malformed } from "./fields.ts";
import { readProcRaw } from "./read.ts";

export interface PosixTimer {
  readonly id: number;
  readonly signal: number;
  /** sigev_value, as the 64-bit word that holds it. */
  readonly value: bigint;
  /** `thread-id`: SIGEV_THREAD_ID. `thread`: SIGEV_THREAD, which to the kernel is the same as `signal`. */
  readonly notify: "signal" | "none" | "thread" | "thread-id";
  /** Whom it notifies: a tid for `thread-id`, else the process. As seen from this /proc; 0 when it is gone. */
  readonly target: number;
  /** Negative for the CPU clock of a process or thread. */
  readonly clock: number;
}

const FILE = "/proc/PID/timers";

/** Ascending by id, the order in which a restart has to make them. */
export function parseTimers(raw: string): PosixTimer[] {
  const lines = raw.split("\n");
  if (lines.at(-1) === "") lines.pop();
  if (lines.length % 4 !== 0) throw malformed(FILE, raw);
  const timers: PosixTimer[] = [];
  for (let at = 0; at < lines.length; at += 4) {
    const [signal, value] = after(lines[at + 1], "signal: ").split("/");
    const [how, target] = after(lines[at + 2], "notify: ").split("/");
    const [targetKind, targetId] = (target ?? "").split(".");
    timers.push({
      id: decimal(after(lines[at], "ID: "), FILE),
      signal: decimal(signal, FILE),
      value: bigHexadecimal(value, FILE),
      notify: notification(how ?? "", targetKind ?? ""),
      target: decimal(targetId, FILE),
      clock: decimal(after(lines[at + 3], "ClockID: "), FILE),
    });
  }
  return timers.toSorted((a, b) => a.id - b.id);
}

function after(line: string | undefined, prefix: string): string {
  if (line === undefined || !line.startsWith(prefix)) throw malformed(FILE, line ?? "");
  return line.slice(prefix.length);
}

function notification(how: string, targetKind: string): PosixTimer["notify"] {
  if (how === "none" || how === "thread") return how;
  if (how !== "signal") throw malformed(FILE, how);
  return targetKind === "tid" ? "thread-id" : "signal";
}

export function readTimers(pid: Pid): PosixTimer[] | null {
  const raw = readProcRaw(`/proc/${pid}/timers`);
  return raw === null ? null : parseTimers(raw);
}

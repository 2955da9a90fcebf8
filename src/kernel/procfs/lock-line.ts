/**
 * A lock as /proc/locks and the `lock:` lines of fdinfo print it:
 *
 *     1: POSIX  ADVISORY  WRITE 4320 fe:00:2146330 5 14
 *     1: OFDLCK ADVISORY  WRITE -1 fe:00:2146334 0 EOF
 *     2: -> FLOCK  ADVISORY  WRITE 77 fe:00:2146330 0 EOF      (waits for lock 2; only in /proc/locks)
 */
import { bigDecimal, decimal, hexadecimal, malformed, words } from "./fields.ts";

export interface FileLock {
  /** The number at the head of the line: a lock and those that wait for it share one. */
  readonly number: number;
  /** A request that waits, not a lock that is held. */
  readonly waiting: boolean;
  /** FLOCK, POSIX, OFDLCK, LEASE, DELEG, ACCESS. */
  readonly type: string;
  /** ADVISORY, or the state of a lease: ACTIVE, BREAKING, BREAKER. */
  readonly state: string;
  /** READ, WRITE, UNLCK. */
  readonly mode: string;
  /** As seen from this pid namespace; -1 for OFDLCK, which no process owns; 0 for one of another namespace. */
  readonly pid: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly inode: bigint;
  readonly start: bigint;
  /** The last byte, or `EOF`: to the end, wherever it will be. */
  readonly end: bigint | "EOF";
}

export function parseLockLine(line: string, file: string): FileLock {
  const word = words(line);
  const waiting = word[1] === "->";
  const at = waiting ? 2 : 1;
  const [type, state, mode, pid, place, start, end] = word.slice(at);
  if (type === undefined || state === undefined || mode === undefined || place === undefined || end === undefined) {
    throw malformed(file, line);
  }
  const [major, minor, inode] = place === "<none>:0" ? ["0", "0", "0"] : place.split(":");
  return {
    number: decimal(word[0]?.slice(0, -1), file),
    waiting,
    type,
    state,
    mode,
    pid: decimal(pid, file),
    deviceMajor: hexadecimal(major, file),
    deviceMinor: hexadecimal(minor, file),
    inode: bigDecimal(inode, file),
    start: bigDecimal(start, file),
    end: end === "EOF" ? "EOF" : bigDecimal(end, file),
  };
}

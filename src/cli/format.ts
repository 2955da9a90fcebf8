/** Small phrases that several commands print. */
import { formatDuration } from "../base/duration.ts";

/** `just now`, `12 s ago`; a time to come (a checkpoint from a machine whose clock is ahead) is told as such. */
export function formatAge(thenMs: number, nowMs: number): string {
  const ageMs = nowMs - thenMs;
  if (ageMs < -1500) return `${formatDuration(-ageMs)} ahead of this clock`;
  return ageMs < 1500 ? "just now" : `${formatDuration(ageMs)} ago`;
}

/** `1 process`, `3 processes`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

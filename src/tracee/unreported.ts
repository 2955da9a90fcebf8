/**
 * Tracees that were killed while we held them. The kernel tells the real parent of a tracee's end only when the tracer has taken
 * it by wait(2), or has ended itself; a supervisor lives as long as the job, and a parent that waits for its child would wait as long.
 *
 * A killed thread can't be detached any more, and takes a moment to end; a leader's end is shown only when all other threads
 * of its process are gone. So what is not over at once is kept here and asked again.
 */
import type { Tid } from "../base/ids.ts";
import { pauseMicroseconds } from "../kernel/pause.ts";
import { GONE, WNOHANG, detach, waitFor } from "../kernel/ptrace.ts";

const POLL_MICROSECONDS = 50;
/** Some twenty milliseconds: a killed process with little memory is over in less than one. */
const POLLS = 400;

const unreported = new Set<Tid>();

/** Lets threads go on, as far as they live. Precondition: each is stopped, or has ended. */
export function detachAll(tids: Iterable<Tid>): void {
  const ended = [...tids].filter((tid) => detach(tid) === GONE);
  for (const tid of ended) unreported.add(tid);
  for (let poll = 0; poll < POLLS && ended.some((tid) => unreported.has(tid)); poll += 1) {
    if (poll > 0) pauseMicroseconds(POLL_MICROSECONDS);
    reportEnds();
  }
}

/** A thread that ended while we had seized it, and whose end can't be taken yet: a leader whose process goes on. */
export function rememberEnded(tid: Tid): void {
  unreported.add(tid);
}

/** To be called now and then by whoever lives long: passes on ends that were not over when their threads were let go. */
export function reportEnds(): void {
  for (const tid of unreported) {
    const outcome = waitFor(tid, WNOHANG);
    if (outcome.kind === "nothing") continue;
    // A stop of a killed thread: only its end counts.
    if (outcome.kind === "stopped" && detach(tid) === GONE) continue;
    unreported.delete(tid);
  }
}

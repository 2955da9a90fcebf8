/**
 * When the next checkpoint of a job is due, as a pure state machine: the caller tells it what happened and when, and is
 * told what to do. Times are milliseconds of a monotonic clock.
 *
 * Invariants:
 * - an interval counts from the end of the last checkpoint, whoever took it and whether or not it succeeded;
 * - while a checkpoint of ours runs, none is due.
 */
import { assert } from "../base/assert.ts";

export interface IntervalSchedule {
  readonly intervalMs: number;
  readonly phase: "waiting" | "checkpointing";
  readonly dueMs: number;
}

export type ScheduleStep =
  | { readonly action: "wait"; readonly forMs: number; readonly schedule: IntervalSchedule }
  | { readonly action: "checkpoint"; readonly schedule: IntervalSchedule };

/** How long to wait when somebody else is at work on the job. */
const BUSY_RETRY_MS = 1000;

export function startSchedule(intervalMs: number, nowMs: number): IntervalSchedule {
  assert(intervalMs > 0, "an interval of no length");
  return { intervalMs, phase: "waiting", dueMs: nowMs + intervalMs };
}

/**
 * The timer rang, or the job was continued. `newestAgeMs` is the time since the end of the newest checkpoint, by anyone;
 * null when there is none. After "checkpoint" the caller must report `checkpointEnded` or `checkpointBusy`.
 */
export function wake(schedule: IntervalSchedule, nowMs: number, newestAgeMs: number | null): ScheduleStep {
  assert(schedule.phase === "waiting", "woken while a checkpoint of ours runs");
  // Only ever later: a checkpoint older than what the schedule counts from says nothing new.
  const dueMs = newestAgeMs === null ? schedule.dueMs : Math.max(schedule.dueMs, nowMs - Math.max(0, newestAgeMs) + schedule.intervalMs);
  if (dueMs > nowMs) return { action: "wait", forMs: dueMs - nowMs, schedule: { ...schedule, dueMs } };
  return { action: "checkpoint", schedule: { ...schedule, phase: "checkpointing" } };
}

/** Our checkpoint was committed, or failed: the job goes on and the next one is a whole interval away. */
export function checkpointEnded(schedule: IntervalSchedule, nowMs: number): IntervalSchedule {
  assert(schedule.phase === "checkpointing", "a checkpoint ended that never began");
  return { ...schedule, phase: "waiting", dueMs: nowMs + schedule.intervalMs };
}

/** Somebody else held the job's lock: look again soon; their checkpoint then moves the due time. */
export function checkpointBusy(schedule: IntervalSchedule, nowMs: number): IntervalSchedule {
  assert(schedule.phase === "checkpointing", "a checkpoint was refused that never began");
  return { ...schedule, phase: "waiting", dueMs: nowMs + Math.min(BUSY_RETRY_MS, schedule.intervalMs) };
}

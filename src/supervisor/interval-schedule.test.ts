import assert from "node:assert/strict";
import { test } from "node:test";
import { checkpointBusy, checkpointEnded, startSchedule, wake } from "./interval-schedule.ts";
import type { IntervalSchedule } from "./interval-schedule.ts";

function begun(schedule: IntervalSchedule, nowMs: number): IntervalSchedule {
  const step = wake(schedule, nowMs, null);
  assert.equal(step.action, "checkpoint");
  return step.schedule;
}

test("the first checkpoint is due one interval after the start", () => {
  const schedule = startSchedule(6000, 100);
  assert.deepEqual(wake(schedule, 100, null), { action: "wait", forMs: 6000, schedule });
  assert.equal(wake(schedule, 6099, null).action, "wait");
  assert.equal(wake(schedule, 6100, null).action, "checkpoint");
});

test("the next interval counts from the end of a checkpoint, not from its start", () => {
  const running = begun(startSchedule(6000, 0), 6000);
  assert.equal(checkpointEnded(running, 9500).dueMs, 15_500);
});

test("a checkpoint that somebody else took moves the due time", () => {
  const step = wake(startSchedule(6000, 0), 6000, 2000);
  assert.equal(step.action, "wait");
  assert.equal(step.schedule.dueMs, 10_000);
});

test("a checkpoint from before the start neither delays nor hastens the first one", () => {
  // A restart 1 s after the checkpoint it starts from: the due time counts from the restart.
  const step = wake(startSchedule(6000, 1000), 1000, 1000);
  assert.equal(step.schedule.dueMs, 7000);
});

test("a newest checkpoint from a clock ahead of ours delays by one interval at most", () => {
  const step = wake(startSchedule(6000, 0), 6000, -999_999);
  assert.equal(step.schedule.dueMs, 12_000);
});

test("when another works on the job the schedule looks again soon", () => {
  const running = begun(startSchedule(6000, 0), 6000);
  assert.equal(checkpointBusy(running, 6000).dueMs, 7000);
  const hasty = begun(startSchedule(200, 0), 200);
  assert.equal(checkpointBusy(hasty, 200).dueMs, 400);
});

test("a second checkpoint cannot become due while one runs", () => {
  const running = begun(startSchedule(6000, 0), 6000);
  assert.throws(() => wake(running, 99_000, null));
});

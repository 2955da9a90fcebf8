import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { asPid } from "../base/ids.ts";
import { temporaryDirectory } from "../base/testing/temporary-directory.ts";
import { recordRun, stateOf, stoppedAfter } from "./job-state.ts";
import { addCheckpoint, sampleJob } from "./testing/sample-store.ts";

const now = new Date("2026-03-01T10:00:00Z");
const self = asPid(process.pid);
const parent = asPid(process.ppid);

function record(kind: number, pid: number, status: number): Buffer {
  const bytes = Buffer.alloc(16);
  [kind, pid, status].forEach((value, index) => bytes.writeUInt32LE(value, 4 * index));
  return bytes;
}

test("a job that was never started says so", () => {
  using place = temporaryDirectory();
  const { job } = sampleJob(join(place.path, "store"));
  assert.equal(stateOf(job).kind, "never-ran");
});

test("a job runs as long as its first process has the start time that was written down", () => {
  using place = temporaryDirectory();
  const { job } = sampleJob(join(place.path, "store"));
  job.writeRun(recordRun({ rootPid: self, keeperPid: parent, supervisorPid: null }, now));
  const state = stateOf(job);
  assert.ok(state.kind === "running" && state.kept && !state.supervised && !state.stopped);

  // The pid was used again.
  job.writeRun({ ...state.run, rootStartTime: state.run.rootStartTime - 2 });
  assert.equal(stateOf(job).kind, "ended");
});

test("how a job ended is read from what its keeper wrote", () => {
  using place = temporaryDirectory();
  const { job } = sampleJob(join(place.path, "store"));
  job.writeRun({ ...recordRun({ rootPid: self, keeperPid: null, supervisorPid: null }, now), rootStartTime: 0 });
  const end = () => {
    const state = stateOf(job);
    assert.ok(state.kind === "ended");
    return state.waitStatus;
  };
  assert.equal(end(), null);
  // A record that was cut short by a crash is not read.
  writeFileSync(
    job.recordPath,
    Buffer.concat([record(1, self, 0), record(3, self, 0x137f), record(2, self, 0x700), record(2, self, 9).subarray(0, 7)]),
  );
  assert.equal(end(), 0x700);
});

test("a run that another boot recorded is over", () => {
  using place = temporaryDirectory();
  const { job } = sampleJob(join(place.path, "store"));
  job.writeRun({ ...recordRun({ rootPid: self, keeperPid: null, supervisorPid: null }, now), bootId: "another" });
  const state = stateOf(job);
  assert.ok(state.kind === "ended" && state.machineRestarted);
});

test("only a checkpoint that ended this run counts as its end", async () => {
  using place = temporaryDirectory();
  const { job } = sampleJob(join(place.path, "store"));
  job.writeRun(recordRun({ rootPid: self, keeperPid: null, supervisorPid: null }, now));
  await addCheckpoint(job, { takenAt: new Date(now.getTime() - 1000), trigger: "stop" });
  assert.equal(stoppedAfter(job), null);
  await addCheckpoint(job, { takenAt: new Date(now.getTime() + 1000), trigger: "stop" });
  assert.equal(stoppedAfter(job), 2);
  await addCheckpoint(job, { takenAt: new Date(now.getTime() + 2000) });
  assert.equal(stoppedAfter(job), null);
});

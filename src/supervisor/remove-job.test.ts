import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { asPid } from "../base/ids.ts";
import { temporaryDirectory } from "../base/testing/temporary-directory.ts";
import { recordRun } from "./job-state.ts";
import { removeJob } from "./remove-job.ts";
import { addCheckpoint, sampleJob } from "./testing/sample-store.ts";

const self = asPid(process.pid);

test("a job that runs is not removed", async () => {
  using place = temporaryDirectory();
  const { store, job } = sampleJob(join(place.path, "store"));
  job.writeRun(recordRun({ rootPid: self, keeperPid: asPid(process.ppid), supervisorPid: null }, new Date()));
  await assert.rejects(removeJob(job, false), { code: "conflict" });
  assert.ok(store.tryJob(job.name) !== null);
});

test("a process that Cairn did not start survives the removal of its job, even with force", async () => {
  using place = temporaryDirectory();
  const { store, job } = sampleJob(join(place.path, "store"));
  await addCheckpoint(job);
  job.writeRun(recordRun({ rootPid: self, keeperPid: null, supervisorPid: null }, new Date()));
  // The process is this one: that the next line runs is the test.
  const { checkpoints } = await removeJob(job, true);
  assert.equal(checkpoints, 1);
  assert.equal(store.tryJob(job.name), null);
});

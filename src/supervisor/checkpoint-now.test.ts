import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { CairnError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import { temporaryDirectory } from "../base/testing/temporary-directory.ts";
import type { Job } from "../store/mod.ts";
import { checkpointNow } from "./checkpoint-now.ts";
import { serveControl } from "./control-socket.ts";
import type { ControlHandler } from "./control-socket.ts";
import { recordRun } from "./job-state.ts";
import { addCheckpoint, sampleJob } from "./testing/sample-store.ts";

const self = asPid(process.pid);
const parent = asPid(process.ppid);
const never = new AbortController().signal;

/** A job whose supervisor is this process, and whose processes nobody may trace. */
async function withSupervisor(handler: (job: Job) => ControlHandler, check: (job: Job) => Promise<void>): Promise<void> {
  using place = temporaryDirectory();
  const { job } = sampleJob(join(place.path, "store"));
  job.writeRun(recordRun({ rootPid: parent, keeperPid: null, supervisorPid: self }, new Date()));
  const server = await serveControl(job.controlPath, handler(job));
  try {
    await check(job);
  } finally {
    await server.close();
  }
}

test("where only the supervisor may trace the job, it is asked", async () => {
  await withSupervisor(
    (job) => async (request) => {
      const { number } = await addCheckpoint(job, { trigger: request.stop ? "stop" : "request" });
      return { version: 1, ok: true, number };
    },
    async (job) => {
      const taken = await checkpointNow(job, "stop", never, false);
      assert.equal(taken.manifest.trigger, "stop");
    },
  );
});

test("what the supervisor failed with is what the user reads", async () => {
  await withSupervisor(
    () => () => Promise.reject(new CairnError("unsupported", "It has a socket", { hint: "Close it" })),
    (job) => assert.rejects(checkpointNow(job, "run", never, false), { code: "unsupported", message: "It has a socket", hint: "Close it" }),
  );
});

test("giving up hangs up on the supervisor", async () => {
  const givenUp = new AbortController();
  const hungUp = Promise.withResolvers<void>();
  await withSupervisor(
    () => (_request, signal) => {
      signal.addEventListener("abort", () => hungUp.resolve());
      givenUp.abort();
      return hungUp.promise.then(() => Promise.reject(new Error("nobody reads this")));
    },
    async (job) => {
      await assert.rejects(checkpointNow(job, "run", givenUp.signal, false), { code: "interrupted" });
      await hungUp.promise;
    },
  );
});

test("a job that does not run is told with what to do", async () => {
  using place = temporaryDirectory();
  const { job } = sampleJob(join(place.path, "store"));
  await assert.rejects(
    checkpointNow(job, "run", never),
    (error) => error instanceof CairnError && error.code === "exited" && /cairn run/.test(error.hint ?? ""),
  );
  await addCheckpoint(job);
  await assert.rejects(
    checkpointNow(job, "run", never),
    (error) => error instanceof CairnError && /cairn restart lu/.test(error.hint ?? ""),
  );
});

test("a cairn cannot save the job that it is part of", async () => {
  using place = temporaryDirectory();
  const { job } = sampleJob(join(place.path, "store"));
  job.writeRun(recordRun({ rootPid: self, keeperPid: null, supervisorPid: null }, new Date()));
  await assert.rejects(checkpointNow(job, "run", never), { code: "unsupported" });
  assert.deepEqual(job.checkpoints(), []);
});

/** A kill at any step leaves the old state or the new one, and the next writer goes on from there. */
import assert from "node:assert/strict";
import { cpSync, existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { ManualClock } from "../base/clock.ts";
import { runChild } from "../base/testing/child.ts";
import { temporaryDirectory } from "../base/testing/temporary-directory.ts";
import { openStore } from "./store.ts";
import type { Store } from "./store.ts";
import { imageText, sampleRun, takeCheckpoint } from "./testing/sample.ts";
import type { Work } from "./testing/work.ts";

const WORK = fileURLToPath(new URL("testing/work.ts", import.meta.url));
/** Long after anything that a test leaves behind. */
const TOMORROW = new Date(Date.now() + 86_400_000);

/** Kills `work` at its first step, its second ... until it gets to its end, and calls `check` after each. */
async function killAtEveryStep(
  t: TestContext,
  work: Work,
  prepare: (store: Store) => Promise<void>,
  check: (store: Store) => void,
): Promise<void> {
  using directory = temporaryDirectory();
  const template = join(directory.path, "template");
  await prepare(openStore({ directory: template }));
  for (let step = 1; ; step++) {
    assert.ok(step < 200, "the work never ends");
    const copy = join(directory.path, String(step));
    if (existsSync(template)) cpSync(template, copy, { recursive: true });
    const { status, signal, errors } = await runChild(WORK, [work, copy], { CAIRN_KILL_AT: String(step), CAIRN_KILL_IN: "store" });
    const finished = status === 0;
    assert.ok(finished || signal === "SIGKILL", errors);
    const store = openStore({ directory: copy, clock: new ManualClock(TOMORROW) });
    try {
      checkSound(store);
      check(store);
      await checkThatWorkGoesOn(store);
    } catch (cause) {
      throw new Error(`After a kill at step ${step} of ${work}`, { cause });
    }
    if (!finished) continue;
    t.diagnostic(`${step - 1} steps`);
    assert.ok(step > 3, "the steps were not counted");
    return;
  }
}

function checkSound(store: Store): void {
  for (const record of store.jobs()) {
    assert.equal(record.problem, undefined);
    for (const checkpoint of store.job(record.name).checkpoints()) {
      assert.equal(checkpoint.kind, "whole");
      assert.equal(readFileSync(checkpoint.imagePath, "utf8"), imageText(checkpoint.number));
    }
  }
}

/** The next writer gets the lock at once, uses a number that was never used, and leaves nothing of the dead one. */
async function checkThatWorkGoesOn(store: Store): Promise<void> {
  const job = store.tryJob("lu") ?? store.createJob({ name: "lu", argv: [], cwd: "/" });
  const fresh = job.record.argv.length === 0;
  using lock = job.tryLock();
  assert.ok(lock !== null);
  const { number } = await takeCheckpoint(job);
  if (!fresh) assert.ok(number >= 3 || job.checkpoints().length === 1, `the number ${number} came again`);
  assert.deepEqual(
    readdirSync(join(job.directory, "checkpoints")).filter((name) => name.startsWith(".")),
    [],
  );
  assert.deepEqual(
    readdirSync(job.directory).filter((name) => name.startsWith(".")),
    [],
  );
  store.createJob({ name: "another", argv: [], cwd: "/" });
  assert.deepEqual(
    readdirSync(join(store.directory, "jobs")).filter((name) => name.startsWith(".")),
    [],
  );
  assert.deepEqual(
    readdirSync(store.directory).filter((name) => name.startsWith(".")),
    [],
  );
}

async function withTwoCheckpoints(store: Store): Promise<void> {
  const job = store.createJob({ name: "lu", argv: ["lu"], cwd: "/" });
  job.writeRun(sampleRun(1));
  using lock = job.tryLock();
  assert.ok(lock !== null);
  await takeCheckpoint(job);
  await takeCheckpoint(job);
}

const numbersOf = (store: Store) =>
  store
    .job("lu")
    .checkpoints()
    .map(({ number }) => number)
    .join(" ");

test("a kill while a job is created leaves no job or a whole one", async (t) => {
  await killAtEveryStep(
    t,
    "create",
    async () => {},
    (store) => {
      assert.ok(store.jobs().length <= 1);
      for (const record of store.jobs()) assert.deepEqual(record.argv, ["lu", "--size", "100"]);
    },
  );
});

test("a kill while a checkpoint is committed loses at most that checkpoint", async (t) => {
  await killAtEveryStep(t, "checkpoint", withTwoCheckpoints, (store) => assert.match(numbersOf(store), /^1 2( 3)?$/));
});

test("a kill while the newest checkpoint is removed leaves it whole or gone, and its number is not given again", async (t) => {
  await killAtEveryStep(t, "remove-newest", withTwoCheckpoints, (store) => assert.match(numbersOf(store), /^1( 2)?$/));
});

test("a kill while a job is removed leaves all of it or nothing", async (t) => {
  await killAtEveryStep(t, "remove-job", withTwoCheckpoints, (store) => {
    if (store.tryJob("lu") !== null) assert.equal(numbersOf(store), "1 2");
  });
});

test("a kill while a run is written down leaves the run before or the new one", async (t) => {
  await killAtEveryStep(t, "write-run", withTwoCheckpoints, (store) => {
    assert.ok([1, 2].includes(store.job("lu").run()?.supervisorPid ?? 0));
  });
});

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { runChild } from "../base/testing/child.ts";
import { temporaryDirectory } from "../base/testing/temporary-directory.ts";
import { openStore } from "./store.ts";
import { imageText } from "./testing/sample.ts";

const WORK = fileURLToPath(new URL("testing/work.ts", import.meta.url));

test("of many that create a job of one name at once, in a store that is not there yet, one succeeds", async () => {
  using directory = temporaryDirectory();
  const outcomes = await Promise.all(Array.from({ length: 4 }, () => runChild(WORK, ["create", `${directory.path}/a/b/store`])));
  for (const { status, errors } of outcomes) assert.equal(status, 0, errors);
  const answers = outcomes.map(({ output }) => JSON.parse(output) as string | { code: string });
  assert.equal(answers.filter((answer) => answer === "lu").length, 1);
  for (const answer of answers) if (typeof answer !== "string") assert.equal(answer.code, "conflict");
  const [record, ...others] = openStore({ directory: `${directory.path}/a/b/store` }).jobs();
  assert.equal(record?.problem, undefined);
  assert.equal(others.length, 0);
});

test("writers and removers side by side never share a number, and a reader sees whole checkpoints only", async () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  const job = store.createJob({ name: "lu", argv: [], cwd: "/" });
  const state = { running: true };
  const writers = Promise.all(Array.from({ length: 3 }, () => runChild(WORK, ["many", directory.path]))).finally(() => {
    state.running = false;
  });
  let reads = 0;
  while (state.running) {
    for (const record of job.checkpoints()) {
      assert.equal(record.kind, "whole", JSON.stringify(record));
      reads++;
    }
    await new Promise((resolve) => {
      setTimeout(resolve, 1);
    });
  }
  const outcomes = await writers;
  for (const { status, errors } of outcomes) assert.equal(status, 0, errors);
  const numbers = outcomes.flatMap(({ output }) => JSON.parse(output) as number[]);
  assert.equal(new Set(numbers).size, 18);
  assert.equal(Math.max(...numbers), 18);
  assert.ok(reads > 0);
  for (const record of job.checkpoints()) assert.equal(readFileSync(record.imagePath, "utf8"), imageText(record.number));
});

test("a lock ends with its holder, even when the holder is killed and has left a process behind", async (t) => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  const job = store.createJob({ name: "lu", argv: [], cwd: "/" });
  const { signal, output } = await runChild(WORK, ["hold-lock", directory.path]);
  const [sleeper = "", state] = output.trim().split(/ (.*)/s);
  t.after(() => process.kill(Number(sleeper), "SIGKILL"));
  assert.equal(signal, "SIGKILL");
  assert.equal(state, "locked");
  using lock = job.tryLock();
  assert.ok(lock !== null);
});

test("whoever waits for a lock in vain learns who holds it", async () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  const job = store.createJob({ name: "lu", argv: [], cwd: "/" });
  const other = store.job("lu");
  {
    using lock = job.tryLock();
    assert.ok(lock !== null);
    assert.equal(job.tryLock(), null);
    assert.equal(other.tryLock(), null);
    await assert.rejects(other.lock(1), new RegExp(`Job "lu" is busy: process ${process.pid} is`));
  }
  using lock = await other.lock(0);
  assert.ok(lock);
});

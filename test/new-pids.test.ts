/**
 * A restart that takes the pids that come, for whom this system lets neither choose pids nor make namespaces. Only what programs remember of
 * numbers by themselves may suffer; each case is one that does not.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { compileC, Job, Place, touch, withoutEngine } from "./harness/mod.ts";

const EXIT_USAGE = 64;

/** Fixtures that hold no number of their own, or ask for it anew. */
const fixtures = ["renumbered", "signal-actions", "registers", "heap", "timed-calls"];

async function restartWithNewPids(t: TestContext, fixture: string): Promise<void> {
  if (withoutEngine) return t.skip("needs the engine");
  const compiled = compileC(`objects/${fixture}.c`);
  if ("missing" in compiled) return t.skip(compiled.missing);
  await using place = new Place();
  const job = new Job(place, [compiled.path, place.path("go")]);
  await job.says("ready\n");
  const { status, stderr } = await job.checkpoint();
  assert.equal(status, 0, stderr);
  const before = new Set(place.living().map(({ pid }) => pid));
  await job.crash();
  await job.restartDetached(job.name, ["--new-pids"]);
  for (const { pid, comm } of place.living()) if (comm === "program") assert.ok(!before.has(pid), `${pid} is a pid of before`);
  const again = await job.checkpoint();
  assert.equal(again.status, 0, again.stderr);
  await job.crash();
  touch(place.path("go"));
  job.restart(job.name, ["--new-pids"]);
  const end = await job.end();
  assert.deepEqual([job.out, end.status], ["ready\nok\n", 0], job.explain());
  assert.match(end.stderr, /The job has new pids: process \d+ is \d+ now/);
  assert.match(end.stderr, /remembers/);
}

for (const fixture of fixtures) test(`${fixture} goes on with new pids`, (t) => restartWithNewPids(t, fixture));

test("--new-pids and --pids exclude each other", async () => {
  await using place = new Place();
  const { status, stderr } = await place.cairn(["restart", "--new-pids", "--pids", "host", "x"]);
  assert.equal(status, EXIT_USAGE);
  assert.match(stderr, /--new-pids and --pids exclude each other/);
});

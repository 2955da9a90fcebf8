/**
 * The monotonic clocks of a restarted job go on from where they were. A machine that booted a week later, or a week earlier, is one whose
 * job is in a time namespace with a clock that is a week off.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { CAIRN, compileC, Job, Place, stoppedOrTraced, touch, until, withoutEngine } from "./harness/mod.ts";

const WEEK_S = 7 * 24 * 3600;
const EXIT_UNSUPPORTED = 69;
const MINUTES_10 = 600;
const uptimeS = (): number => Math.floor(Number(readFileSync("/proc/uptime", "latin1").split(" ")[0]));
const asUser = process.getuid?.() !== 0 ? ["--user", "--map-current-user"] : [];

/** Starts Cairn with the fixture where the clocks show `aheadS` more; null where that is not to be had. */
async function startAhead(t: TestContext, place: Place, aheadS: number): Promise<Job | null> {
  if (withoutEngine) return (t.skip("needs the engine"), null);
  const compiled = compileC("objects/deadlines.c");
  if ("missing" in compiled) return (t.skip(compiled.missing), null);
  const around = ["unshare", ...asUser, "--time", "--monotonic", String(aheadS), "--boottime", String(aheadS), "--"];
  const tried = await place.start("/usr/bin/env", [...around, "true"]).ended;
  if (tried.status !== 0) return (t.skip("no time namespaces on this machine"), null);
  const job = new Job(place, [compiled.path, place.path("go")], { around });
  await job.says("ready\n");
  return job;
}

test("a job goes on after a boot that set the machine's clocks back by a week", async (t) => {
  await using place = new Place();
  const job = await startAhead(t, place, WEEK_S);
  if (job === null) return;
  const first = await job.checkpoint();
  assert.equal(first.status, 0, first.stderr);
  await job.crash();
  // On the system's own clock its deadlines would be a week away.
  await job.restartDetached();
  const second = await job.checkpoint();
  assert.equal(second.status, 0, second.stderr);
  await job.crash();
  touch(place.path("go"));
  job.restart();
  const { status } = await job.end();
  assert.deepEqual([job.out, status], ["ready\nok\n", 0], job.explain());
});

test("a job whose checkpoint lay in a drawer has as much time left as it had", async (t) => {
  await using place = new Place();
  // As far back as a clock can be set: it must not be below zero.
  const job = await startAhead(t, place, -(uptimeS() - 1));
  if (job === null) return;
  assert.equal((await job.checkpoint()).status, 0);
  await job.crash();
  touch(place.path("go"));
  job.restart();
  const { status } = await job.end();
  assert.deepEqual([job.out, status], ["ready\nok\n", 0], job.explain());
});

test("--clock host gives a job the machine's clocks, and says how far they jump", async (t) => {
  await using place = new Place();
  // So far that it is told, and not so far that the fixture takes it for a defect.
  const job = await startAhead(t, place, -Math.min(MINUTES_10, Math.floor(uptimeS() / 2)));
  if (job === null) return;
  assert.equal((await job.checkpoint("--stop")).status, 0);
  await job.end();
  touch(place.path("go"));
  job.restart(job.name, ["--clock", "host"]);
  const { status, stderr } = await job.end();
  assert.deepEqual([job.out, status], ["ready\nok\n", 0], job.explain());
  assert.match(stderr, /CLOCK_MONOTONIC jumps ahead by .*--clock host/);
});

test("a tree with two time namespaces is refused by name", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  await using place = new Place();
  const script = `unshare ${asUser.join(" ")} --time --boottime 100 -- sh -c 'echo ready; exec sleep 1000' & wait`;
  const job = new Job(place, ["sh", "-c", script]);
  await job.says("ready\n");
  await until("the inner program runs", () => place.living().some(({ comm }) => comm === "sleep"));
  const { status, stderr } = await job.checkpoint();
  assert.equal(status, EXIT_UNSUPPORTED, stderr);
  assert.match(stderr, /Cannot save process \d+: it has a (time|user) namespace of its own/);
  assert.deepEqual(stoppedOrTraced(place.processes()), []);
});

test("a job knows its own processes also when it asks Cairn itself", async (t) => {
  await using place = new Place();
  if (withoutEngine) return t.skip("needs the engine");
  // An ordinary user's job has a pid namespace after its restart, in which the pids that Cairn noted mean nothing.
  if (process.getuid?.() !== 0) return t.skip("needs root");
  // Where /proc tells when a process started, it does so by the clock of whoever reads.
  const inside = `while ! [ -e go ]; do sleep 0.05; done; '${CAIRN}' ls --json >seen.json; echo over`;
  const job = new Job(place, ["sh", "-c", `echo ready; ${inside}`]);
  await job.says("ready\n");
  assert.equal((await job.checkpoint("--stop")).status, 0);
  await job.end();
  job.restart();
  await until("the job runs", () => place.living().some(({ comm }) => comm === "sh"));
  touch(place.path("go"));
  await job.end();
  assert.match(job.out, /over/);
  assert.match(place.read("seen.json"), /"state": ?"running"/, place.read("seen.json"));
});

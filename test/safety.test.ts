/**
 * What can go wrong around a checkpoint: a full disk, a signal to the checkpointer, a job that forks, execs and exits all
 * the time, signals pouring in, a job that is stopped, several checkpoints at once. The job runs on, and nothing is lost.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import {
  compileC,
  isAlive,
  Job,
  killIfAlive,
  Place,
  processFacts,
  randomForTest,
  stoppedOrTraced,
  touch,
  until,
  withoutEngine,
  works,
  type Started,
} from "./harness/mod.ts";
import { SteadyJob, checkpointsOnDisk, listedCheckpoints } from "./harness/steady.ts";

const EXIT_IO = 74;
const NO_ENGINE = "needs the engine";
const NO_COMPILER = "no C compiler on this machine";

function programs(job: Job): number[] {
  return job.place
    .living()
    .filter((one) => one.comm === "program")
    .map((one) => one.pid);
}

test("a checkpoint onto a full disk fails, the job runs on, and the one before stays", async (t) => {
  if (withoutEngine) return t.skip(NO_ENGINE);
  if (process.getuid?.() !== 0) return t.skip("needs root");
  await using place = new Place();
  mkdirSync(place.store, { mode: 0o700 });
  if (!works("mount", "-t", "tmpfs", "-o", "size=12m,mode=0700", "none", place.store)) return t.skip("cannot mount a tmpfs here");
  try {
    const steady = await SteadyJob.start(place);
    if (steady === undefined) return t.skip(NO_COMPILER);
    const { job } = steady;
    assert.equal((await job.checkpoint()).status, 0, "the first checkpoint fits");
    const full = await job.checkpoint();
    assert.equal(full.status, EXIT_IO, full.stderr);
    assert.match(full.stderr, /space|full/i, "the message says what is the matter");
    await steady.isUnharmed("after a checkpoint onto a full disk");
    assert.deepEqual(checkpointsOnDisk(job), { numbers: [1], others: [] }, "nothing half is left to fill the disk");
    assert.deepEqual(await listedCheckpoints(job), [1]);
    await job.crash();
    job.restart();
    await steady.isAlive("restarted after a full disk");
    await steady.endsWell("restarted after a full disk");
    await job.end();
  } finally {
    await place.killEverything();
    execFileSync("umount", ["-l", place.store]);
  }
});

test("a checkpoint that may not write so large a file fails, and the job runs on", async (t) => {
  if (withoutEngine) return t.skip(NO_ENGINE);
  await using place = new Place();
  const steady = await SteadyJob.start(place);
  if (steady === undefined) return t.skip(NO_COMPILER);
  const { job } = steady;
  assert.equal((await job.checkpoint()).status, 0);
  const limited = place.start("sh", [
    "-c",
    'ulimit -f 2048; exec "$0" checkpoint job',
    process.env["CAIRN_BIN"] ?? join(import.meta.dirname, "../bin/cairn"),
  ]);
  const outcome = await limited.ended;
  assert.notEqual(outcome.status, 0, "a checkpoint of some megabytes does not fit one");
  await steady.isUnharmed("after a checkpoint that was too large");
  assert.deepEqual(checkpointsOnDisk(job).numbers, [1]);
  assert.equal((await job.checkpoint()).status, 0, "the next one fits");
  await steady.endsWell("after a checkpoint that was too large");
});

test("a checkpointer that gets a signal at a random moment gives up or finishes, and the job runs on", async (t) => {
  if (withoutEngine) return t.skip(NO_ENGINE);
  const random = randomForTest("signals to the checkpointer", (message) => t.diagnostic(message));
  await using place = new Place();
  const steady = await SteadyJob.start(place);
  if (steady === undefined) return t.skip(NO_COMPILER);
  const { job } = steady;
  const signals = ["SIGTERM", "SIGINT", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGSTOP"] as const;
  for (let i = 0; i < 18; i++) {
    const signal = signals[i % signals.length] ?? "SIGTERM";
    const before = checkpointsOnDisk(job).numbers;
    const started = place.startCairn(["checkpoint", job.name]);
    const pauseMs = random.between(0, 250);
    await delay(pauseMs);
    started.signal(signal);
    if (signal === "SIGSTOP") {
      // Stopped, it may hold the job; when it is killed or goes on, the job must go on as well.
      await delay(50);
      started.signal(i % 12 < 6 ? "SIGCONT" : "SIGKILL");
    }
    const { status } = await started.ended;
    const when = `after ${signal} to the checkpointer at ${Math.round(pauseMs)} ms, which ended with ${status}`;
    await steady.isUnharmed(when);
    const { numbers } = checkpointsOnDisk(job);
    assert.ok(
      before.every((number) => numbers.includes(number)),
      `${when}: a checkpoint was lost`,
    );
    if (status === 0) assert.equal(numbers.length, before.length + 1, when);
  }
  assert.equal((await job.checkpoint()).status, 0);
  assert.deepEqual(await listedCheckpoints(job), checkpointsOnDisk(job).numbers);
  await job.crash();
  job.restart();
  await steady.isAlive("restarted after all those signals");
  await steady.endsWell("restarted after all those signals");
  await job.end();
});

test("processes and threads that come and go all the time are caught, and come through a restart", async (t) => {
  if (withoutEngine) return t.skip(NO_ENGINE);
  const compiled = compileC("storm.c");
  if ("missing" in compiled) return t.skip(compiled.missing);
  await using place = new Place();
  const job = new Job(place, [compiled.path, place.path("go")]);
  await job.says("alive 3\n");
  const lines = (): number => job.out.split("\n").length;
  const goesOn = async (when: string): Promise<void> => {
    const seen = lines();
    await until(`the storm goes on ${when}`, () => lines() > seen + 1 || job.out.includes("differs"));
    assert.doesNotMatch(job.out, /differs/, when);
  };
  for (let i = 1; i <= 8; i++) {
    const outcome = await job.checkpoint();
    assert.equal(outcome.status, 0, `checkpoint ${i}: ${outcome.stderr}${job.explain()}`);
    await goesOn(`after checkpoint ${i}`);
    if (i % 4 !== 0) continue;
    await job.crash();
    await job.restartDetached();
    await goesOn(`restarted from checkpoint ${i}`);
  }
  await job.crash();
  touch(place.path("go"));
  job.restart();
  const outcome = await job.end();
  assert.equal(outcome.status, 0, job.explain());
  assert.match(job.out, /\nok\n$/);
  assert.deepEqual(place.living(), []);
});

test("signals that pour in while checkpoints are taken each arrive exactly once", async (t) => {
  if (withoutEngine) return t.skip(NO_ENGINE);
  const [target, sender] = [compileC("target.c"), compileC("sender.c")];
  if ("missing" in target || "missing" in sender) return t.skip(NO_COMPILER);
  const most = 10_000_000;
  const wanted = 10;
  await using place = new Place();
  const job = new Job(place, [target.path, place.path("go")]);
  await job.says("ready\n");
  const [pid] = programs(job);
  assert.ok(pid !== undefined);
  const sending = place.start(sender.path, [String(pid), String(most), "600"]);
  let taken = 0;
  for (; taken < wanted; taken += 1) {
    const outcome = await job.checkpoint();
    assert.equal(outcome.status, 0, outcome.stderr);
  }
  assert.ok(isAlive(sending.pid), "signals poured in until the last checkpoint was taken");
  sending.signal("SIGTERM");
  const { status, stdout } = await sending.ended;
  const count = Number(/^sent (\d+)$/m.exec(stdout)?.[1] ?? 0);
  assert.ok(status === 0 && count > 0, stdout);
  t.diagnostic(`${taken} checkpoints among ${count} signals`);
  if (count >= 1000) await job.says(`alive ${count - (count % 1000)}\n`);
  touch(place.path("go"));
  const outcome = await job.end();
  assert.equal(outcome.status, 0, job.explain());
  assert.match(job.out, new RegExp(`\\nnumbered ${count}\\nok\\n$`), job.explain());
});

test("a child that is killed while it stands frozen is reported to its parent, though the checkpointer lives on", async (t) => {
  if (withoutEngine) return t.skip(NO_ENGINE);
  const compiled = compileC("waits.c");
  if ("missing" in compiled) return t.skip(compiled.missing);
  await using place = new Place();
  // The supervisor itself takes the checkpoints: what it holds it holds until the job ends.
  const job = new Job(place, [compiled.path, place.path("go")], { runOptions: ["--every", "0.01"] });
  let killed = 0;
  for (let round = 1; round <= 12; round++) {
    const child = await until("there is a child", () => {
      const all = [...job.out.matchAll(/^child (\d+)$/gm)];
      return all.length === round ? Number(all.at(-1)?.[1]) : undefined;
    });
    if (round === 12) touch(place.path("go"));
    await until("the child stands frozen", () => (processFacts(child)?.tracerPid ?? 0) !== 0);
    killIfAlive(child);
    killed += 1;
    await job.says(`gone ${child} by 9\n`);
  }
  assert.equal((await job.end()).status, 0, job.explain());
  t.diagnostic(`${killed} children killed`);
});

test("a job that is stopped is saved as it is, stays stopped, and is stopped after a restart", async (t) => {
  if (withoutEngine) return t.skip(NO_ENGINE);
  await using place = new Place();
  const steady = await SteadyJob.start(place);
  if (steady === undefined) return t.skip(NO_COMPILER);
  const { job } = steady;
  for (const pid of programs(job)) killIfAlive(pid, "SIGSTOP");
  const allStopped = (): boolean => programs(job).length === 3 && programs(job).every((pid) => processFacts(pid)?.state === "T");
  await until("the job is stopped", allStopped);
  const outcome = await job.checkpoint();
  assert.equal(outcome.status, 0, outcome.stderr);
  assert.ok(allStopped(), `the job is stopped still: ${job.explain()}`);
  for (const pid of programs(job)) assert.equal(processFacts(pid)?.tracerPid, 0);
  for (const pid of programs(job)) killIfAlive(pid, "SIGCONT");
  await until("the supervisor goes on", () => processFacts(job.supervisor.pid)?.state !== "T");
  await steady.isUnharmed("continued after a checkpoint");
  await job.crash();
  await job.restartDetached();
  assert.ok(allStopped(), `the job is stopped after the restart: ${job.explain()}`);
  for (const pid of programs(job)) killIfAlive(pid, "SIGCONT");
  await steady.isAlive("continued after a restart");
  await steady.endsWell("continued after a restart");
});

test("several checkpoints asked for at once are taken one after the other", async (t) => {
  if (withoutEngine) return t.skip(NO_ENGINE);
  await using place = new Place();
  const steady = await SteadyJob.start(place, { runOptions: ["--every", "0.3"] });
  if (steady === undefined) return t.skip(NO_COMPILER);
  const { job } = steady;
  const started: Started[] = Array.from({ length: 4 }, () => place.startCairn(["checkpoint", job.name]));
  const outcomes = await Promise.all(started.map((one) => one.ended));
  const EXIT_CONFLICT = 75;
  for (const { status, stderr } of outcomes) assert.ok(status === 0 || status === EXIT_CONFLICT, stderr);
  assert.ok(
    outcomes.some(({ status }) => status === 0),
    "one at least is taken",
  );
  await steady.isAlive("after several checkpoints at once");
  const numbers = checkpointsOnDisk(job).numbers;
  assert.ok(numbers.length >= outcomes.filter(({ status }) => status === 0).length, `checkpoints ${numbers.join(", ")}`);
  await steady.endsWell("after several checkpoints at once");
});

test("a restart of a job that runs is refused and disturbs nothing", async (t) => {
  if (withoutEngine) return t.skip(NO_ENGINE);
  await using place = new Place();
  const steady = await SteadyJob.start(place);
  if (steady === undefined) return t.skip(NO_COMPILER);
  const { job } = steady;
  assert.equal((await job.checkpoint()).status, 0);
  const outcome = await place.cairn(["restart", job.name]);
  assert.equal(outcome.status, 75, outcome.stderr);
  await steady.isUnharmed("after a restart was refused");
  await steady.endsWell("after a restart was refused");
  assert.equal((await job.end()).status, 0);
});

test("a checkpointer leaves no snapshot behind, and no thread stopped, after many checkpoints", async (t) => {
  if (withoutEngine) return t.skip(NO_ENGINE);
  await using place = new Place();
  const steady = await SteadyJob.start(place);
  if (steady === undefined) return t.skip(NO_COMPILER);
  const { job } = steady;
  const descriptors = (): string[] => programs(job).map((pid) => readdirSync(`/proc/${pid}/fd`).join(" "));
  const before = descriptors();
  for (let i = 0; i < 10; i++) assert.equal((await job.checkpoint()).status, 0);
  await steady.isUnharmed("after ten checkpoints");
  assert.deepEqual(descriptors(), before, "no descriptor was left in the job");
  assert.deepEqual(stoppedOrTraced(place.processes()), []);
  await steady.endsWell("after ten checkpoints");
});

/**
 * Kills the checkpointer right before the N-th step of its work (`CAIRN_KILL_AT=N`), for every N of a small range and a
 * sample of the rest; all of them with CAIRN_TEST_THOROUGH=1. Whenever it dies: the job runs on unharmed, no half
 * checkpoint is listed, and the checkpoint before restarts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Place,
  describeProcesses,
  randomForTest,
  touch,
  until,
  untilOrNot,
  withoutEngine,
  type Outcome,
  type Random,
} from "./harness/mod.ts";
import { SteadyJob, checkpointsOnDisk, listedCheckpoints } from "./harness/steady.ts";

const KILLED = 128 + 9;
/** For a second run of the suite on the same machine, as another user. */
const isBrief = process.env["CAIRN_TEST_BRIEF"] === "1";
const SAMPLES = process.env["CAIRN_TEST_THOROUGH"] === "1" ? Infinity : isBrief ? 4 : 12;
const CRASHES = 2;
const FIRST_AND_LAST = isBrief ? 4 : 12;

function killAt(step: number): { environment: Record<string, string> } {
  return { environment: { CAIRN_KILL_AT: String(step) } };
}

/** Finds by doubling and halving how many steps a command takes; each try is a kill like any other. */
async function countSteps(runAt: (step: number) => Promise<boolean>): Promise<number> {
  let low = 1;
  let high = 64;
  while (await runAt(high)) {
    low = high;
    high *= 4;
    assert.ok(high < 1 << 24, "the command ends at some step");
  }
  while (high - low > 2) {
    const middle = Math.floor((low + high) / 2);
    if (await runAt(middle)) low = middle;
    else high = middle;
  }
  return high;
}

/** The first steps, the last ones, and a sample of those between. */
function chooseSteps(total: number, random: Random): number[] {
  const chosen = new Set<number>();
  for (let i = 1; i <= FIRST_AND_LAST; i++) {
    chosen.add(i);
    chosen.add(Math.max(1, total - i));
  }
  if (SAMPLES === Infinity) for (let step = 1; step <= total; step++) chosen.add(step);
  else for (let i = 0; i < SAMPLES; i++) chosen.add(1 + random.whole(total));
  return [...chosen].toSorted((a, b) => a - b);
}

test("a checkpoint that is killed at any step leaves the job unharmed and the one before in force", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  const random = randomForTest("kill a checkpoint", (message) => t.diagnostic(message));
  await using place = new Place();
  const steady = await SteadyJob.start(place);
  if (steady === undefined) return t.skip("no C compiler on this machine");
  const { job } = steady;
  const first = await job.checkpoint();
  assert.equal(first.status, 0, first.stderr);
  await steady.isUnharmed("after the first checkpoint");
  // Without its supervisor a job is checkpointed by the command itself, which is then what gets killed.
  job.supervisor.signal("SIGKILL");
  await job.end();
  await steady.isUnharmed("after its supervisor was killed");

  const runAt = async (step: number): Promise<boolean> => {
    const before = checkpointsOnDisk(job).numbers;
    const outcome = await place.cairn(["checkpoint", job.name], killAt(step));
    const when = `after a kill at step ${step}`;
    await steady.isUnharmed(when);
    if (outcome.status === KILLED) {
      const { numbers } = checkpointsOnDisk(job);
      // The kill may come after the rename that commits: then the checkpoint is whole.
      assert.ok(
        numbers.length <= before.length + 1 && before.every((number) => numbers.includes(number)),
        `${when}: checkpoints ${numbers.join(", ")}`,
      );
      return true;
    }
    assert.equal(outcome.status, 0, `${when} that it never came to: ${outcome.stderr}`);
    return false;
  };
  const total = await countSteps(runAt);
  const steps = chooseSteps(total, random);
  t.diagnostic(`a checkpoint takes about ${total} steps; killed at ${steps.length} of them`);
  for (const step of steps) await runAt(step);

  assert.deepEqual(await listedCheckpoints(job), checkpointsOnDisk(job).numbers, "what is listed is what is whole");
  const again = await job.checkpoint();
  assert.equal(again.status, 0, `a checkpoint after all those kills: ${again.stderr}`);
  assert.deepEqual(checkpointsOnDisk(job).others, [], "what the killed ones left is swept");
  await job.crash();
  job.restart();
  await steady.isAlive("restarted after all those kills");
  await steady.endsWell("restarted after all those kills");
});

test("after a checkpoint is killed and the job with it, the checkpoint before restarts", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  const random = randomForTest("kill and crash", (message) => t.diagnostic(message));
  for (let i = 0; i < CRASHES; i++) {
    await using place = new Place();
    const steady = await SteadyJob.start(place);
    if (steady === undefined) return t.skip("no C compiler on this machine");
    const { job } = steady;
    assert.equal((await job.checkpoint()).status, 0);
    job.supervisor.signal("SIGKILL");
    await job.end();
    const step = 1 + random.whole(600);
    await place.cairn(["checkpoint", job.name], killAt(step));
    await job.crash();
    job.restart();
    await steady.isAlive(`restarted after a kill at step ${step}`);
    await steady.endsWell(`restarted after a kill at step ${step}`);
    assert.equal((await job.end()).status, 0);
  }
});

test("a freeze that is killed again and again takes no signal with it", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  await using place = new Place();
  const steady = await SteadyJob.start(place);
  if (steady === undefined) return t.skip("no C compiler on this machine");
  // A thread may have stopped only to have a signal looked at: whoever takes note of that stop and dies before he passes
  // the signal on takes it with him. The freeze of the first process, with four threads, is over in two dozen steps.
  for (let i = 0; i < (isBrief ? 1 : 4); i++) {
    for (let step = 1; step <= 24; step++) await place.cairn(["checkpoint", steady.job.name], killAt(step));
    await steady.isUnharmed(`after ${(i + 1) * 24} kills in the freeze`);
  }
  await steady.endsWell("after many kills in the freeze");
});

test("a supervisor that is killed at any step of a checkpoint leaves the job unharmed", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  const random = randomForTest("kill the supervisor", (message) => t.diagnostic(message));
  for (let i = 0; i < 3; i++) {
    await using place = new Place();
    const steady = await SteadyJob.start(place, {
      runOptions: ["--every", "1"],
      environment: { CAIRN_KILL_AT: String(300 + random.whole(1500)) },
    });
    if (steady === undefined) return t.skip("no C compiler on this machine");
    await until("the supervisor is killed", () => steady.job.outcome);
    await steady.isUnharmed("after its supervisor was killed");
    const outcome = await steady.job.checkpoint();
    assert.equal(outcome.status, 0, outcome.stderr);
    await steady.isUnharmed("after a checkpoint without a supervisor");
    await steady.endsWell("after its supervisor was killed");
  }
});

test("a restart that is killed at any step leaves nothing behind, and the next one succeeds", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  const random = randomForTest("kill a restart", (message) => t.diagnostic(message));
  await using place = new Place();
  const steady = await SteadyJob.start(place);
  if (steady === undefined) return t.skip("no C compiler on this machine");
  const { job } = steady;
  const stopped = await job.checkpoint("--stop");
  assert.equal(stopped.status, 0, stopped.stderr);
  await job.end();

  const runAt = async (step: number): Promise<boolean> => {
    const restart = place.startCairn(["restart", "--quiet", job.name], killAt(step));
    let outcome: Outcome | undefined;
    void restart.ended.then((ended) => (outcome = ended));
    const before = job.out.length;
    // It either dies on the way, or the job lives.
    await until(
      `a restart killed at step ${step} dies or lives`,
      () => outcome !== undefined || (steady.processes().length === 3 && job.out.length > before + 40),
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (outcome === undefined) {
      await job.crash();
      await restart.ended;
      return false;
    }
    assert.equal(outcome.status, KILLED, `a restart killed at step ${step}: ${outcome.stderr}`);
    // Killed once the job was let go, it leaves a job that lives: then that is a job like any other.
    const whole = await untilOrNot(() => [0, 3].includes(steady.processes().length), 10_000);
    assert.ok(whole, `a restart killed at step ${step} left half a job:\n${describeProcesses(place.processes())}`);
    // What counts are the steps up to where the job is let go: the last of them are the most delicate.
    const letGo = steady.processes().length > 0;
    if (letGo) {
      await steady.isAlive(`after a restart that was killed at step ${step}`);
      await job.crash();
    }
    return !letGo;
  };
  const total = await countSteps(runAt);
  const steps = chooseSteps(total, random);
  t.diagnostic(`a restart takes about ${total} steps; killed at ${steps.length} of them`);
  for (const step of steps) await runAt(step);
  job.restart();
  await steady.isAlive("restarted after all those kills");
  touch(place.path("go"));
  const outcome = await job.end();
  assert.equal(outcome.status, 0, job.explain());
  assert.match(job.out, /^ready\n(alive \d+\n)+ok\n$/);
});

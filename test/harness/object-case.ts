/**
 * One fixture per kernel object: it sets the thing up, says "ready", waits for the go-file, looks whether all is as it
 * was, and says "ok" or what differs. A case takes it through every way in which a checkpoint can be lived through:
 * - the job goes on after the checkpoint, undamaged;
 * - restarted from that checkpoint, checkpointed again, crashed, restarted from the second, and so on: three cycles.
 * While it waits, what the system shows of it is compared line by line with what it showed before the first checkpoint.
 */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { basename } from "node:path";
import { test, type TestContext } from "node:test";
import { Job, touch } from "./job.ts";
import { noteInMatrix } from "./matrix.ts";
import { Place, withoutEngine } from "./place.ts";
import { describeProcesses } from "./processes.ts";
import { compileC } from "./programs.ts";
import { differences } from "./visible-state.ts";
import { until, untilOrNot } from "./wait.ts";

const SKIP_STATUS = 77;
const EXIT_UNSUPPORTED = 69;
/** For a second run of the suite on the same machine, as another user, two show what three do. */
const CYCLES = process.env["CAIRN_TEST_BRIEF"] === "1" ? 2 : 3;
const MOST_SHOWN = 60;

export interface ObjectCase {
  /** Path of the C source under test/programs/objects, without `.c`. */
  readonly fixture: string;
  readonly arguments?: readonly string[];
  readonly flags?: readonly string[];
  readonly needsRoot?: boolean;
  /** Checkpoints that are taken before the one that is restarted from: what was stopped once may look otherwise when it is stopped again. */
  readonly before?: number;
  /** What may be refused, by a message that matches, instead of being carried over; the job must then run on. */
  readonly mayBeRefused?: RegExp;
  /** Lines of what the system shows of it that may become others; why stands beside it. */
  readonly mayDiffer?: RegExp;
  /** Removes what outlives processes, however the case ends. */
  readonly cleanUp?: (place: Place) => void;
}

export function objectCase(sentence: string, options: ObjectCase): void {
  test(sentence, async (t) => {
    if (options.needsRoot === true && process.getuid?.() !== 0) {
      noteInMatrix("object", options.fixture, "not here");
      return t.skip("needs root");
    }
    const compiled = compileC(`objects/${options.fixture}.c`, ...(options.flags ?? []));
    if ("missing" in compiled) return t.skip(compiled.missing);
    await using place = new Place();
    const argv = [compiled.path, place.path("go"), ...(options.arguments ?? [])];
    try {
      await (withoutEngine ? uninterrupted(t, place, argv) : throughEverything(t, place, argv, options));
    } finally {
      await place.killEverything();
      options.cleanUp?.(place);
    }
  });
}

async function uninterrupted(t: TestContext, place: Place, argv: readonly string[]): Promise<void> {
  const started = place.start(argv[0] ?? "", argv.slice(1), { stdout: place.path("out") });
  let ended = false;
  void started.ended.then(() => (ended = true));
  await until("the fixture is ready", () => ended || place.read("out").includes("ready\n"));
  touch(place.path("go"));
  await until("the fixture ends", () => ended);
  const outcome = await started.ended;
  if (outcome.status === SKIP_STATUS) return t.skip(outcome.stdout.trim());
  assert.deepEqual([outcome.stdout, outcome.status], ["ready\nok\n", 0], outcome.stderr);
  nothingLeft(place);
}

async function throughEverything(t: TestContext, place: Place, argv: readonly string[], options: ObjectCase): Promise<void> {
  const go = place.path("go");
  const job = new Job(place, argv, { name: basename(options.fixture) });
  await until("the fixture is ready", () => job.outcome !== undefined || job.out.includes("ready\n"));
  if (job.outcome?.status === SKIP_STATUS) {
    noteInMatrix("object", options.fixture, "not here");
    return t.skip(job.out.trim());
  }

  for (let taken = 0; taken < (options.before ?? 0); taken += 1) {
    const outcome = await job.checkpoint();
    assert.equal(outcome.status, 0, `an earlier checkpoint failed: ${outcome.stderr}${job.explain()}`);
  }
  const before = await steadyState(job);
  const first = await job.checkpoint();
  if (first.status === EXIT_UNSUPPORTED && options.mayBeRefused !== undefined) {
    assert.match(first.stderr, options.mayBeRefused, "the refusal says why");
    t.diagnostic(`refused: ${first.stderr.trim()}`);
    touch(go);
    await saysOk(job, "going on after the refusal");
    return noteInMatrix("object", options.fixture, "refused");
  }
  assert.equal(first.status, 0, `the first checkpoint failed: ${first.stderr}${job.explain()}`);
  await looksAs(job, before, options.mayDiffer, "after the first checkpoint");
  touch(go);
  await saysOk(job, "going on after the checkpoint");
  rmSync(go);
  for (let cycle = 1; cycle < CYCLES; cycle += 1) {
    await job.restartDetached();
    assert.equal(job.out, "ready\n", "the restart takes the output back to the checkpoint");
    await looksAs(job, before, options.mayDiffer, `after ${cycle} restarts`);
    const next = await job.checkpoint();
    assert.equal(next.status, 0, `the checkpoint after ${cycle} restarts failed: ${next.stderr}${job.explain()}`);
    await job.crash();
  }
  touch(go);
  job.restart();
  await saysOk(job, `after ${CYCLES} checkpoints and restarts`);
  noteInMatrix("object", options.fixture, "yes");
}

/** Threads may still be on their way to where they wait. */
const SAME_IN_A_ROW = 3;
const PATIENCE_MS = 20_000;

async function steadyState(job: Job): Promise<string[]> {
  let last: string[] = [];
  let same = 0;
  await untilOrNot(() => {
    const now = job.visibleState() ?? [];
    same = now.length > 0 && now.join("\n") === last.join("\n") ? same + 1 : 0;
    last = now;
    return same >= SAME_IN_A_ROW;
  }, PATIENCE_MS);
  assert.ok(same >= SAME_IN_A_ROW, `what the system shows of ${job.name} never comes to rest`);
  return last;
}

async function looksAs(job: Job, before: readonly string[], mayDiffer: RegExp | undefined, when: string): Promise<void> {
  let differing: string[] = [];
  const same = await untilOrNot(() => {
    const now = job.visibleState();
    if (now === null) return false;
    differing = differences(before, now).filter((line) => mayDiffer?.test(line) !== true);
    return differing.length === 0;
  }, PATIENCE_MS);
  assert.ok(same, `${when} the system shows of ${job.name}:\n${differing.slice(0, MOST_SHOWN).join("\n")}`);
}

async function saysOk(job: Job, what: string): Promise<void> {
  const outcome = await job.end();
  assert.deepEqual([job.out, outcome.status], ["ready\nok\n", 0], `${what}: ${job.explain()}`);
  nothingLeft(job.place);
}

function nothingLeft(place: Place): void {
  const left = place.living();
  assert.equal(left.length, 0, `processes were left behind:\n${describeProcesses(left)}`);
}

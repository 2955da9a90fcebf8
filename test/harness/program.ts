/**
 * A real program with what it leaves behind: its exit status and every file of its folder. The uninterrupted run is the
 * measure; whatever is cut and restarted has to leave exactly the same.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Job } from "./job.ts";
import type { Place } from "./place.ts";
import type { Random } from "./random.ts";
import { until, untilOrNot } from "./wait.ts";

export interface Program {
  readonly name: string;
  /** Puts what the program needs into the place and returns its command line. */
  readonly prepare: (place: Place) => readonly string[];
  /** Files of the work folder whose growth is the program's progress; standard output is `out`. */
  readonly progress: readonly string[];
  /** Relative path of the file that is its standard input. */
  readonly stdin?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** How often it is cut; ten times if not said. */
  readonly cuts?: number;
  /** Every checkpoint of it ends it (`--stop`): what it does with files that it has closed cannot be taken back. */
  readonly stopped?: boolean;
  /** Files and folders that hold times or random names: the program looks at them itself. */
  readonly ignored?: readonly string[];
  /** Looks at the folder afterwards, beyond comparing it. */
  readonly examine?: (place: Place) => void;
}

export interface Result {
  readonly status: number;
  /** SHA-256 by relative path; a folder, a pipe and the like have their kind. */
  readonly files: Readonly<Record<string, string>>;
  readonly progressBytes: number;
}

function spawnOptions(program: Program, place: Place): object {
  return {
    stdout: place.path("out"),
    ...(program.stdin === undefined ? {} : { stdin: place.path(program.stdin) }),
    ...(program.environment === undefined ? {} : { environment: program.environment }),
  };
}

export async function runUninterrupted(program: Program, place: Place): Promise<Result> {
  const [command = "", ...argv] = program.prepare(place);
  const started = place.start(command, argv, spawnOptions(program, place));
  let ended = false;
  void started.ended.then(() => (ended = true));
  await until(`${program.name} ends`, () => ended);
  const { status, stderr } = await started.ended;
  assert.equal(stderr, "", `${program.name} complains without having been interrupted`);
  return resultOf(program, place, status);
}

export function startProgram(program: Program, place: Place): Job {
  return new Job(place, program.prepare(place), { name: program.name, ...spawnOptions(program, place) });
}

export function resultOf(program: Program, place: Place, status: number): Result {
  const files: Record<string, string> = {};
  const walk = (relative: string): void => {
    for (const entry of readdirSync(join(place.work, relative), { withFileTypes: true })) {
      const path = join(relative, entry.name);
      if (program.ignored?.includes(path) === true) continue;
      if (entry.isDirectory()) walk(path);
      files[path] = entry.isFile()
        ? createHash("sha256")
            .update(readFileSync(place.path(path)))
            .digest("hex")
        : entry.isDirectory()
          ? "folder"
          : "special";
    }
  };
  walk("");
  return { status, files, progressBytes: progressOf(program, place) };
}

export function progressOf(program: Program, place: Place): number {
  let bytes = 0;
  for (const name of program.progress) bytes += statSync(place.path(name), { throwIfNoEntry: false })?.size ?? 0;
  return bytes;
}

const optionsOf = (program: Program): string[] => (program.stopped === true ? ["--stop"] : []);

function expectSame(program: Program, job: Job, reference: Result, what: string): void {
  const result = resultOf(program, job.place, job.outcome?.status ?? -1);
  assert.deepEqual(result, reference, `${program.name} ${what}: not what an uninterrupted run leaves\n${job.explain()}`);
  program.examine?.(job.place);
  assert.deepEqual(job.place.living(), [], `${program.name} ${what}: processes were left behind`);
}

/** Of one that was restarted detached: nobody knows its status. */
function expectSameFiles(program: Program, job: Job, reference: Result, what: string): void {
  assert.deepEqual(resultOf(program, job.place, reference.status), reference, `${program.name} ${what}: other files\n${job.explain()}`);
}

/**
 * Cut at `cuts` random points of its progress: checkpoint, run on a little, SIGKILL to everything, restart, and so on with
 * what was restarted. A program that has come to its end before its next cut is compared, and cut on in another run.
 */
export async function cutAgainAndAgain(
  program: Program,
  newPlace: () => Place,
  reference: Result,
  random: Random,
  cuts: number,
): Promise<void> {
  // A machine with much other work lets a short program come to its end before the second checkpoint of a run, or the first.
  const MOST_RUNS = 40;
  let taken = 0;
  for (let run = 0; taken < cuts; run++) {
    assert.ok(run < MOST_RUNS, `${program.name} is too quick to be cut ${cuts} times`);
    await using place = newPlace();
    taken += await cutOneRun(program, place, reference, random, cuts - taken, run + 1);
  }
}

/** Gives how often the run was cut; with every attempt that was too late the first cuts are tried earlier. */
async function cutOneRun(
  program: Program,
  place: Place,
  reference: Result,
  random: Random,
  wanted: number,
  attempt: number,
): Promise<number> {
  const latest = Math.max(0.02, 0.7 / attempt);
  const points = Array.from({ length: wanted }, () => random.between(0.01, latest) * reference.progressBytes).toSorted((a, b) => a - b);
  const job = startProgram(program, place);
  const gone = (): boolean => place.living().length === 0;
  let taken = 0;
  let hasEnded = false;
  for (const point of points) {
    await until(
      `${program.name} comes to byte ${Math.round(point)} of ${reference.progressBytes}`,
      () => progressOf(program, place) >= point || gone(),
    );
    const outcome = await job.checkpoint(...optionsOf(program));
    if (outcome.status !== 0) {
      // The end came before the checkpoint; anything else is a failure of the checkpoint.
      hasEnded = await untilOrNot(gone, 20_000);
      assert.ok(hasEnded, `cut ${taken + 1} of ${program.name}: ${outcome.stderr}\n${job.explain()}`);
      break;
    }
    taken += 1;
    const runOn = progressOf(program, place) + random.between(0, 0.03) * reference.progressBytes;
    await untilOrNot(() => progressOf(program, place) >= runOn || gone(), 200);
    await job.crash();
    if (taken < wanted) await job.restartDetached();
  }
  await job.crash();
  if (taken === 0) return 0;
  if (hasEnded && program.stopped === true) {
    // It has gone on from its last checkpoint to its end, and is not there for that checkpoint any more.
    expectSameFiles(program, job, reference, `at its end after ${taken} cuts`);
    return taken;
  }
  job.restart();
  await job.end();
  expectSame(program, job, reference, `after ${taken} cuts`);
  return taken;
}

/** A machine with other work on it may let a short program come to its end before the checkpoint does. */
const MOST_TRIES = 6;

/**
 * A checkpoint disturbs nothing: the program goes on to its end as if there had been none, and starts again from it. One that has
 * to be stopped by it starts again from where it stopped.
 */
export async function cutOnce(program: Program, newPlace: () => Place, reference: Result, random: Random): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    await using place = newPlace();
    const point = (random.between(0.01, 0.6) * reference.progressBytes) / attempt;
    const job = startProgram(program, place);
    await until(
      `${program.name} comes to byte ${Math.round(point)}`,
      () => progressOf(program, place) >= point || job.outcome !== undefined,
    );
    const outcome = await job.checkpoint(...optionsOf(program));
    const endedBefore = outcome.status !== 0 && (await untilOrNot(() => job.outcome !== undefined, 20_000));
    if (endedBefore && attempt < MOST_TRIES) {
      expectSame(program, job, reference, "ended before its checkpoint");
      continue;
    }
    assert.equal(outcome.status, 0, `the checkpoint of ${program.name}: ${outcome.stderr}\n${job.explain()}`);
    await job.end();
    if (program.stopped !== true) expectSame(program, job, reference, "going on after a checkpoint");
    job.restart();
    await job.end();
    expectSame(program, job, reference, program.stopped === true ? "stopped and restarted" : "restarted after it had ended");
    return;
  }
}

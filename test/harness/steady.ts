/**
 * The job that notices every harm (programs/steady.c), and how a test looks at it from outside: it is alive when every
 * one of its threads goes on, and unharmed when nobody is stopped or traced, no process was left behind in it, and its
 * address space is what it was.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Job, touch, type JobOptions } from "./job.ts";
import { listAt, numberAt, parseObject } from "./json.ts";
import type { Place } from "./place.ts";
import { describeProcesses, describeThreads, stoppedOrTraced, type ProcessFacts } from "./processes.ts";
import { compileC } from "./programs.ts";
import { until, untilOrNot } from "./wait.ts";

const PROCESSES = 3;

export class SteadyJob {
  readonly job: Job;
  #mappings: ReadonlyMap<number, string> | undefined;

  private constructor(job: Job) {
    this.job = job;
  }

  /** Undefined where it cannot be compiled. */
  static async start(place: Place, options: JobOptions = {}): Promise<SteadyJob | undefined> {
    const compiled = compileC("steady.c");
    if ("missing" in compiled) return undefined;
    const steady = new SteadyJob(new Job(place, [compiled.path, place.path("go")], options));
    // Its supervisor may be meant to die early.
    await until("the job is alive", () => steady.job.out.includes("alive 3\n"));
    steady.#mappings = steady.mappings();
    return steady;
  }

  processes(): ProcessFacts[] {
    return this.job.place.living().filter((one) => one.comm === "program");
  }

  /** What the kernel says of each process's address space; the stack may grow, so its bounds are left out. */
  mappings(): Map<number, string> {
    return new Map(
      this.processes().map(({ pid }) => {
        const lines = readFileSync(`/proc/${pid}/maps`, "latin1").split("\n");
        return [pid, lines.filter((line) => !line.endsWith("[stack]")).join("\n")];
      }),
    );
  }

  /** Every thread of every process goes on: two more lines, so that a whole round lies after this call. */
  async isAlive(when: string): Promise<void> {
    const seen = this.#aliveCount();
    await until(
      `the job goes on ${when}`,
      () => {
        if (this.job.out.includes("differs") || this.job.out.includes("broken"))
          throw new Error(`The job was harmed ${when}: ${this.job.explain()}`);
        return this.#aliveCount() >= seen + 2;
      },
      30_000,
    ).catch((error: unknown) => {
      throw new Error(
        `${error instanceof Error ? error.message : String(error)}: ${this.job.explain()}\n${stoppedOrTraced(this.job.place.processes()).join("\n")}\n${describeThreads(this.processes())}`,
      );
    });
  }

  #aliveCount(): number {
    return this.job.out.split("\n").length;
  }

  async isUnharmed(when: string): Promise<void> {
    const strangers = (): ProcessFacts[] => {
      const all = this.job.place.living().filter((one) => one.comm === "program");
      return all.length === PROCESSES ? [] : all;
    };
    // What a killed checkpoint held dies with it, but not at the same instant.
    assert.ok(
      await untilOrNot(() => strangers().length === 0, 10_000),
      `${when}: not the three processes:\n${describeProcesses(strangers())}`,
    );
    assert.ok(
      await untilOrNot(() => stoppedOrTraced(this.processes()).length === 0, 10_000),
      `${when}: ${stoppedOrTraced(this.processes()).join("; ")}`,
    );
    await this.isAlive(when);
    if (this.#mappings !== undefined) assert.deepEqual(this.mappings(), this.#mappings, `${when}: the address space is not what it was`);
  }

  /** Lets the job come to its end and looks at its verdict, whoever supervises it by now. */
  async endsWell(when: string): Promise<void> {
    touch(this.job.place.path("go"));
    await until(`the job ends ${when}`, () => this.processes().length === 0, 60_000);
    assert.match(this.job.out, /\nok\n$/, `${when}: ${this.job.explain()}`);
    assert.doesNotMatch(this.job.out, /differs|broken/, when);
  }
}

/** The checkpoints that the store holds on disk, by number, and what lies there besides. */
export function checkpointsOnDisk(job: Job): { numbers: number[]; others: string[] } {
  const folder = join(job.place.store, "jobs", job.name, "checkpoints");
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const numbers = names.filter((name) => /^\d+$/.test(name)).map(Number);
  for (const number of numbers) {
    assert.deepEqual(readdirSync(join(folder, String(number))).toSorted(), ["image", "manifest.json"], `checkpoint ${number} is whole`);
  }
  return { numbers: numbers.toSorted((a, b) => a - b), others: names.filter((name) => !/^\d+$/.test(name)) };
}

/** The checkpoints that Cairn lists. */
export async function listedCheckpoints(job: Job): Promise<number[]> {
  const outcome = await job.place.cairn(["ls", "--json", job.name]);
  assert.equal(outcome.status, 0, outcome.stderr);
  const checkpoints = listAt(parseObject(outcome.stdout), "checkpoints");
  for (const one of checkpoints) assert.equal(one["restartable"], true, JSON.stringify(one));
  return checkpoints.map((one) => numberAt(one, "number")).toSorted((a, b) => a - b);
}

/**
 * A job as a test drives it: run, checkpointed, crashed, restarted. A crash takes everything: the supervisor and every
 * process of the job, as a power cut would.
 */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { killIfAlive, describeProcesses, parentsFirst } from "./processes.ts";
import { visibleState } from "./visible-state.ts";
import { until } from "./wait.ts";
import { CAIRN } from "./place.ts";
import type { Outcome, Place, SpawnOptions, Started } from "./place.ts";

export interface JobOptions extends SpawnOptions {
  readonly name?: string;
  /** Further options of `cairn run`, before the `--`. */
  readonly runOptions?: readonly string[];
  /** A command that starts `cairn run`: its words are put before it. */
  readonly around?: readonly string[];
}

export class Job {
  readonly place: Place;
  readonly name: string;
  /** Where the program's standard output goes, through every restart. */
  readonly outPath: string;
  #foreground: Started;
  #ended: Outcome | undefined;

  constructor(place: Place, argv: readonly string[], options: JobOptions = {}) {
    this.place = place;
    this.name = options.name ?? "job";
    this.outPath = options.stdout ?? place.path("out");
    const run = ["run", "--quiet", "--name", this.name, ...(options.runOptions ?? []), "--", ...argv];
    const [command = CAIRN, ...words] = [...(options.around ?? []), CAIRN, ...run];
    this.#foreground = place.start(command, words, { ...options, stdout: this.outPath });
    this.#watch();
  }

  #watch(): void {
    this.#ended = undefined;
    const started = this.#foreground;
    void started.ended.then((outcome) => {
      if (this.#foreground === started) this.#ended = outcome;
    });
  }

  get out(): string {
    try {
      return readFileSync(this.outPath, "utf8");
    } catch {
      return "";
    }
  }

  /** The outcome of the newest `run` or foreground `restart`, once it has ended. */
  get outcome(): Outcome | undefined {
    return this.#ended;
  }

  get supervisor(): Started {
    return this.#foreground;
  }

  /** Waits for output that matches; a program that ends before that is a failure. */
  async says(text: string): Promise<void> {
    await until(`the job says ${JSON.stringify(text)}`, () => {
      if (this.out.includes(text)) return true;
      if (this.#ended !== undefined && !this.out.includes(text))
        throw new Error(`The job ended before it said ${JSON.stringify(text)}: ${this.explain()}`);
      return false;
    });
  }

  async end(): Promise<Outcome> {
    return until("the job ends", () => this.#ended);
  }

  checkpoint(...options: string[]): Promise<Outcome> {
    return this.place.cairn(["checkpoint", this.name, ...options]);
  }

  /**
   * Kills supervisor and job at once. The keeper goes last, because it reaps: a zombie would hold a pid that the restart wants. Parents
   * go before their children, whose end they would otherwise act upon: a shell goes on to its next command.
   */
  async crash(): Promise<void> {
    this.#foreground.signal("SIGKILL");
    const keeper = this.#noted("keeperPid");
    await until("every process of the job is gone", () => {
      const left = this.place.living();
      const others = left.filter((one) => one.pid !== keeper);
      for (const { pid } of others.length > 0 ? parentsFirst(others) : left) killIfAlive(pid);
      return left.length === 0;
    });
  }

  /** What the system shows of it; null where it does not run. */
  visibleState(): string[] | null {
    const rootPid = this.#noted("rootPid");
    return rootPid === 0 ? null : visibleState(rootPid);
  }

  /** A pid of run.json; 0 without one. */
  #noted(field: "keeperPid" | "rootPid"): number {
    try {
      const run = JSON.parse(readFileSync(join(this.place.store, "jobs", this.name, "run.json"), "utf8")) as Partial<
        Record<string, unknown>
      >;
      return Number(run[field] ?? 0);
    } catch {
      return 0;
    }
  }

  /** As docs/format.md has them: pairs of what happened and how. */
  #records(): string {
    try {
      return readFileSync(join(this.place.store, "jobs", this.name, "records"))
        .toString("hex")
        .replaceAll(/(.{32})/g, "$1 ");
    } catch {
      return "none";
    }
  }

  /** Restarts in the background of this test, as `cairn restart` in a terminal of its own. */
  restart(target = this.name, options: readonly string[] = [], spawnOptions: Pick<JobOptions, keyof SpawnOptions | "around"> = {}): void {
    const [command, ...words] = [...(spawnOptions.around ?? []), CAIRN, "restart", ...options, target];
    this.#foreground = this.place.start(command, words, { stdout: join(this.place.root, "restart.out"), ...spawnOptions });
    this.#watch();
  }

  /** Restarts detached: when this returns, the job runs. */
  async restartDetached(target = this.name, options: readonly string[] = []): Promise<void> {
    const outcome = await this.place.cairn(["restart", "--detach", ...options, target]);
    if (outcome.status !== 0) throw new Error(`cairn restart --detach ${target} failed with status ${outcome.status}: ${outcome.stderr}`);
  }

  /** All that helps to see why a test failed. */
  explain(): string {
    const errors = readFileSync(this.#foreground.stderrPath, "utf8");
    return [
      `status ${this.#ended?.status ?? "(still running)"}`,
      `output:\n${this.out.slice(-2000)}`,
      `errors:\n${errors.slice(-4000)}`,
      `processes:\n${describeProcesses(this.place.processes())}`,
      `its keeper's records: ${this.#records()}`,
    ].join("\n");
  }
}

/** How far a program has come, by the size of the file that it lets grow. */
export function progressBytes(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}

export function touch(path: string): void {
  writeFileSync(path, "");
}

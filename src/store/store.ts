/**
 * The local store: jobs and their checkpoints in one folder.
 *
 *     STORE/format                 "cairn-store 1\n"
 *     STORE/jobs/NAME/job.json     name, arguments, working directory, time of creation
 *     STORE/jobs/NAME/lock         flock'ed while a checkpoint, a restart or a removal works on the job
 *     STORE/jobs/NAME/run.json     who runs it, or ran it last
 *     STORE/jobs/NAME/records      what its keeper saw
 *     STORE/jobs/NAME/control.sock where its supervisor listens
 *     STORE/jobs/NAME/checkpoints/ see checkpoints.ts
 *     STORE/jobs/NAME/aside/       what restarts cut off from output files
 *
 * Folders are 0700, files 0600. Names that begin with a dot are in the making or in the removing, and nobody's job.
 */
import { chmodSync, existsSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { systemClock } from "../base/clock.ts";
import type { Clock } from "../base/clock.ts";
import { CairnError } from "../base/errors.ts";
import { nearest } from "../base/nearest.ts";
import {
  errnoOf,
  isTemporary,
  makeDirectories,
  makeDirectory,
  moveDirectory,
  namesIn,
  removeTree,
  replaceFile,
  sweepTemporaries,
  syncDirectory,
  uniqueName,
  withContext,
  writeNewFile,
} from "./durable.ts";
import { checkJobName, freshJobName, isJobName } from "./job-names.ts";
import { Job } from "./job.ts";
import type { JobRecord } from "./job.ts";
import { encodeRecord, jobSchema, readBounded } from "./records.ts";

const FORMAT_VERSION = 1;

export interface StoreOptions {
  /** As given by --store. */
  readonly directory?: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly clock?: Clock;
}

export interface NewJob {
  readonly name: string;
  readonly argv: readonly string[];
  readonly cwd: string;
}

/**
 * Opens the store without making it: that is left to the first job.
 * Errors: `usage` when the folder holds something else, `incompatible` for a newer store, `permission` for another user's.
 */
export function openStore(options: StoreOptions = {}): Store {
  const directory = resolve(options.directory ?? defaultDirectory(options.environment ?? process.env));
  withContext(`open the store ${directory}`, () => checkDirectory(directory));
  return new Store(directory, options.clock ?? systemClock);
}

/** CAIRN_STORE, else the folder that the XDG Base Directory Specification has for state that outlives a restart. */
function defaultDirectory(environment: Readonly<Record<string, string | undefined>>): string {
  const chosen = environment["CAIRN_STORE"];
  if (chosen !== undefined && chosen !== "") return chosen;
  const state = environment["XDG_STATE_HOME"];
  // The specification has relative paths ignored.
  if (state !== undefined && isAbsolute(state)) return join(state, "cairn");
  return join(homedir(), ".local", "state", "cairn");
}

function checkDirectory(directory: string): void {
  const stat = statSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isDirectory()) {
    throw new CairnError("usage", `Cannot use ${directory} as a store: it is not a folder`, {
      data: { directory },
      hint: "Choose another with --store",
    });
  }
  const user = process.geteuid?.();
  if (user !== 0 && stat.uid !== user) {
    throw new CairnError("permission", `The store ${directory} belongs to another user (uid ${stat.uid})`, {
      data: { directory, uid: stat.uid },
      hint: "Choose a store of your own with --store or CAIRN_STORE",
    });
  }
  const version = readFormat(directory);
  if (version === undefined) {
    // Ours is written first of all, so a folder with anything else in it was never a store.
    if (namesIn(directory).every(isTemporary)) return;
    throw new CairnError("usage", `Cannot use ${directory} as a store: it holds other files`, {
      data: { directory },
      hint: "Choose an empty folder, or one that doesn't exist yet, with --store",
    });
  }
  if (version > FORMAT_VERSION) {
    throw new CairnError("incompatible", `The store ${directory} has format ${version}, and this Cairn knows format ${FORMAT_VERSION}`, {
      data: { directory, version },
      hint: "Use the newer Cairn that made it, or another store",
    });
  }
}

function readFormat(directory: string): number | undefined {
  let text: string;
  try {
    text = readBounded(join(directory, "format"), 4096);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const match = /^cairn-store ([1-9][0-9]{0,8})\n/.exec(text);
  if (match !== null) return Number(match[1]);
  throw new CairnError("usage", `Cannot use ${directory} as a store: its file "format" is not that of a store`, {
    data: { directory },
    hint: "Choose another with --store",
  });
}

export class Store {
  readonly directory: string;
  readonly #jobsDirectory: string;
  readonly #clock: Clock;

  /** Made by `openStore`. */
  constructor(directory: string, clock: Clock) {
    this.directory = directory;
    this.#jobsDirectory = join(directory, "jobs");
    this.#clock = clock;
  }

  /** All jobs by name; one whose job.json is damaged says so in its record. */
  jobs(): JobRecord[] {
    return this.#names()
      .map((name) => this.#open(name))
      .filter((job) => job.record.problem === undefined || existsSync(job.directory))
      .map((job) => job.record);
  }

  tryJob(name: string): Job | null {
    if (!isJobName(name)) return null;
    return withContext(`open job "${name}"`, () => this.#exists(name)) ? this.#open(name) : null;
  }

  /** Errors: `not-found`, with the name that may have been meant. */
  job(name: string): Job {
    const job = this.tryJob(name);
    if (job !== null) return job;
    const meant = nearest(name, this.#names());
    throw new CairnError("not-found", `There is no job ${JSON.stringify(name)} in ${this.directory}`, {
      data: { name, ...(meant === undefined ? {} : { meant }) },
      hint: meant === undefined ? "List the jobs with cairn ls" : `Did you mean "${meant}"? List the jobs with cairn ls`,
    });
  }

  /** A name that no job has: the command's, with a number if need be. Another process may take it before `createJob`, which then fails. */
  freshName(base: string): string {
    const taken = new Set(this.#names());
    return freshJobName(base, (name) => taken.has(name));
  }

  /** Errors: `usage` for the name, `conflict` when a job has it. */
  createJob({ name, argv, cwd }: NewJob): Job {
    checkJobName(name);
    const record = { name, argv: [...argv], cwd, createdAt: this.#clock.now().toISOString() };
    const text = encodeRecord(jobSchema, record);
    withContext(`create job "${name}"`, () => {
      this.#initialise();
      this.#tidy();
      this.#createFolder(name, text);
    });
    return this.#open(name);
  }

  /** The folder is complete before it gets its name, and the rename to the name is what claims it. */
  #createFolder(name: string, record: string): void {
    const making = join(this.#jobsDirectory, uniqueName(`.new-${name}`));
    try {
      makeDirectory(making);
      makeDirectory(join(making, "checkpoints"));
      writeNewFile(join(making, "job.json"), record);
      writeNewFile(join(making, "lock"), "");
      syncDirectory(making);
      moveDirectory(making, join(this.#jobsDirectory, name));
    } catch (error) {
      removeTree(making);
      const errno = errnoOf(error);
      if (errno !== "ENOTEMPTY" && errno !== "EEXIST") throw error;
      throw new CairnError("conflict", `There is a job "${name}" already`, {
        data: { name },
        hint: `Choose another with --name, continue that one with cairn restart ${name}, or remove it with cairn rm ${name}`,
      });
    }
  }

  #initialise(): void {
    makeDirectories(this.directory);
    checkDirectory(this.directory);
    if (readFormat(this.directory) === undefined) {
      // An empty folder that the user made becomes private with the first secret in it.
      chmodSync(this.directory, 0o700);
      replaceFile(join(this.directory, "format"), `cairn-store ${FORMAT_VERSION}\n`);
    }
    makeDirectories(this.#jobsDirectory);
    sweepTemporaries(this.directory, this.#clock.now());
  }

  /** Deletes what removals and creations that were cut off have left. */
  #tidy(): void {
    for (const name of namesIn(this.#jobsDirectory)) {
      if (name.startsWith(".removed-")) removeTree(join(this.#jobsDirectory, name));
    }
    sweepTemporaries(this.#jobsDirectory, this.#clock.now(), ".new-");
  }

  #names(): string[] {
    return withContext(`list the jobs of ${this.directory}`, () =>
      namesIn(this.#jobsDirectory)
        .filter((name) => isJobName(name) && this.#exists(name))
        .toSorted(),
    );
  }

  #exists(name: string): boolean {
    return statSync(join(this.#jobsDirectory, name), { throwIfNoEntry: false })?.isDirectory() === true;
  }

  #open(name: string): Job {
    return new Job(name, join(this.#jobsDirectory, name), this.#clock);
  }
}

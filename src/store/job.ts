/** A job in the store: its folder, its lock, its checkpoints. */
import { ftruncateSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { systemClock } from "../base/clock.ts";
import type { Clock } from "../base/clock.ts";
import { CairnError, SyscallError } from "../base/errors.ts";
import { lockStillNames, tryLockFile } from "../kernel/lock-ffi.ts";
import type { LockHandle } from "../kernel/lock-ffi.ts";
import { CheckpointFolder, damagedCheckpoint } from "./checkpoints.ts";
import type { CheckpointRecord, WholeCheckpoint } from "./checkpoints.ts";
import { errnoOf, moveDirectory, removeTree, replaceFile, sweepTemporaries, uniqueName, withContext } from "./durable.ts";
import { PendingCheckpoint } from "./pending-checkpoint.ts";
import { encodeRecord, heldSchema, jobSchema, readBounded, readRecord, runSchema, takenUpSchema } from "./records.ts";
import type { HeldRecord, RunRecord } from "./records.ts";

export interface JobRecord {
  readonly name: string;
  readonly argv: readonly string[];
  readonly cwd: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** Why the above, but for the name, is unknown: job.json is missing or damaged. The checkpoints may be whole all the same. */
  readonly problem?: string;
}

const LOCK_POLL_MS = 50;
const MAX_NUMBERS_NAMED = 6;

export class Job {
  readonly name: string;
  readonly directory: string;
  readonly record: JobRecord;
  /** The keeper appends to this file. */
  readonly recordPath: string;
  /** Made by whoever needs it. */
  readonly asidePath: string;
  readonly controlPath: string;
  readonly #lockPath: string;
  readonly #runPath: string;
  readonly #heldPath: string;
  readonly #takenUpPath: string;
  readonly #folder: CheckpointFolder;
  readonly #clock: Clock;
  #lock: LockHandle | undefined;
  #pending: PendingCheckpoint | undefined;

  /** Made by the store. */
  constructor(name: string, directory: string, clock: Clock = systemClock) {
    this.name = name;
    this.directory = directory;
    this.record = readJobRecord(name, directory);
    this.recordPath = join(directory, "records");
    this.asidePath = join(directory, "aside");
    this.controlPath = join(directory, "control.sock");
    this.#lockPath = join(directory, "lock");
    this.#runPath = join(directory, "run.json");
    this.#heldPath = join(directory, "held.json");
    this.#takenUpPath = join(directory, "taken-up.json");
    this.#folder = new CheckpointFolder(directory);
    this.#clock = clock;
  }

  /** Committed checkpoints in ascending order, damaged ones too: those say so, nothing is thrown for what a file holds. */
  checkpoints(): CheckpointRecord[] {
    return withContext(`list the checkpoints of job "${this.name}"`, () => this.#folder.readAll());
  }

  /**
   * The newest checkpoint; null when there is none. Errors: `damaged` when the newest is, with the one to try: to go back further
   * than asked is the user's decision.
   */
  newest(): WholeCheckpoint | null {
    const records = this.checkpoints();
    const newest = records.at(-1);
    if (newest === undefined) return null;
    if (newest.kind === "damaged") throw damagedCheckpoint(this.name, newest, records);
    return newest;
  }

  /** Errors: `not-found` with the numbers that exist, `damaged`. */
  checkpoint(number: number): WholeCheckpoint {
    const records = this.checkpoints();
    const record = records.find((candidate) => candidate.number === number);
    if (record === undefined) throw this.#noSuchCheckpoint(number, records);
    if (record.kind === "damaged") throw damagedCheckpoint(this.name, record, records);
    return record;
  }

  #noSuchCheckpoint(number: number, records: readonly CheckpointRecord[]): CairnError {
    const numbers = records.map((record) => record.number);
    return new CairnError("not-found", `Job "${this.name}" has no checkpoint ${number}`, {
      data: { job: this.name, number, numbers },
      hint: numbers.length === 0 ? `Take one with cairn checkpoint ${this.name} while it runs` : `It has ${summariseNumbers(numbers)}`,
    });
  }

  /** The newest run; null when there was none, or when run.json is damaged. */
  run(): RunRecord | null {
    const outcome = readRecord(this.#runPath, runSchema);
    return outcome.kind === "read" ? outcome.value : null;
  }

  writeRun(run: RunRecord): void {
    withContext(`write down the run of job "${this.name}"`, () => replaceFile(this.#runPath, encodeRecord(runSchema, run)));
  }

  /** Who holds connections for the next restart; null when nobody does. Whether the process still lives it does not say. */
  held(): HeldRecord | null {
    const outcome = readRecord(this.#heldPath, heldSchema);
    return outcome.kind === "read" ? outcome.value : null;
  }

  /** Null: nobody any more. */
  writeHeld(held: HeldRecord | null): void {
    withContext(`write down what is held for job "${this.name}"`, () => {
      if (held === null) rmSync(this.#heldPath, { force: true });
      else replaceFile(this.#heldPath, encodeRecord(heldSchema, held));
    });
  }

  /** Whether a restart has gone on with the TCP connections of a checkpoint. A file that can't be read speaks for it. */
  areConnectionsTakenUp(number: number): boolean {
    const outcome = readRecord(this.#takenUpPath, takenUpSchema);
    return outcome.kind === "broken" || (outcome.kind === "read" && outcome.value.numbers.includes(number));
  }

  /** To be called before a restart lets the job go on with them. */
  markConnectionsTakenUp(number: number): void {
    if (this.areConnectionsTakenUp(number)) return;
    withContext(`write down whose connections job "${this.name}" goes on with`, () => {
      const outcome = readRecord(this.#takenUpPath, takenUpSchema);
      const numbers = outcome.kind === "read" ? outcome.value.numbers : [];
      replaceFile(this.#takenUpPath, encodeRecord(takenUpSchema, { numbers: [...numbers, number] }));
    });
  }

  /**
   * Takes the job's lock; null when another holds it. Given up when disposed of, or by the kernel when this process ends.
   * Errors: `not-found` when the job was removed meanwhile.
   */
  tryLock(): Disposable | null {
    if (this.#lock !== undefined) return null;
    const handle = withContext(`lock job "${this.name}"`, () => this.#tryLockFile());
    if (handle === null) return null;
    this.#lock = handle;
    return {
      [Symbol.dispose]: () => {
        if (this.#lock === handle) this.#lock = undefined;
        handle[Symbol.dispose]();
      },
    };
  }

  #tryLockFile(): LockHandle | null {
    let handle: LockHandle | null;
    try {
      handle = tryLockFile(this.#lockPath);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") throw this.#removedMeanwhile();
      throw error instanceof SyscallError && error.call === "flock" ? noLocks(this.#lockPath, error) : error;
    }
    // 1. We open the lock's file. 2. A removal, which holds the lock, renames the folder and ends. 3. We get the lock of a
    // job that is gone, perhaps beside a new one of the same name.
    if (handle !== null && !lockStillNames(handle, this.#lockPath)) {
      handle[Symbol.dispose]();
      throw this.#removedMeanwhile();
    }
    if (handle !== null) signLock(handle);
    return handle;
  }

  #removedMeanwhile(): CairnError {
    return new CairnError("not-found", `Job "${this.name}" was removed meanwhile`, {
      data: { job: this.name },
      hint: "List the jobs with cairn ls",
    });
  }

  /** Waits for the lock. Errors: `conflict` with the holder's pid when the time is over. */
  async lock(waitMs: number): Promise<Disposable> {
    const deadlineMs = this.#clock.monotonicMs() + waitMs;
    for (;;) {
      const lock = this.tryLock();
      if (lock !== null) return lock;
      const leftMs = deadlineMs - this.#clock.monotonicMs();
      if (leftMs <= 0) throw this.#busy();
      await this.#clock.sleep(Math.min(LOCK_POLL_MS, leftMs));
    }
  }

  #busy(): CairnError {
    const holder = this.lockHolder();
    const who = holder === null ? "another process" : `process ${holder}`;
    return new CairnError("conflict", `Job "${this.name}" is busy: ${who} is taking a checkpoint of it, restarting it or removing it`, {
      data: { job: this.name, ...(holder === null ? {} : { pid: holder }) },
      hint: "Try again when that is done",
    });
  }

  /** The pid that the last holder of the lock wrote down, as that process saw itself: for messages only. */
  lockHolder(): number | null {
    try {
      const text = readBounded(this.#lockPath, 64);
      return /^[1-9][0-9]{0,8}\n$/.test(text) ? Number(text) : null;
    } catch {
      return null;
    }
  }

  /** Sweeps what dead writers left and begins the next checkpoint. Precondition: this object holds the lock; none is pending. */
  beginCheckpoint(): PendingCheckpoint {
    this.#assertLocked();
    assert(this.#pending?.isOpen !== true, `job "${this.name}" has a checkpoint that is neither committed nor aborted`);
    return withContext(`begin a checkpoint of job "${this.name}"`, () => {
      this.#folder.sweep();
      sweepTemporaries(this.directory, this.#clock.now());
      this.#pending = new PendingCheckpoint(this.name, this.#folder);
      return this.#pending;
    });
  }

  /** Removes one checkpoint, whole or damaged. Precondition: this object holds the lock. Errors: `not-found`. */
  remove(number: number): void {
    this.#assertLocked();
    const records = this.checkpoints();
    if (!records.some((record) => record.number === number)) throw this.#noSuchCheckpoint(number, records);
    withContext(`remove checkpoint ${number} of job "${this.name}"`, () => this.#folder.remove(number));
  }

  /**
   * Removes the job with all its checkpoints and what restarts set aside. It is gone with one rename, the rest is tidying up.
   * Precondition: this object holds the lock; the job doesn't run.
   */
  removeAll(): void {
    this.#assertLocked();
    const removed = join(this.directory, "..", uniqueName(`.removed-${this.name}`));
    withContext(`remove job "${this.name}"`, () => {
      moveDirectory(this.directory, removed);
      removeTree(removed);
    });
  }

  #assertLocked(): void {
    assert(this.#lock !== undefined, `the lock of job "${this.name}" is not held`);
  }
}

function readJobRecord(name: string, directory: string): JobRecord {
  const outcome = readRecord(join(directory, "job.json"), jobSchema);
  if (outcome.kind === "read" && outcome.value.name === name) return outcome.value;
  const reason = { read: "it belongs to another job", missing: "it is missing", broken: "" }[outcome.kind];
  const problem = `job.json: ${outcome.kind === "broken" ? outcome.reason : reason}`;
  return { name, argv: [], cwd: "", createdAt: new Date(0).toISOString(), problem };
}

/** Lustre mounted without `flock` says ENOSYS, NFS whose lock server is away ENOLCK. */
function noLocks(path: string, cause: SyscallError): CairnError {
  return new CairnError("unsupported", `Cannot lock ${path}: its file system refuses locks (${cause.errnoName})`, {
    data: { path, errno: cause.errnoName },
    hint: "Choose a store on a local disk with --store, or have the file system mounted with locks",
    cause,
  });
}

/** Tells those who find the lock taken whom they wait for. */
function signLock(handle: LockHandle): void {
  try {
    ftruncateSync(handle.fd, 0);
    writeSync(handle.fd, `${process.pid}\n`, 0);
  } catch {
    // A full disk takes nothing from the lock itself.
  }
}

/** `1 to 4, 7 and 9`, the newest few ranges. */
function summariseNumbers(numbers: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  const parts = ranges.flatMap(([from, to]) => (to - from < 2 ? [...new Set([from, to])].map(String) : [`${from} to ${to}`]));
  const shown = parts.slice(-MAX_NUMBERS_NAMED);
  const last = shown.pop();
  const text = shown.length === 0 ? String(last) : `${shown.join(", ")} and ${last}`;
  return parts.length > MAX_NUMBERS_NAMED ? `among others ${text}` : text;
}

/** Removes what the user asks to remove, and nothing that runs. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CairnError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import type { Pid } from "../base/ids.ts";
import type { CheckpointRecord, Job, RunRecord } from "../store/mod.ts";
import { endHeld } from "./held-connections.ts";
import { isAttached, stateOf } from "./job-state.ts";
import { descendantsOf, identify, isAlive } from "./process-identity.ts";
import type { ProcessIdentity } from "./process-identity.ts";

const LOCK_PATIENCE_MS = 30_000;
/** Between SIGKILL and the end of a process lies at most the device that it waits for. */
const DEATH_ROUNDS = 500;
const DEATH_ROUND_MS = 20;

/** Errors: `conflict` when the job runs and `force` is not given, or another works on it. */
export async function removeJob(job: Job, force: boolean): Promise<{ checkpoints: number; bytes: number; keptAside: number }> {
  const state = stateOf(job);
  // A process that Cairn did not start is not ours to end, and runs on as before.
  if (state.kind === "running" && !isAttached(state.run)) {
    if (!force) {
      throw new CairnError("conflict", `Cannot remove job "${job.name}": it is running (process ${state.run.rootPid})`, {
        data: { job: job.name, pid: state.run.rootPid },
        hint: `End it first, or remove it with all it has in memory: cairn rm ${job.name} --force`,
      });
    }
  }
  // Its supervisor says how the job ended, and shall not send the user back to what is about to be gone.
  using _note = new RemovalNote(job);
  if (state.kind === "running" && !isAttached(state.run)) await killJob(job, state.run);
  using _lock = await job.lock(LOCK_PATIENCE_MS);
  const records = job.checkpoints();
  const keptAside = existsSync(job.asidePath) ? readdirSync(job.asidePath).length : 0;
  endHeld(job);
  job.removeAll();
  return { keptAside, checkpoints: records.length, bytes: records.reduce((sum, record) => sum + bytesOf(record), 0) };
}

/** Whether a `cairn rm` is at work on the job, or has done it. */
export function isBeingRemoved(job: Job): boolean {
  try {
    return isAlive(JSON.parse(readFileSync(noteOf(job), "utf8")) as ProcessIdentity);
  } catch {
    return !existsSync(job.directory);
  }
}

function noteOf(job: Job): string {
  return join(job.directory, "removal");
}

/** Says who removes the job. It goes with the job; one that was left by a `cairn rm` that was killed names nobody who lives. */
class RemovalNote implements Disposable {
  readonly #path: string;

  constructor(job: Job) {
    this.#path = noteOf(job);
    try {
      writeFileSync(this.#path, JSON.stringify(identify(asPid(process.pid))), { mode: 0o600 });
    } catch {
      // A full disk keeps nobody from making room on it.
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#path, { force: true });
  }
}

/** All of the job's processes; those that it makes meanwhile are found in the next round. */
async function killJob(job: Job, run: RunRecord): Promise<void> {
  const { bootId } = run;
  const keeper = { pid: run.keeperPid, startTime: run.keeperStartTime, bootId };
  const root = { pid: run.rootPid, startTime: run.rootStartTime, bootId };
  for (let round = 0; isAlive(root) || isAlive(keeper); round += 1) {
    if (round === DEATH_ROUNDS)
      throw new CairnError("io", `Cannot remove job "${job.name}": process ${root.pid} does not end`, { data: { pid: root.pid } });
    for (const pid of isAlive(keeper) ? descendantsOf(keeper.pid) : [...descendantsOf(root.pid), root.pid]) killIfAlive(pid);
    await sleep(DEATH_ROUND_MS);
  }
}

function killIfAlive(pid: Pid): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Returns the bytes it had. Errors: `not-found`, `conflict`. */
export async function removeCheckpoint(job: Job, number: number): Promise<number> {
  using _lock = await job.lock(LOCK_PATIENCE_MS);
  const record = job.checkpoints().find((candidate) => candidate.number === number);
  job.remove(number);
  if (job.held()?.number === number) endHeld(job);
  return record === undefined ? 0 : bytesOf(record);
}

function bytesOf(record: CheckpointRecord): number {
  return record.kind === "whole" ? record.manifest.imageBytes : 0;
}

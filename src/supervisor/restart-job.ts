/** Brings a job back from a checkpoint, up to the moment where it runs and only needs to be supervised. */
import { existsSync, renameSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { CairnError } from "../base/errors.ts";
import { asFd, asPid } from "../base/ids.ts";
import { nameToText } from "../base/names.ts";
import { ImageReader } from "../image/mod.ts";
import { restoreTree } from "../restore/mod.ts";
import type { RestoreRequest } from "../restore/mod.ts";
import { movePaths } from "../restore/moved-paths.ts";
import type { PathMove } from "../restore/moved-paths.ts";
import type { Job, Store, WholeCheckpoint } from "../store/mod.ts";
import type { Keeper } from "../tracee/mod.ts";
import { chosenCheckpoint } from "./chosen-checkpoint.ts";
import { endHeld, heldFor } from "./held-connections.ts";
import { makeRecordFile } from "./run-job.ts";
import { borrows, takeTerminal } from "./starting-terminal.ts";
import { leftOvers, recordRun, stateOf } from "./job-state.ts";

export interface RestartRequest {
  readonly store: Store;
  readonly name: string;
  /** Null: the newest. */
  readonly number: number | null;
  readonly files: RestoreRequest["files"];
  readonly pids: RestoreRequest["pids"];
  readonly clock: RestoreRequest["clock"];
  readonly tcp: RestoreRequest["tcp"];
  /** Paths that lie elsewhere on this machine. */
  readonly moves: readonly PathMove[];
  readonly detached: boolean;
  /** Called when the image is verified and the restart proper begins: from here on signals are for the job. */
  readonly onBegin?: () => void;
  /** Called when the job stands complete, before its first instruction: what is said here comes before the job's own output. */
  readonly onReady?: (restarted: Restarted) => void;
}

export interface Restarted {
  readonly job: Job;
  readonly checkpoint: WholeCheckpoint;
  readonly keeper: Keeper;
  readonly warnings: readonly string[];
  /** The job has a process group of its own that is to have the terminal whenever ours does. */
  readonly borrowsTerminal: boolean;
}

const LOCK_PATIENCE_MS = 10_000;
const STREAMS = [asFd(0), asFd(1), asFd(2)] as const;

/** What a restart works on. Holds the job's lock until it is disposed of. */
export interface ChosenImage extends Disposable {
  readonly job: Job;
  readonly checkpoint: WholeCheckpoint;
  readonly reader: ImageReader;
  readonly notes: readonly string[];
}

/** Everything that stands before the restart proper: a job that does not run, a checkpoint that is whole, its paths as they are here. */
export async function openChosen(request: Pick<RestartRequest, "store" | "name" | "number" | "moves">): Promise<ChosenImage> {
  const job = request.store.job(request.name);
  refuseIfRunning(job);
  using held = new DisposableStack();
  held.use(await job.lock(LOCK_PATIENCE_MS));
  refuseIfRunning(job);
  await refuseIfLeftOver(job);
  const checkpoint = chosenCheckpoint(job, request.number);
  const reader = held.use(await openVerified(job, checkpoint));
  const { metadata, unused } = movePaths(reader.metadata, request.moves);
  reader.amendMetadata(metadata);
  const notes = unused.map(({ from }) => `No path of the checkpoint lies at ${from}: --map changed nothing for it`);
  const kept = held.move();
  return { job, checkpoint, reader, notes, [Symbol.dispose]: () => kept.dispose() };
}

/** Errors: `not-found`, `conflict` while the job runs, `damaged`, `incompatible`, `changed`, ...; then nothing was changed. */
export async function restartJob(request: RestartRequest): Promise<Restarted> {
  using chosen = await openChosen(request);
  const { job, checkpoint, reader, notes } = chosen;
  request.onBegin?.();
  using records = new FreshRecords(job.recordPath);
  const restored = await restoreTree({
    reader,
    files: request.files,
    pids: request.pids,
    clock: request.clock,
    tcp: request.tcp,
    held: heldFor(job, checkpoint.number),
    takenUp: job.areConnectionsTakenUp(checkpoint.number),
    asideDirectory: job.asidePath,
    standardStreams: STREAMS,
    detached: request.detached,
    recordPath: job.recordPath,
  });
  const borrowsTerminal = borrows(reader.metadata, restored.keeper.rootPid);
  const restarted = { job, checkpoint, keeper: restored.keeper, warnings: [...notes, ...restored.warnings], borrowsTerminal };
  try {
    // Before the job runs: whoever looks finds it running, and a second restart is refused.
    job.writeRun(recordRun({ ...restored.keeper, supervisorPid: asPid(process.pid) }, new Date()));
    if (request.tcp === "keep") job.markConnectionsTakenUp(checkpoint.number);
    const tellTerminal = takeTerminal(reader.metadata, STREAMS, restored.keeper);
    request.onReady?.(restarted);
    restored.release();
    tellTerminal();
    records.keep();
    // What was held for another checkpoint, or is not wanted, is nobody's any more.
    endHeld(job);
  } catch (error) {
    restored.kill();
    throw error;
  }
  return restarted;
}

/** How long processes that were killed with the job may take to disappear. */
const DEATH_MS = 2000;
const DEATH_POLL_MS = 20;
const MAX_NAMED = 5;

/** Two copies of the same process would write the same files. */
async function refuseIfLeftOver(job: Job): Promise<void> {
  let left = leftOvers(job);
  for (let waitedMs = 0; left.length > 0 && waitedMs < DEATH_MS; waitedMs += DEATH_POLL_MS) {
    await sleep(DEATH_POLL_MS);
    left = leftOvers(job);
  }
  if (left.length === 0) return;
  const named = left.slice(0, MAX_NAMED).map(({ pid, comm }) => `${pid} (${nameToText(comm)})`);
  const more = left.length > MAX_NAMED ? ` and ${left.length - MAX_NAMED} more` : "";
  throw new CairnError(
    "conflict",
    `Cannot restart job "${job.name}": it has ended, but processes that it started still run: ${named.join(", ")}${more}`,
    {
      data: { job: job.name, pids: left.map(({ pid }) => pid) },
      hint: `End them first: kill ${left.map(({ pid }) => pid).join(" ")}`,
    },
  );
}

/** How the last run ended stays written down when the restart fails. */
class FreshRecords implements Disposable {
  readonly #path: string;
  readonly #aside: string;
  #kept = false;

  constructor(path: string) {
    this.#path = path;
    this.#aside = `${path}.previous`;
    rmSync(this.#aside, { force: true });
    if (existsSync(path)) renameSync(path, this.#aside);
    makeRecordFile(path);
  }

  keep(): void {
    this.#kept = true;
  }

  [Symbol.dispose](): void {
    if (this.#kept) rmSync(this.#aside, { force: true });
    else if (existsSync(this.#aside)) renameSync(this.#aside, this.#path);
  }
}

function refuseIfRunning(job: Job): void {
  const state = stateOf(job);
  if (state.kind !== "running") return;
  throw new CairnError("conflict", `Job "${job.name}" is still running (process ${state.run.rootPid})`, {
    data: { job: job.name, pid: state.run.rootPid },
    hint: `End it first: cairn checkpoint ${job.name} --stop saves and ends it; kill ${state.run.rootPid} ends it without saving`,
  });
}

/** Checks every byte. Errors: `damaged`, with the newest checkpoint that passes the same check. */
async function openVerified(job: Job, checkpoint: WholeCheckpoint): Promise<ImageReader> {
  try {
    return await tryOpen(checkpoint);
  } catch (error) {
    if (!(error instanceof CairnError) || error.code !== "damaged") throw error;
    const alternative = await newestGood(job, checkpoint.number);
    throw new CairnError("damaged", `Cannot restart job "${job.name}" from checkpoint ${checkpoint.number}: ${error.message}`, {
      data: { job: job.name, number: checkpoint.number, alternative },
      hint:
        alternative === null
          ? "No other checkpoint of the job is whole"
          : `Checkpoint ${alternative} is whole: cairn restart ${job.name}@${alternative}`,
      cause: error,
    });
  }
}

async function tryOpen(checkpoint: WholeCheckpoint): Promise<ImageReader> {
  const reader = ImageReader.open(checkpoint.imagePath);
  try {
    await reader.verifyData();
    return reader;
  } catch (error) {
    reader[Symbol.dispose]();
    throw error;
  }
}

async function newestGood(job: Job, damagedNumber: number): Promise<number | null> {
  for (const candidate of job.checkpoints().toReversed()) {
    if (candidate.kind !== "whole" || candidate.number === damagedNumber) continue;
    try {
      using _reader = await tryOpen(candidate);
      return candidate.number;
    } catch {
      // This one is not good either.
    }
  }
  return null;
}

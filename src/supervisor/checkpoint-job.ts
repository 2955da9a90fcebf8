/**
 * Takes one checkpoint of a running job, from the lock to the commit.
 *
 * Invariant: whatever fails, the job runs on, the lock is given up, and what was written is removed (by us, or after our
 * death by the next who takes the lock).
 */
import { statSync } from "node:fs";
import { hostname, release } from "node:os";
import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { systemClock } from "../base/clock.ts";
import { CairnError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import type { Pid } from "../base/ids.ts";
import { captureTree } from "../capture/mod.ts";
import type { CaptureSummary, TreeSelection } from "../capture/mod.ts";
import { ImageWriter } from "../image/mod.ts";
import type { Job, Manifest, WholeCheckpoint } from "../store/mod.ts";
import { recordHeld } from "./held-connections.ts";
import { stateOf } from "./job-state.ts";
import { lineOf } from "./process-identity.ts";

export type Trigger = Manifest["trigger"];

export interface CheckpointRequest {
  readonly job: Job;
  readonly trigger: Trigger;
  /** With the trigger `stop`: TCP connections that lead out of the job are held for its restart. */
  readonly holdConnections?: boolean;
  /** Gives up: the job goes on, nothing is committed. After the commit it has no effect. */
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

/**
 * Takes a checkpoint; one with the trigger `stop` ends the job once it is committed.
 * Precondition: this process holds the job's lock. Errors: `exited`, `interrupted`, and those of capture, image and store.
 */
export async function checkpointLocked(request: CheckpointRequest): Promise<WholeCheckpoint> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await attemptCheckpoint(request);
    } catch (error) {
      const passes = error instanceof CairnError && error.data["passes"] === true;
      if (attempt === MAX_ATTEMPTS || !(passes || isVanishing(error)) || stateOf(request.job).kind !== "running") throw error;
      // A connection that was not accepted yet, an answer that was not read: the program is about to.
      if (passes) await (request.clock ?? systemClock).sleep(attempt * PATIENCE_MS, request.signal);
    }
  }
}

/**
 * A shell's children come and go while the tree is looked at. A process of the job that ended under our eyes is no reason to go
 * without a checkpoint as long as the job itself lives.
 */
export const MAX_ATTEMPTS = 10;
/** After the first attempt; longer after each: some half a second in all. */
const PATIENCE_MS = 10;

export function isVanishing(error: unknown): boolean {
  if (error instanceof CairnError) return error.code === "exited";
  const { code, path } = error as NodeJS.ErrnoException;
  return (code === "ENOENT" || code === "ESRCH") && path?.startsWith("/proc/") === true;
}

async function attemptCheckpoint(request: CheckpointRequest): Promise<WholeCheckpoint> {
  const { job, trigger, signal } = request;
  const clock = request.clock ?? systemClock;
  const tree = treeOf(job);
  const takenAt = clock.now().toISOString();
  const startMs = clock.monotonicMs();

  await using pending = job.beginCheckpoint();
  await using writer = await ImageWriter.create(pending.imagePath);
  let committed: WholeCheckpoint | undefined;
  // The capture finds its writer closed at its next step, and undoes all that it has done to the job.
  const abort = (): void => void writer.abort().catch(() => undefined);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    if (signal?.aborted === true) throw interrupted(job);
    await captureTree({
      tree,
      writer,
      stop: trigger === "stop",
      holdConnections: request.holdConnections === true,
      commit: async (summary, held) => {
        if (signal?.aborted === true) throw interrupted(job);
        const { size: imageBytes } = statSync(pending.imagePath);
        const details = { ...measured(summary), takenAt, trigger, imageBytes, host: thisHost(), durationMs: clock.monotonicMs() - startMs };
        committed = await pending.commit(details);
        if (held !== null) recordHeld(job, committed.number, held);
      },
    });
  } catch (error) {
    if (signal?.aborted === true && committed === undefined) throw interrupted(job);
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
  assert(committed !== undefined, "a capture ended without a commit");
  return committed;
}

export function interrupted(job: Job): CairnError {
  return new CairnError("interrupted", `The checkpoint of job "${job.name}" was given up; the job runs on`);
}

function measured(summary: CaptureSummary): Omit<CaptureSummary, "warnings"> & { warnings: string[] } {
  const { pauseMs, processes, threads, mappings, descriptors, memoryBytes, warnings } = summary;
  return { pauseMs, processes, threads, mappings, descriptors, memoryBytes, warnings: [...warnings] };
}

function thisHost(): Manifest["host"] {
  return { kernelRelease: release(), hostName: hostname(), machine: "x86_64" };
}

function treeOf(job: Job): TreeSelection {
  const tree = selectionOf(job);
  const inside = tryInside(`job "${job.name}"`, tree.rootPid);
  if (inside !== null) throw inside;
  return tree;
}

/** Throws a CairnError (`exited`) when the job does not run. */
export function selectionOf(job: Job): TreeSelection {
  const state = stateOf(job);
  if (state.kind !== "running") throw notRunning(job);
  const { keeperPid, rootPid } = state.run;
  return state.kept ? { kind: "keeper", keeperPid, rootPid } : { kind: "process", rootPid };
}

/** Whoever takes the checkpoint cannot be stopped by it: the refusal, null when this process is no part of the job. */
export function tryInside(what: string, rootPid: Pid): CairnError | null {
  if (![...lineOf(asPid(process.pid))].includes(rootPid)) return null;
  return new CairnError("unsupported", `Cannot save ${what} from inside: this cairn is one of its processes`, {
    data: { pid: rootPid },
    hint: "Run the command in another terminal",
  });
}

export function notRunning(job: Job): CairnError {
  const newest = job.checkpoints().findLast((record) => record.kind === "whole");
  return new CairnError("exited", `Job "${job.name}" does not run`, {
    data: { job: job.name },
    hint:
      newest === undefined
        ? `It has no checkpoint. Start the program again with cairn run`
        : `Its last checkpoint is ${newest.number}. Go on from there with cairn restart ${job.name}`,
  });
}

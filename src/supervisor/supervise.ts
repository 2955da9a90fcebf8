/**
 * Stands by a running job until it ends: takes checkpoints by the clock and on request, and lets signals through.
 *
 * Invariants:
 * - at most one checkpoint is taken at a time, by whomever: the job's lock says so;
 * - nothing that goes wrong here ends the job;
 * - when the job has ended, a checkpoint that somebody asked for is still completed, one that the clock began is given up.
 */
import type { Clock } from "../base/clock.ts";
import { systemClock } from "../base/clock.ts";
import { CairnError } from "../base/errors.ts";
import type { Job, WholeCheckpoint } from "../store/mod.ts";
import type { Keeper } from "../tracee/mod.ts";
import { reportEnds, watchKeeper } from "../tracee/mod.ts";
import { checkpointLocked } from "./checkpoint-job.ts";
import type { ControlHandler } from "./control-socket.ts";
import { serveControl } from "./control-socket.ts";
import { checkpointBusy, checkpointEnded, startSchedule, wake } from "./interval-schedule.ts";
import { stateOf, stoppedAfter, tryNewest } from "./job-state.ts";
import { currentBootId, isAlive } from "./process-identity.ts";
import type { SignalRelay } from "./signal-relay.ts";

export interface Supervision {
  readonly job: Job;
  readonly keeper: Keeper;
  readonly relay: SignalRelay;
  /** The job has a process group of its own that is to have the terminal whenever ours does; not so if not given. */
  readonly borrowsTerminal?: boolean;
  /** Null: checkpoints on request only. */
  readonly everyMs: number | null;
  /** One line for the user, without a newline at its end. */
  readonly report: (line: string) => void;
  readonly clock?: Clock;
}

export interface JobEnd {
  /** Null when nobody saw the end: the keeper was killed. */
  readonly waitStatus: number | null;
  /** The checkpoint after which the job was ended, by `cairn checkpoint --stop`. */
  readonly stoppedAfter: number | null;
}

/** How often to look for what is rare: a job whose keeper was killed, a process that was killed while it stood frozen and took its time. */
const LOOK_MS = 2000;
/** How long a checkpoint on request waits for one that is under way. */
const REQUEST_PATIENCE_MS = 60_000;

export async function supervise(supervision: Supervision): Promise<JobEnd> {
  const ended = new AbortController();
  const { promise: end, resolve: endWith } = Promise.withResolvers<number | null>();
  const { job, keeper, relay } = supervision;
  relay.attach(keeper, supervision.borrowsTerminal === true);
  using _watch = watchKeeper(keeper, {
    onExit: endWith,
    onStop: (signal) => relay.jobStopped(signal),
    onContinue: () => undefined,
  });
  const run = job.run();
  const root = { pid: keeper.rootPid, startTime: run?.rootStartTime ?? 0, bootId: currentBootId() };
  const itsKeeper = { pid: keeper.keeperPid, startTime: run?.keeperStartTime ?? 0, bootId: currentBootId() };
  const looking = setInterval(() => {
    reportEnds();
    if (isAlive(root)) return;
    // On a busy machine the root may be a zombie for a while, until the keeper comes to write down how it ended.
    const isKept = isAlive(itsKeeper);
    const written = writtenEnd(job);
    if (written !== null || !isKept) endWith(written);
  }, LOOK_MS);
  const requests = new Set<Promise<unknown>>();
  const control = await tryServeControl(supervision, requests);
  const schedule = supervision.everyMs === null ? null : runSchedule(supervision, supervision.everyMs, ended.signal);
  try {
    const waitStatus = await end;
    ended.abort();
    await Promise.allSettled([schedule, ...requests]);
    return { waitStatus, stoppedAfter: stoppedAfter(job) };
  } finally {
    clearInterval(looking);
    await control?.close();
  }
}

function writtenEnd(job: Job): number | null {
  const state = stateOf(job);
  return state.kind === "ended" ? state.waitStatus : null;
}

/** A store on a file system without sockets costs the user requests over the socket, not the job. */
async function tryServeControl(supervision: Supervision, requests: Set<Promise<unknown>>): Promise<{ close(): Promise<void> } | null> {
  try {
    return await serveControl(supervision.job.controlPath, handlerFor(supervision, requests));
  } catch (error) {
    supervision.report(`This job takes no requests from cairn checkpoint: ${messageOf(error)}`);
    return null;
  }
}

function handlerFor({ job }: Supervision, requests: Set<Promise<unknown>>): ControlHandler {
  return async (request, hungUp) => {
    const answered = (async () => {
      using _lock = await job.lock(REQUEST_PATIENCE_MS);
      // Awaited here, so that the lock is held until it is done.
      return await checkpointLocked({
        job,
        trigger: request.stop ? "stop" : "request",
        holdConnections: request.holdConnections === true,
        signal: hungUp,
      });
    })();
    requests.add(answered);
    try {
      const { number } = await answered;
      return { version: 1, ok: true, number };
    } finally {
      requests.delete(answered);
    }
  };
}

async function runSchedule(supervision: Supervision, everyMs: number, ended: AbortSignal): Promise<void> {
  const { job } = supervision;
  const clock = supervision.clock ?? systemClock;
  let lastComplaint = "";
  let schedule = startSchedule(everyMs, clock.monotonicMs());
  while (!ended.aborted) {
    const step = wake(schedule, clock.monotonicMs(), newestAgeMs(job, clock.now()));
    schedule = step.schedule;
    if (step.action === "wait") {
      await clock.sleep(step.forMs, ended);
      continue;
    }
    try {
      const taken = await tryCheckpoint(job, ended);
      schedule = taken === null ? checkpointBusy(schedule, clock.monotonicMs()) : checkpointEnded(schedule, clock.monotonicMs());
      if (taken !== null) lastComplaint = "";
    } catch (error) {
      schedule = checkpointEnded(schedule, clock.monotonicMs());
      const complaint = messageOf(error);
      // What fails at every interval is said once, not every six seconds.
      if (!ended.aborted && !isEnd(error) && complaint !== lastComplaint)
        supervision.report(`No checkpoint was taken, the job runs on: ${complaint}`);
      lastComplaint = complaint;
    }
  }
}

/** Null when somebody else holds the lock. */
async function tryCheckpoint(job: Job, signal: AbortSignal): Promise<WholeCheckpoint | null> {
  using lock = job.tryLock();
  if (lock === null) return null;
  return await checkpointLocked({ job, trigger: "interval", signal });
}

/** Since the end of the newest checkpoint, by anyone; null when there is none or it can't be told. */
function newestAgeMs(job: Job, now: Date): number | null {
  const newest = tryNewest(job);
  return newest === null ? null : now.getTime() - (Date.parse(newest.manifest.takenAt) + newest.manifest.durationMs);
}

function isEnd(error: unknown): boolean {
  return error instanceof CairnError && (error.code === "exited" || error.code === "interrupted");
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error instanceof CairnError && error.hint !== undefined ? `${error.message}. ${error.hint}` : error.message;
}

/**
 * A checkpoint on request: by this process itself, or, where the system lets only the job's own supervisor trace it (Yama), by
 * asking that.
 */
import { CairnError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import { readStat, readStatus, readSystemFacts } from "../kernel/procfs/mod.ts";
import type { Job, WholeCheckpoint } from "../store/mod.ts";
import { checkpointLocked, interrupted, notRunning } from "./checkpoint-job.ts";
import type { CheckpointRequest } from "./checkpoint-job.ts";
import type { ControlRequest } from "./control-protocol.ts";
import { askSupervisor } from "./control-socket.ts";
import { stateOf } from "./job-state.ts";
import type { JobState } from "./job-state.ts";

const LOCK_PATIENCE_MS = 60_000;
const CAP_SYS_PTRACE = 19n;

/** Whether the job ends with the checkpoint, and what then becomes of TCP connections that lead out of it. */
export type AfterCheckpoint = "run" | "stop" | "stop-holding";

/** Errors: `exited` when the job does not run, `interrupted` when given up, `conflict`, `unsupported`, `permission`, `io`, ... */
export async function checkpointNow(
  job: Job,
  after: AfterCheckpoint,
  givenUp: AbortSignal,
  mayTrace = mayTraceOthers(),
): Promise<WholeCheckpoint> {
  const state = await stateOnceStarted(job, givenUp);
  if (state.kind !== "running") throw notRunning(job);
  if (state.supervised && !mayTrace) {
    const asked = await ask(job, after, givenUp);
    if (asked !== null) return asked;
  }
  try {
    return await takeHere(job, after, givenUp);
  } catch (error) {
    if (!state.supervised || !(error instanceof CairnError) || error.code !== "permission") throw error;
    const asked = await ask(job, after, givenUp);
    if (asked === null) throw error;
    return asked;
  }
}

/** A program may ask for its checkpoint, or tell somebody who does, before the `cairn run` that has just started it has written that down. */
async function stateOnceStarted(job: Job, givenUp: AbortSignal): Promise<JobState> {
  const state = stateOf(job);
  if (state.kind !== "never-ran") return state;
  const lock = await Promise.race([job.lock(LOCK_PATIENCE_MS), rejectOn(givenUp, job)]);
  lock[Symbol.dispose]();
  return stateOf(job);
}

async function takeHere(job: Job, after: AfterCheckpoint, givenUp: AbortSignal): Promise<WholeCheckpoint> {
  using _lock = await Promise.race([job.lock(LOCK_PATIENCE_MS), rejectOn(givenUp, job)]);
  // Awaited here, so that the lock is held until it is done.
  return await checkpointLocked({ job, ...triggerOf(after), signal: givenUp });
}

function triggerOf(after: AfterCheckpoint): Pick<CheckpointRequest, "trigger" | "holdConnections"> {
  return { trigger: after === "run" ? "request" : "stop", holdConnections: after === "stop-holding" };
}

function rejectOn(givenUp: AbortSignal, job: Job): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (givenUp.aborted) reject(interrupted(job));
    else givenUp.addEventListener("abort", () => reject(interrupted(job)), { once: true });
  });
}

/** Null when nobody listens. A supervisor that Ctrl-Z has stopped listens, and never answers. */
async function ask(job: Job, after: AfterCheckpoint, givenUp: AbortSignal): Promise<WholeCheckpoint | null> {
  const supervisorPid = job.run()?.supervisorPid;
  if (supervisorPid !== undefined && readStat(supervisorPid)?.state === "T") {
    throw new CairnError("conflict", `Cannot save job "${job.name}": only its own cairn may trace it here, and that is stopped`, {
      data: { job: job.name, supervisorPid },
      hint: `Continue it with fg or bg in its terminal, or kill -CONT ${supervisorPid}`,
    });
  }
  const response = await askSupervisor(job.controlPath, requestOf(after), givenUp).catch((error: unknown) => {
    throw givenUp.aborted ? interrupted(job) : error;
  });
  if (response === null) return null;
  if (response.ok) return job.checkpoint(response.number);
  throw new CairnError(response.code, response.message, response.hint === undefined ? {} : { hint: response.hint });
}

/** A supervisor of an older Cairn does not know the last field, and refuses what has it. */
function requestOf(after: AfterCheckpoint): ControlRequest {
  const request = { version: 1, request: "checkpoint", stop: after !== "run" } as const;
  return after === "stop-holding" ? { ...request, holdConnections: true } : request;
}

/** Yama's scope 1 lets a process trace its own descendants, and our caller's job is none of ours. */
export function mayTraceOthers(): boolean {
  const scope = readSystemFacts().yamaPtraceScope;
  if (scope === null || scope === 0) return true;
  const capabilities = readStatus(asPid(process.pid))?.capabilities.effective ?? 0n;
  return ((capabilities >> CAP_SYS_PTRACE) & 1n) === 1n;
}

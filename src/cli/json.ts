/**
 * The shapes that `--json` prints: docs/json.md describes them, json.test.ts holds the two together. Fields are only ever added.
 */
import { decodeWaitStatus, signalName } from "../kernel/signals.ts";
import type { CheckpointRecord, Job, WholeCheckpoint } from "../store/mod.ts";
import { stateOf, stoppedAfter } from "../supervisor/job-state.ts";
import type { JobState } from "../supervisor/job-state.ts";

export interface JobJson {
  readonly name: string;
  readonly state: "running" | "stopped" | "ended" | "never-ran";
  /** Of the job's first process, while it runs. */
  readonly pid: number | null;
  /** A cairn stands by it: takes checkpoints at intervals, if it was told to. */
  readonly supervised: boolean;
  /** How the newest run ended; both null while it runs, and where nobody saw the end. */
  readonly exitCode: number | null;
  readonly exitSignal: string | null;
  /** The checkpoint after which `cairn checkpoint --stop` ended it; null otherwise. */
  readonly stoppedAfter: number | null;
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly createdAt: string;
  readonly checkpoints: number;
  /** Of all checkpoints that are whole. */
  readonly imageBytes: number;
  readonly newest: { readonly number: number; readonly takenAt: string } | null;
  /** Why some of the above is unknown; null normally. */
  readonly problem: string | null;
}

export function jobJson(job: Job): JobJson {
  const { record } = job;
  const state = stateOf(job);
  const checkpoints = job.checkpoints();
  const whole = checkpoints.filter((checkpoint) => checkpoint.kind === "whole");
  const newest = whole.at(-1);
  return {
    name: record.name,
    state: state.kind === "running" && state.stopped ? "stopped" : state.kind,
    pid: state.kind === "running" ? state.run.rootPid : null,
    supervised: state.kind === "running" && state.supervised,
    ...endJson(state),
    stoppedAfter: state.kind === "ended" ? stoppedAfter(job) : null,
    argv: record.argv,
    cwd: record.cwd,
    createdAt: record.createdAt,
    checkpoints: checkpoints.length,
    imageBytes: whole.reduce((sum, { manifest }) => sum + manifest.imageBytes, 0),
    newest: newest === undefined ? null : { number: newest.number, takenAt: newest.manifest.takenAt },
    problem: record.problem ?? null,
  };
}

function endJson(state: JobState): { exitCode: number | null; exitSignal: string | null } {
  const outcome = state.kind === "ended" && state.waitStatus !== null ? decodeWaitStatus(state.waitStatus) : null;
  return {
    exitCode: outcome?.kind === "exited" ? outcome.code : null,
    exitSignal: outcome?.kind === "signaled" ? signalName(outcome.signal) : null,
  };
}

export interface CheckpointJson {
  readonly job: string;
  readonly number: number;
  /** Nothing is known that would keep it from being restarted here and now. */
  readonly restartable: boolean;
  /** What would; empty when it is restartable. */
  readonly problems: readonly string[];
  /** The checkpoint's folder. */
  readonly path: string;
  /** Null for a checkpoint whose manifest is damaged. */
  readonly details: WholeCheckpoint["manifest"] | null;
}

export function checkpointJson(job: Job, checkpoint: CheckpointRecord, problems: readonly string[]): CheckpointJson {
  return {
    job: job.name,
    number: checkpoint.number,
    restartable: problems.length === 0,
    problems,
    path: checkpoint.directory,
    details: checkpoint.kind === "whole" ? checkpoint.manifest : null,
  };
}

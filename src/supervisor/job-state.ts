/**
 * What became of a job's newest run: read from run.json, /proc and the keeper's records, with nobody's help, so that it is
 * told right after any crash of ours.
 */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { asPid } from "../base/ids.ts";
import type { Pid } from "../base/ids.ts";
import type { Name } from "../base/names.ts";
import { readStat } from "../kernel/procfs/mod.ts";
import type { Job, RunRecord, WholeCheckpoint } from "../store/mod.ts";
import { currentBootId, descendantsOf, identify, isAlive } from "./process-identity.ts";

export type JobState =
  | {
      readonly kind: "running";
      readonly run: RunRecord;
      /** Its root is stopped by job control. */
      readonly stopped: boolean;
      /** A `cairn` is there to take checkpoints by itself, and to be asked for them. */
      readonly supervised: boolean;
      /** A keeper is there to tell how it ends. */
      readonly kept: boolean;
    }
  /** `waitStatus` is null where nobody saw the end. */
  | { readonly kind: "ended"; readonly run: RunRecord; readonly waitStatus: number | null; readonly machineRestarted: boolean }
  | { readonly kind: "never-ran" };

export function stateOf(job: Job): JobState {
  const run = job.run() ?? findUnrecorded(job);
  if (run === null) return { kind: "never-ran" };
  const { bootId } = run;
  if (!isAlive({ pid: run.rootPid, startTime: run.rootStartTime, bootId })) {
    return { kind: "ended", run, waitStatus: endIn(job.recordPath), machineRestarted: bootId !== currentBootId() };
  }
  return {
    kind: "running",
    run,
    stopped: readStat(run.rootPid)?.state === "T",
    supervised: isAlive({ pid: run.supervisorPid, startTime: run.supervisorStartTime, bootId }),
    kept: isAlive({ pid: run.keeperPid, startTime: run.keeperStartTime, bootId }),
  };
}

/**
 * The run of a job whose `cairn` was killed right after it had started the program, and before it wrote down that it had: the keeper's
 * first record tells the program's pid, and the keeper itself is known by having that very file open.
 */
function findUnrecorded(job: Job): RunRecord | null {
  try {
    // Held by whoever is starting the program at this moment, and will write it down.
    using lock = job.tryLock();
    if (lock === null) return null;
    const rootPid = startedPid(job.recordPath);
    const stat = rootPid === null ? null : readStat(rootPid);
    if (rootPid === null || stat === null || !hasOpen(stat.parentPid, job.recordPath)) return null;
    const run = recordRun({ rootPid, keeperPid: stat.parentPid, supervisorPid: null }, new Date());
    job.writeRun(run);
    return run;
  } catch {
    return null; // A store that this user may only read: nobody but its owner goes on with the job.
  }
}

function startedPid(recordPath: string): Pid | null {
  const records = readFileSync(recordPath);
  return records.length >= RECORD_BYTES && records.readUInt32LE(0) === RECORD_STARTED ? asPid(records.readUInt32LE(4)) : null;
}

function hasOpen(pid: Pid, path: string): boolean {
  const wanted = statSync(path, { bigint: true });
  return readdirSync(`/proc/${pid}/fd`).some((fd) => {
    const open = statSync(`/proc/${pid}/fd/${fd}`, { bigint: true, throwIfNoEntry: false });
    return open?.ino === wanted.ino && open.dev === wanted.dev;
  });
}

/** What a job that has ended has left running: its keeper takes in the orphans, and stays as long as there are any. */
export function leftOvers(job: Job): { readonly pid: Pid; readonly comm: Name }[] {
  const run = job.run();
  if (run === null || !isAlive({ pid: run.keeperPid, startTime: run.keeperStartTime, bootId: run.bootId })) return [];
  return descendantsOf(run.keeperPid).flatMap((pid) => {
    const stat = readStat(pid);
    return stat === null || stat.state === "Z" || stat.state === "X" ? [] : [{ pid, comm: stat.comm }];
  });
}

/**
 * The checkpoint after which `cairn checkpoint --stop` ended the newest run; null when that is not how it ended.
 * A store that cannot be read for a while (a network file system) leaves it open.
 */
export function stoppedAfter(job: Job): number | null {
  const newest = tryNewest(job);
  const startedAt = job.run()?.startedAt;
  if (newest === null || startedAt === undefined || newest.manifest.trigger !== "stop") return null;
  return Date.parse(newest.manifest.takenAt) >= Date.parse(startedAt) ? newest.number : null;
}

/** Null when there is none, it is damaged, or it can't be read now: for those who must go on all the same. */
export function tryNewest(job: Job): WholeCheckpoint | null {
  try {
    const newest = job.checkpoints().at(-1);
    return newest?.kind === "whole" ? newest : null;
  } catch {
    return null;
  }
}

/** A process that is nobody's: for jobs that Cairn did not start. */
const NOBODY = { pid: 0 as Pid, startTime: 0 };

/** The record of a run that begins now. A root that has ended already gets a start time that no process has. */
export function recordRun(
  processes: { readonly rootPid: Pid; readonly keeperPid: Pid | null; readonly supervisorPid: Pid | null },
  now: Date,
): RunRecord {
  const root = identify(processes.rootPid) ?? { pid: processes.rootPid, startTime: 0 };
  const keeper = (processes.keeperPid === null ? null : identify(processes.keeperPid)) ?? NOBODY;
  const supervisor = (processes.supervisorPid === null ? null : identify(processes.supervisorPid)) ?? NOBODY;
  return {
    keeperPid: keeper.pid,
    keeperStartTime: keeper.startTime,
    rootPid: root.pid,
    rootStartTime: root.startTime,
    supervisorPid: supervisor.pid,
    supervisorStartTime: supervisor.startTime,
    bootId: currentBootId(),
    startedAt: now.toISOString(),
  };
}

/** The run of a process that Cairn did not start. */
export function isAttached(run: RunRecord): boolean {
  return run.keeperPid === NOBODY.pid;
}

const RECORD_BYTES = 16;
const RECORD_STARTED = 1;
const RECORD_EXITED = 2;

/**
 * The end that the keeper wrote down: records of u32 kind, pid, wait status, 0. It tells of the root alone, by the number that the job has for
 * it, which in a pid namespace is not ours; and the file is made anew for each run.
 */
function endIn(recordPath: string): number | null {
  let records: Buffer;
  try {
    records = readFileSync(recordPath);
  } catch {
    return null;
  }
  const whole = records.length - (records.length % RECORD_BYTES);
  for (let at = whole - RECORD_BYTES; at >= 0; at -= RECORD_BYTES) {
    if (records.readUInt32LE(at) === RECORD_EXITED) return records.readUInt32LE(at + 8);
  }
  return null;
}

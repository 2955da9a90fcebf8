/** Starts a program as a job of its own name under a keeper. */
import { closeSync, fchmodSync, openSync, rmSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import type { Job, Store } from "../store/mod.ts";
import { launchUnderKeeper } from "../tracee/mod.ts";
import type { Keeper, LaunchRequest } from "../tracee/mod.ts";
import { recordRun, stateOf } from "./job-state.ts";
import type { ShellInheritance } from "./user-shell.ts";

export interface NewRun {
  readonly store: Store;
  /** Null: a fresh one from the command. */
  readonly name: string | null;
  /** argv[0] is the command as the user wrote it. */
  readonly argv: readonly string[];
  readonly cwd: string;
}

/** Errors: `conflict` when the name is taken, `usage` when it can't be one, `io`. */
export function createJobForRun({ store, name, argv, cwd }: NewRun): Job {
  if (name === null) return store.createJob({ name: store.freshName(argv[0] ?? "job"), argv, cwd });
  const existing = store.tryJob(name);
  if (existing !== null) makeRoomFor(existing);
  return store.createJob({ name, argv, cwd });
}

/** A job of the same name that has ended without a single checkpoint leaves nothing to be lost. */
function makeRoomFor(job: Job): void {
  const checkpoints = job.checkpoints().length;
  if (stateOf(job).kind === "running") {
    throw new CairnError("conflict", `Job "${job.name}" is running`, { data: { job: job.name }, hint: "Choose another name with --name" });
  }
  if (checkpoints > 0) {
    throw new CairnError(
      "conflict",
      `There is a job "${job.name}" already, with ${checkpoints === 1 ? "a checkpoint" : `${checkpoints} checkpoints`}`,
      {
        data: { job: job.name, checkpoints },
        hint: `Go on from its newest with cairn restart ${job.name}, remove it with cairn rm ${job.name}, or choose another --name`,
      },
    );
  }
  using lock = job.tryLock();
  if (lock !== null) job.removeAll();
}

export interface Launch {
  readonly job: Job;
  /** Absolute. */
  readonly path: string;
  /** As bytes: what names a file need not be text. */
  readonly argv: readonly Uint8Array[];
  readonly inheritance: ShellInheritance;
  readonly descriptors: readonly number[];
}

const ENOEXEC = 8;

/** Errors: those of `launchUnderKeeper`; then nothing runs. */
export async function launchJob(launch: Launch): Promise<Keeper> {
  const { job } = launch;
  // Held until run.json stands: nobody removes the job, or takes it for one that has ended, in between.
  using _lock = await job.lock(10_000);
  makeRecordFile(job.recordPath);
  const keeper = launchAsShell(requestOf(launch));
  job.writeRun(recordRun({ ...keeper, supervisorPid: asPid(process.pid) }, new Date()));
  return keeper;
}

/** Empty, and 0600 whatever the umask: the keeper only appends. */
export function makeRecordFile(path: string): void {
  rmSync(path, { force: true });
  const fd = openSync(path, "wx", 0o600);
  try {
    fchmodSync(fd, 0o600);
  } finally {
    closeSync(fd);
  }
}

function requestOf({ job, path, argv, inheritance, descriptors }: Launch): LaunchRequest {
  const { environment, ignoredSignals, openFilesSoftLimit } = inheritance;
  return {
    path,
    argv,
    environment,
    ignoredSignals,
    descriptors,
    recordPath: job.recordPath,
    detached: false,
    ...(openFilesSoftLimit === undefined ? {} : { openFilesSoftLimit }),
  };
}

/** A script without an interpreter line is for the shell, POSIX.1 2.9.1.1. */
function launchAsShell(request: LaunchRequest): Keeper {
  try {
    return launchUnderKeeper(request);
  } catch (error) {
    if (!(error instanceof CairnError) || error.data["errno"] !== ENOEXEC) throw error;
    return launchUnderKeeper({
      ...request,
      path: "/bin/sh",
      argv: [Buffer.from("sh"), Buffer.from(request.path), ...request.argv.slice(1)],
    });
  }
}

/**
 * Tidies up after a job that ended: one that was given its name by us and never had a checkpoint is removed.
 * Anything that goes wrong is left for `cairn rm`: the job's end must not be hidden by it.
 */
export function tidyAfter(job: Job, nameChosenByUser: boolean): void {
  if (nameChosenByUser) return;
  try {
    using lock = job.tryLock();
    if (lock !== null && job.checkpoints().length === 0) job.removeAll();
  } catch {
    // Nothing of the user's is lost.
  }
}

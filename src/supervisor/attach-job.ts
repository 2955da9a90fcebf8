/** Finds or makes the job for a process that Cairn did not start. */
import type { Pid } from "../base/ids.ts";
import { CairnError } from "../base/errors.ts";
import { nameToText } from "../base/names.ts";
import { readComm, readCommandLine, readProcessLink, readStat, splitAtNul } from "../kernel/procfs/mod.ts";
import type { Job, Store } from "../store/mod.ts";
import { recordRun, stateOf } from "./job-state.ts";
import { identify, lineOf } from "./process-identity.ts";

export interface JobOfProcess {
  readonly job: Job;
  /** It was made for the process just now. */
  readonly created: boolean;
}

/**
 * The job that a pid belongs to: the running job whose root, keeper or supervisor it is or descends from; else one that is made for it, and
 * found again by pid and start time. Errors: `not-found` when there is no such process, `unsupported` for what can be nobody's job.
 */
export function jobOfProcess(store: Store, pid: Pid): JobOfProcess {
  const known = knownJobOf(store, pid);
  if (known !== null) return { job: known, created: false };
  const argv = splitAtNul(readCommandLine(pid) ?? Buffer.alloc(0)).map((word) => word.toString());
  const cwd = readProcessLink(pid, "cwd");
  const job = store.createJob({
    name: store.freshName(`${nameToText(readComm(pid) ?? "process")}-${pid}`),
    argv,
    cwd: cwd === null ? "/" : nameToText(cwd.name),
  });
  job.writeRun(recordRun({ rootPid: pid, keeperPid: null, supervisorPid: null }, new Date()));
  return { job, created: true };
}

/** The same without making one: null for a process that could become a job. */
export function knownJobOf(store: Store, pid: Pid): Job | null {
  if (readStat(pid) === null || identify(pid) === null) {
    throw new CairnError("not-found", `There is no process ${pid}`, { data: { pid }, hint: "List processes with ps" });
  }
  const known = runningJobOf(store, pid);
  if (known !== null) return known;
  if (pid === 1 || pid === process.pid || readExecutable(pid) === null) {
    const what = pid === 1 ? "it is the init process" : pid === process.pid ? "it is this cairn itself" : "it is a thread of the kernel";
    throw new CairnError("unsupported", `Cannot save process ${pid}: ${what}`, { data: { pid } });
  }
  return null;
}

function readExecutable(pid: Pid): ReturnType<typeof readProcessLink> {
  try {
    return readProcessLink(pid, "exe");
  } catch (error) {
    if (!(error instanceof CairnError) || error.code !== "permission") throw error;
    throw new CairnError("permission", `Cannot save process ${pid}: the system does not let this user look into it`, {
      data: { pid },
      hint: "Run as the user who owns the process, or as root; `cairn doctor` says what restricts tracing here",
      cause: error,
    });
  }
}

function runningJobOf(store: Store, pid: Pid): Job | null {
  const owners = new Map<Pid, Job>();
  // Of a process that was attached to, only itself: its children may be asked for one by one.
  for (const { name } of store.jobs()) {
    const job = store.tryJob(name);
    const state = job === null ? null : stateOf(job);
    if (job === null || state?.kind !== "running") continue;
    if (state.kept || state.run.rootPid === pid) owners.set(state.run.rootPid, job);
    if (state.kept) owners.set(state.run.keeperPid, job);
    if (state.supervised) owners.set(state.run.supervisorPid, job);
  }
  for (const ancestor of lineOf(pid)) {
    const job = owners.get(ancestor);
    if (job !== undefined) return job;
  }
  return null;
}

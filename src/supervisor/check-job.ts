/** Whether a job could be saved now, and what a restart would not bring back as it is: found without touching it. */
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Pid } from "../base/ids.ts";
import { examineTree } from "../capture/mod.ts";
import type { Examination, TreeSelection } from "../capture/mod.ts";
import { ProcessGone } from "../kernel/remote-memory.ts";
import { planTree } from "../restore/tree-plan.ts";
import type { Job, Store } from "../store/mod.ts";
import { knownJobOf } from "./attach-job.ts";
import { MAX_ATTEMPTS, isVanishing, selectionOf, tryInside } from "./checkpoint-job.ts";
import { mayTraceOthers } from "./checkpoint-now.ts";
import { stateOf } from "./job-state.ts";

export interface Checked extends Omit<Examination, "members" | "losses"> {
  /** Null for a process that is no job yet. */
  readonly job: Job | null;
  readonly rootPid: Pid;
  readonly losses: readonly { readonly pid: Pid; readonly fd: number | null; readonly what: string }[];
}

/** Errors: `exited` when it does not run. */
export function checkJob(job: Job): Checked {
  const state = stateOf(job);
  // A supervisor traces for whoever asks it.
  return check(job, selectionOf(job), state.kind === "running" && state.supervised);
}

/** For a process, as `cairn checkpoint PID` takes it: the job that it belongs to, else the process with its descendants. */
export function checkProcess(store: Store, pid: Pid): Checked {
  const job = knownJobOf(store, pid);
  return job === null ? check(null, { kind: "process", rootPid: pid }, false) : checkJob(job);
}

function check(job: Job | null, tree: TreeSelection, isSupervised: boolean): Checked {
  const { rootPid } = tree;
  const { members, obstacles, losses, ...counts } = examineAgain(tree);
  const inside = tryInside(job === null ? `process ${rootPid}` : `job "${job.name}"`, rootPid);
  const forbidden = isSupervised || mayTraceOthers() ? null : notToBeTraced(rootPid);
  return {
    job,
    rootPid,
    ...counts,
    obstacles: [...(inside === null ? [] : [inside]), ...(forbidden === null ? [] : [forbidden]), ...obstacles],
    losses: [...lossOfRelations(members), ...losses],
  };
}

/** A shell's children come and go: as for a checkpoint, one that ends under our eyes is no reason to say nothing. */
function examineAgain(tree: TreeSelection): Examination {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return examineTree(tree);
    } catch (error) {
      if (attempt === MAX_ATTEMPTS || !isChange(error)) throw error;
    }
  }
}

/** A process or descriptor went while it was looked at. */
function isChange(error: unknown): boolean {
  if (error instanceof SyscallError) return error.errnoName === "ESRCH" || error.errnoName === "EBADF";
  return error instanceof ProcessGone || isVanishing(error);
}

function notToBeTraced(pid: Pid): CairnError {
  return new CairnError("permission", `Cannot save process ${pid}: this system lets a user trace only what he started himself`, {
    data: { pid, kind: "ptrace scope" },
    hint: "Run it with cairn run, run cairn as root, or allow it: sudo sysctl kernel.yama.ptrace_scope=0",
  });
}

/** It could be saved, but not be made again. */
function lossOfRelations(members: Examination["members"]): Checked["losses"] {
  if (members.length === 0) return [];
  try {
    planTree(members);
    return [];
  } catch (error) {
    if (!(error instanceof CairnError)) throw error;
    const pid = Number(error.data["pid"]) as Pid;
    return [{ pid, fd: null, what: `a restart would be refused: ${error.message.replace(/^Cannot restart process \d+: /, "")}` }];
  }
}

/**
 * Where the restarted job gets its pids: of this system's own numbering, or in a pid namespace, where all are free.
 *
 * Taken is also what no process has as its pid any more: a group or session keeps the number of a leader that has ended.
 */
import { existsSync, readFileSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import type { Pid } from "../base/ids.ts";
import { nameToText } from "../base/names.ts";
import type { ImageMetadata } from "../image/mod.ts";
import { listProcesses, readCommandLine, readStat, readStatus, splitAtNul } from "../kernel/procfs/mod.ts";
import type { RestoreRequest } from "./mod.ts";
import { mayChoosePids } from "./namespace.ts";
import type { Numbers } from "./numbers.ts";

/** How many taken pids a message names; the rest is counted. */
const MAX_NAMED = 3;
const LONGEST_COMMAND = 60;

export interface PidChoice {
  readonly useNamespace: boolean;
  readonly problems: readonly CairnError[];
  readonly notes: readonly string[];
}

export function choosePids(metadata: ImageMetadata, rule: RestoreRequest["pids"]): PidChoice {
  if (rule === "namespace") return { useNamespace: true, problems: [], notes: [] };
  if (rule === "new") return { useNamespace: false, problems: [], notes: [] };
  const mayChoose = mayChoosePids();
  // To whom the numbers belong matters only to whoever could have them.
  if (!mayChoose && rule === "auto") return { useNamespace: true, problems: [], notes: [] };
  const problems = mayChoose ? [] : [notAllowed()];
  const taken = takenPids(metadata);
  if (taken.length === 0) return { useNamespace: false, problems, notes: [] };
  if (rule === "auto") return { useNamespace: true, problems, notes: [noteOf(taken)] };
  return { useNamespace: false, problems: [...problems, pidsTaken(taken)], notes: [] };
}

interface Taken {
  readonly pid: number;
  readonly by: string;
}

/** Also for a number that was taken between the look and the making of the process. */
export function noteOf(taken: readonly Taken[]): string {
  const many = taken.length > 1;
  return `${sentenceOf(taken)}; the job gets a pid namespace of its own, in which it has ${many ? "its pids" : "that pid"}`;
}

export function pidsTaken(taken: readonly Taken[], cause?: unknown): CairnError {
  return new CairnError("conflict", `Cannot restart: ${lowerFirst(sentenceOf(taken))}`, {
    data: { pid: taken[0]?.pid, pids: taken.map(({ pid }) => pid) },
    hint: `End ${taken.length > 1 ? "what has them" : "what has it"}, or restart in a pid namespace: --pids namespace`,
    cause,
  });
}

function sentenceOf(taken: readonly Taken[]): string {
  const named = taken.slice(0, MAX_NAMED).map(({ pid, by }) => `${pid} ${by}`);
  const more = taken.length - named.length;
  const list = `${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
  return taken.length > 1 ? `Pids of the job are taken: ${list}` : `Pid ${list}`;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function notAllowed(): CairnError {
  return new CairnError("permission", "Cannot restart: choosing pids of this system needs CAP_CHECKPOINT_RESTORE", {
    hint: "Restart as root, or in a pid namespace: --pids namespace",
  });
}

function takenPids({ processes }: ImageMetadata): Taken[] {
  const own = processes.flatMap((one) => [
    one.pid,
    one.processGroup,
    one.session,
    ...(one.alive?.threads.map((thread) => thread.tid) ?? []),
  ]);
  const limit = Number(readFileSync("/proc/sys/kernel/pid_max", "latin1"));
  const leaderless = groupsWithoutLeader();
  return [...new Set(own)]
    .filter((pid) => pid !== 0)
    .flatMap((pid) => {
      // A job that ran in a namespace may have numbers that this machine's own numbering does not reach.
      if (pid >= limit) return [{ pid, by: `is beyond this machine's limit of ${limit}` }];
      if (existsSync(`/proc/${pid}`)) return [{ pid, by: `is taken by ${describeProcess(asPid(pid))}` }];
      const by = leaderless.get(pid);
      return by === undefined ? [] : [{ pid, by: `is taken by the process group or session of ${describeProcess(by)}` }];
    });
}

/** Who has a number that was free a moment ago. */
export function takenBy(pid: number): Taken {
  if (existsSync(`/proc/${pid}`)) return { pid, by: `is taken by ${describeProcess(asPid(pid))}` };
  const by = groupsWithoutLeader().get(pid);
  return { pid, by: by === undefined ? "is taken" : `is taken by the process group or session of ${describeProcess(by)}` };
}

/** Numbers of process groups and sessions, each with a member. */
function groupsWithoutLeader(): Map<number, Pid> {
  const members = new Map<number, Pid>();
  for (const pid of listProcesses()) {
    const stat = readStat(pid);
    if (stat === null) continue;
    members.set(stat.processGroup, pid);
    members.set(stat.session, pid);
  }
  return members;
}

/** `process 4242 (sleep: sleep 1000)`, for a thread that of its process; names may not be ours to see. */
function describeProcess(pid: Pid): string {
  const status = readStatus(pid);
  if (status === null) return "a process that has just ended";
  const words = splitAtNul(readCommandLine(status.tgid) ?? Buffer.alloc(0)).map((word) => nameToText(word.toString()));
  const command = words.join(" ");
  const short = command.length > LONGEST_COMMAND ? `${command.slice(0, LONGEST_COMMAND)}…` : command;
  const name = nameToText(status.name);
  const what = status.tgid === pid ? "process" : `thread ${pid} of process`;
  return `${what} ${status.tgid} (${short === "" ? name : `${name}: ${short}`})`;
}

/** With --new-pids: what has become of the numbers, and what of the job may not bear it. */
export function describeNewPids({ processes }: ImageMetadata, numbers: Numbers, namesExecutable: boolean): string[] {
  const pids = processes.map(({ pid }) => pid);
  const renumbered = `The job has new pids: process ${numbers.describe(pids)}`;
  const breaks =
    pids.length > 1
      ? "A program that remembers the pid of another (a shell its background jobs, Python's subprocess its children, a daemon in a pid file) waits in vain or signals somebody else's process"
      : "A program that remembers its own pid or its threads' numbers (in a pid file, a lock with an owner that is held just now) is mistaken";
  const unnamed = "This user may not set /proc/PID/exe: a program that looks for itself or its own files by way of that finds nothing";
  return [renumbered, `${breaks}; with --pids namespace it keeps them`, ...(namesExecutable ? [] : [unnamed])];
}

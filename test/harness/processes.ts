/**
 * What /proc says about the processes that a test started. They are found by an environment variable, `CAIRN_TEST_RUN`,
 * that every one inherits, and by descent from one that has it: a program may clear its environment.
 */
import { readdirSync, readFileSync } from "node:fs";

export const TAG_VARIABLE = "CAIRN_TEST_RUN";

export interface ProcessFacts {
  readonly pid: number;
  readonly parentPid: number;
  readonly comm: string;
  /** As in /proc/PID/stat: R, S, D, T (stopped), t (traced), Z. */
  readonly state: string;
  readonly tracerPid: number;
  readonly threads: number;
  /** How it ended, as wait(2) tells it; 0 while it lives, and where this user may not see it. */
  readonly waitStatus: number;
}

/** A zombie whose other threads live is none: its first thread has ended, and the process goes on. */
export function isOver({ state, threads }: ProcessFacts): boolean {
  return state === "Z" && threads <= 1;
}

function tryRead(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
}

export function processFacts(pid: number): ProcessFacts | undefined {
  const stat = tryRead(`/proc/${pid}/stat`);
  return stat === undefined ? undefined : factsOf(pid, fieldsOf(stat));
}

/** From the state on; a name may have spaces and parentheses in it. */
function fieldsOf(stat: string): { readonly comm: string; readonly fields: readonly string[] } {
  const nameEnd = stat.lastIndexOf(")");
  return {
    comm: stat.slice(stat.indexOf("(") + 1, nameEnd),
    fields: stat
      .slice(nameEnd + 2)
      .trimEnd()
      .split(" "),
  };
}

function factsOf(pid: number, { comm, fields }: ReturnType<typeof fieldsOf>): ProcessFacts | undefined {
  const status = tryRead(`/proc/${pid}/status`);
  if (status === undefined) return undefined;
  return {
    pid,
    parentPid: Number(fields[1]),
    comm,
    state: fields[0] ?? "?",
    threads: Number(fields[17]),
    waitStatus: Number(fields[49] ?? 0),
    tracerPid: Number(/^TracerPid:\s*(\d+)/m.exec(status)?.[1] ?? "0"),
  };
}

const startTimeOf = (fields: readonly string[]): number => Number(fields[19]);
const ownStartTime = startTimeOf(fieldsOf(tryRead("/proc/self/stat") ?? "").fields);

/** Processes with the tag in their environment and all their descendants; zombies too. This process is never among them. */
export function taggedProcesses(tag: string, variable: string = TAG_VARIABLE): ProcessFacts[] {
  // Tests look many times a second: of what is older than this process, and so none of its own, no more is read than that.
  const young = new Map<number, ReturnType<typeof fieldsOf>>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const stat = tryRead(`/proc/${name}/stat`);
    if (stat === undefined) continue;
    const parsed = fieldsOf(stat);
    if (startTimeOf(parsed.fields) >= ownStartTime) young.set(Number(name), parsed);
  }
  const found = new Set<number>();
  for (const pid of young.keys()) {
    if (tryRead(`/proc/${pid}/environ`)?.split("\0").includes(`${variable}=${tag}`) === true) found.add(pid);
  }
  for (let grown = true; grown;) {
    grown = false;
    for (const [pid, { fields }] of young) {
      if (!found.has(Number(fields[1])) || found.has(pid)) continue;
      found.add(pid);
      grown = true;
    }
  }
  return [...found].flatMap((pid) => {
    const parsed = young.get(pid);
    return parsed === undefined ? [] : (factsOf(pid, parsed) ?? []);
  });
}

export function isAlive(pid: number): boolean {
  const facts = processFacts(pid);
  return facts !== undefined && !isOver(facts);
}

export function killIfAlive(pid: number, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

/** Threads that are stopped or traced: none may be left behind by a checkpoint that failed. */
export function stoppedOrTraced(processes: readonly ProcessFacts[]): string[] {
  return processes.flatMap(({ pid }) => {
    let threads: string[];
    try {
      threads = readdirSync(`/proc/${pid}/task`);
    } catch {
      return [];
    }
    return threads.flatMap((tid) => {
      const status = tryRead(`/proc/${pid}/task/${tid}/status`);
      if (status === undefined) return [];
      const state = /^State:\s*(\S)/m.exec(status)?.[1] ?? "?";
      const tracer = Number(/^TracerPid:\s*(\d+)/m.exec(status)?.[1] ?? "0");
      return state === "T" || state === "t" || tracer !== 0 ? [`thread ${tid} of ${pid}: state ${state}, traced by ${tracer}`] : [];
    });
  });
}

/** Pids start again from the lowest, so that a child's may be lower than its parent's. */
export function parentsFirst(processes: readonly ProcessFacts[]): ProcessFacts[] {
  const byPid = new Map(processes.map((one) => [one.pid, one]));
  const depthOf = (one: ProcessFacts): number => {
    let depth = 0;
    for (let parent = byPid.get(one.parentPid); parent !== undefined && depth < processes.length; depth++)
      parent = byPid.get(parent.parentPid);
    return depth;
  };
  return processes
    .map((one) => ({ one, depth: depthOf(one) }))
    .sort((a, b) => a.depth - b.depth)
    .map(({ one }) => one);
}

/** Each thread with what it waits in and which signals it has blocked and pending: for a job that stands still without being stopped. */
export function describeThreads(processes: readonly ProcessFacts[]): string {
  return processes
    .flatMap(({ pid }) => {
      let tids: string[];
      try {
        tids = readdirSync(`/proc/${pid}/task`);
      } catch {
        return [];
      }
      return tids.map((tid) => {
        const status = tryRead(`/proc/${pid}/task/${tid}/status`) ?? "";
        const told = status.split("\n").filter((line) => /^(State|SigPnd|ShdPnd|SigBlk):/.test(line));
        return `thread ${tid} of ${pid}: ${told.join(", ").replaceAll("\t", " ")}, in ${tryRead(`/proc/${pid}/task/${tid}/syscall`)?.trim() ?? "?"}`;
      });
    })
    .join("\n");
}

export function describeProcesses(processes: readonly ProcessFacts[]): string {
  return processes
    .map(
      ({ pid, parentPid, comm, state, tracerPid, waitStatus }) =>
        `${pid} (${comm}) parent ${parentPid} state ${state} tracer ${tracerPid}${state === "Z" ? ` wait status ${waitStatus}` : ""}`,
    )
    .join("\n");
}

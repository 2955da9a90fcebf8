/**
 * What the system shows of a job, in lines: of each process its place in the tree, credentials, signals, limits, memory map, descriptors,
 * timers and threads. Two states of the same job are the same when the lines are; pids are those that the job sees.
 *
 * Left out is what is never the same twice (processor time, addresses in the kernel, remaining times, inode numbers of what has no name),
 * and what the system changes by itself (resident pages, the exact state of a thread that runs).
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createHash } from "node:crypto";

/** Of /proc/PID/status and of each thread's. */
const STATUS =
  /^(Umask|Uid|Gid|Groups|SigPnd|ShdPnd|SigBlk|SigIgn|SigCgt|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp|Cpus_allowed|Mems_allowed|THP_enabled|x86_Thread_features):/;
/** Fields of /proc/PID/stat, counted as in proc(5): priority, nice, exit signal, real-time priority, policy, and where things lie. */
const STAT_FIELDS = [18, 19, 26, 27, 28, 38, 40, 41, 45, 46, 47, 48, 49, 50, 51] as const;
const THREAD_STAT_FIELDS = [18, 19, 40, 41] as const;
/** Files that are the same as a whole. */
const WHOLE = ["limits", "personality", "oom_score_adj", "coredump_filter", "cgroup"] as const;
/** Shown to root alone. */
const WHOLE_FOR_ROOT = process.getuid?.() === 0 ? (["timerslack_ns"] as const) : [];
const HASHED = ["cmdline", "environ", "auxv"] as const;
/** Of a descriptor's fdinfo: inodes and mounts are the system's business, and times run. */
const UNSTEADY_INFO = /^(Pid|mnt_id|ino|it_value|it_interval|ticks|eventfd-id|SqThread|SqThreadCpu|SqTotalTime|SqWorkTime|sigmask-ino)\b/;

function read(path: string): string {
  return readFileSync(path, "latin1");
}

/** Gives the lines; null when a process went away meanwhile. */
export function visibleState(rootPid: number): string[] | null {
  try {
    return stateOf(rootPid);
  } catch (error) {
    if (error instanceof Error && "code" in error && ["ENOENT", "ESRCH", "EACCES", "EPERM"].includes(String(error.code))) return null;
    throw error;
  }
}

function stateOf(rootPid: number): string[] {
  const below = tree(rootPid);
  const jobPid = new Map([...below.keys()].map((pid) => [pid, own(read(`/proc/${pid}/status`), "NSpid")]));
  const names = new Names();
  const lines: string[] = [];
  for (const [pid, parent] of [...below].sort((a, b) => (jobPid.get(a[0]) ?? 0) - (jobPid.get(b[0]) ?? 0))) {
    const number = jobPid.get(pid) ?? 0;
    const say = (line: string): void => void lines.push(`${number}: ${line}`);
    const status = read(`/proc/${pid}/status`);
    const stat = fieldsOf(read(`/proc/${pid}/stat`));
    const state = stat[2] ?? "?";
    const isZombie = state === "Z";
    say(`parent ${pid === rootPid ? "outside" : String(jobPid.get(parent))}, state ${"TZ".includes(state) ? state : "alive"}`);
    say(`group ${inTree(own(status, "NSpgid"), jobPid)}, session ${inTree(own(status, "NSsid"), jobPid)}`);
    if (isZombie) continue;
    for (const line of status.split("\n").filter((one) => STATUS.test(one))) say(line);
    say(`stat ${STAT_FIELDS.map((at) => stat[at - 1]).join(" ")}`);
    for (const file of [...WHOLE, ...WHOLE_FOR_ROOT])
      for (const line of read(`/proc/${pid}/${file}`).trimEnd().split("\n")) say(`${file} ${line}`);
    for (const file of HASHED)
      say(
        `${file} ${createHash("sha256")
          .update(readFileSync(`/proc/${pid}/${file}`))
          .digest("hex")}`,
      );
    for (const link of ["cwd", "root", "exe"]) say(`${link} ${readlinkSync(`/proc/${pid}/${link}`)}`);
    for (const line of maps(pid, names)) say(line);
    for (const line of descriptors(pid, names, jobPid)) say(line);
    for (const line of read(`/proc/${pid}/timers`).trimEnd().split("\n")) say(`timer ${line.replace(/\b[pt]id\.\d+$/, "")}`);
    for (const line of threads(pid)) say(line);
  }
  return lines;
}

function fieldsOf(stat: string): string[] {
  const end = stat.lastIndexOf(")");
  return [
    stat.slice(0, stat.indexOf(" ")),
    stat.slice(stat.indexOf("("), end + 1),
    ...stat
      .slice(end + 2)
      .trimEnd()
      .split(" "),
  ];
}

/** The innermost of the numbers that a status line has. */
function own(status: string, field: string): number {
  return Number(new RegExp(`^${field}:.*?(\\d+)$`, "m").exec(status)?.[1] ?? 0);
}

/** Groups and sessions from outside the tree are those of whoever started or restarted it. */
function inTree(number: number, jobPid: ReadonlyMap<number, number>): string {
  return [...jobPid.values()].includes(number) ? String(number) : "outside";
}

/** Host pids with their parents'. */
function tree(rootPid: number): Map<number, number> {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      parents.set(Number(name), Number(fieldsOf(read(`/proc/${name}/stat`))[3]));
    } catch {
      // It has just ended.
    }
  }
  const found = new Map([[rootPid, parents.get(rootPid) ?? 0]]);
  for (let grown = true; grown;) {
    grown = false;
    for (const [pid, parent] of parents) {
      if (found.has(pid) || !found.has(parent)) continue;
      found.set(pid, parent);
      grown = true;
    }
  }
  return found;
}

/** Things without a name have numbers that tell only which are the same. */
class Names {
  readonly #known = new Map<string, string>();

  of(kind: string, number: string): string {
    const key = `${kind} ${number}`;
    const name = this.#known.get(key) ?? `${kind}:#${this.#known.size}`;
    this.#known.set(key, name);
    return name;
  }

  link(target: string): string {
    return target.replace(/^(pipe|socket|anon_inode):\[(\d+)\]$/, (_all, kind: string, number: string) => this.of(kind, number));
  }
}

function* maps(pid: number, names: Names): Generator<string> {
  for (const line of read(`/proc/${pid}/maps`).trimEnd().split("\n")) {
    const [range = "", permissions = "", offset = "", , inode = "", ...rest] = line.split(/ +/);
    const path = rest.join(" ");
    // Shared memory without a name, and a removed file that is mapped, come back as memory of ours without a name.
    const isShared = path.endsWith(" (deleted)") && !/^\/(memfd:(?!cairn-shared)|SYSV)/.test(path);
    const isNameless = isShared || /^(\/memfd:|\/SYSV|anon_inode:)/.test(path);
    const called = isNameless ? `${isShared ? "shared" : path} ${names.of("memory", inode)}` : path;
    yield `map ${range} ${permissions} ${offset} ${called}`;
  }
}

const O_CLOEXEC = 0o2000000;

/** What this process was started with besides its standard streams, and passes on to what it starts: it leads out of every job. */
const passedOn: ReadonlySet<number> = new Set(
  readdirSync("/proc/self/fd")
    .map(Number)
    .filter((fd) => {
      try {
        const flags = /^flags:\s*(\d+)$/m.exec(read(`/proc/self/fdinfo/${fd}`))?.[1] ?? "0";
        return fd > 2 && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0;
      } catch {
        return false;
      }
    }),
);

function* descriptors(pid: number, names: Names, jobPid: ReadonlyMap<number, number>): Generator<string> {
  const numbers = readdirSync(`/proc/${pid}/fd`)
    .map(Number)
    .sort((a, b) => a - b);
  for (const fd of numbers) {
    if (passedOn.has(fd)) continue;
    const link = readlinkSync(`/proc/${pid}/fd/${fd}`);
    const info = read(`/proc/${pid}/fdinfo/${fd}`).trimEnd().split("\n");
    const told = info
      .filter((line) => !UNSTEADY_INFO.test(line))
      .map((line) => line.replaceAll(/\b(ino|sdev|fhandle-bytes|fhandle-type|f_handle):\s*[0-9a-f]+/g, ""))
      .map((line) => line.replace(/^NSpid:.*\s(-?\d+)$/, "pid $1"))
      // Who took a lock of an open file description is forgotten; it belongs to the description.
      .map((line) => line.replace(/^(lock:.*(?:FLOCK|OFDLCK)\s+\S+\s+\S+\s+)\d+/, "$1-"))
      .map((line) =>
        line.replace(
          /^(lock:.*(?:POSIX|LEASE)\s+\S+\s+\S+\s+)(\d+)/,
          (_all, what: string, holder: string) => `${what}${jobPid.get(Number(holder)) ?? holder}`,
        ),
      )
      .toSorted();
    yield `descriptor ${fd} -> ${names.link(link)} ${told.map((line) => line.replaceAll(/\s+/g, " ").trim()).join(", ")}`;
  }
}

function* threads(pid: number): Generator<string> {
  const tids = readdirSync(`/proc/${pid}/task`).map(Number);
  const told = tids.map((tid) => {
    const path = `/proc/${pid}/task/${tid}`;
    const status = read(`${path}/status`);
    const stat = fieldsOf(read(`${path}/stat`));
    const lines = status.split("\n").filter((line) => STATUS.test(line) && !/^(ShdPnd|SigIgn|SigCgt|Umask)/.test(line));
    return { tid: own(status, "NSpid"), text: [stat[1], ...THREAD_STAT_FIELDS.map((at) => stat[at - 1]), ...lines].join(" ") };
  });
  // The workers of an io_uring come and go as the kernel likes.
  for (const { tid, text } of told.filter((one) => !one.text.startsWith("(iou-")).toSorted((a, b) => a.tid - b.tid))
    yield `thread ${tid} ${text.replaceAll(/\s+/g, " ")}`;
}

/** The lines that only one of the two has, with a sign before each. */
export function differences(before: readonly string[], after: readonly string[]): string[] {
  const count = (lines: readonly string[]): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1);
    return counts;
  };
  const [first, second] = [count(before), count(after)];
  const only = (lines: readonly string[], others: Map<string, number>, sign: string): string[] =>
    lines.filter((line) => (others.get(line) ?? 0) === 0).map((line) => `${sign} ${line}`);
  return [...only(before, second, "-"), ...only(after, first, "+")];
}

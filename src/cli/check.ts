/** `cairn check`: whether a job, or any process, can be saved now, and what a restart would not bring back as it is. */
import type { Command } from "commander";
import { formatBytes } from "../base/bytes.ts";
import type { CairnError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import { nameToText } from "../base/names.ts";
import { readComm } from "../kernel/procfs/mod.ts";
import type { Store } from "../store/mod.ts";
import { checkJob, checkProcess } from "../supervisor/check-job.ts";
import type { Checked } from "../supervisor/check-job.ts";
import { EXIT_OK, exitCodeOf } from "./exit-codes.ts";
import { plural } from "./format.ts";
import type { Finish } from "./main.ts";
import { printJson, printOut, styleOut } from "./output.ts";
import { storeOf } from "./store-option.ts";

const help = `
Examples:
  cairn check lu                    whether job "lu" can be saved now; if not, everything that stands against it
  cairn check 4242                  the same for process 4242 and its children, which Cairn did not start
  cairn check lu && cairn checkpoint lu --stop

Nothing is touched: the job runs on, and no checkpoint is taken. Notes tell what a restart would not bring back just as it is.
What only the process itself can ask the kernel (what it registered with an io_uring) shows at the checkpoint alone.
The exit code is 0 when it can be saved, ${exitCodeOf("unsupported")} when something cannot, ${exitCodeOf("permission")} when only this user may not.
`;

export function define(command: Command, finish: Finish): void {
  command
    .description("Says whether a job, or any process, can be saved now: every obstacle, and what would be lost.")
    .argument("<job|pid>", "a job of cairn ls, or the pid of a process")
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(finish((target: string, options: { json?: true }, self: Command) => check(storeOf(self), target, options.json === true)));
}

export interface CheckJson {
  /** Null for a process that is no job. */
  readonly job: string | null;
  readonly pid: number;
  readonly canBeSaved: boolean;
  readonly processes: number;
  readonly threads: number;
  readonly descriptors: number;
  readonly memoryBytes: number;
  readonly obstacles: readonly ObstacleJson[];
  readonly notes: readonly NoteJson[];
}

export interface ObstacleJson {
  readonly pid: number | null;
  readonly comm: string | null;
  /** The descriptor, thread or memory range in question; null where it is none. */
  readonly fd: number | null;
  readonly tid: number | null;
  readonly memory: string | null;
  /** `unsupported`: Cairn cannot carry it over; `permission`: the system does not let this user do it. */
  readonly code: string;
  readonly what: string;
  readonly remedy: string | null;
}

export interface NoteJson {
  readonly pid: number;
  readonly comm: string | null;
  readonly fd: number | null;
  readonly what: string;
}

function check(store: Store, target: string, json: boolean): number {
  const checked = /^[0-9]+$/.test(target) ? checkProcess(store, asPid(Number(target))) : checkJob(store.job(target));
  const result = checkJson(checked);
  if (json) printJson(result);
  else printOut(report(result));
  if (result.canBeSaved) return EXIT_OK;
  return exitCodeOf(result.obstacles.some(({ code }) => code !== "permission") ? "unsupported" : "permission");
}

function checkJson(checked: Checked): CheckJson {
  const { job, rootPid, obstacles, losses, processes, threads, descriptors, memoryBytes } = checked;
  return {
    job: job?.name ?? null,
    pid: rootPid,
    canBeSaved: obstacles.length === 0,
    processes,
    threads,
    descriptors,
    memoryBytes,
    obstacles: obstacles.map(obstacleJson),
    notes: losses.map(({ pid, fd, what }) => ({ pid, comm: commOf(pid), fd, what })),
  };
}

export function obstacleJson({ code, message, hint, data }: CairnError): ObstacleJson {
  const number = (key: string): number | null => (typeof data[key] === "number" ? data[key] : null);
  const pid = number("pid");
  return {
    pid,
    comm: pid === null ? null : commOf(pid),
    fd: number("fd"),
    tid: number("tid"),
    memory: typeof data["range"] === "string" ? data["range"] : null,
    code,
    what: message.replace(/^Cannot save ((process \d+( \(.*?\))?|job "[^"]*")( from inside)?: )?/, ""),
    remedy: hint === undefined ? null : remedyOf(hint),
  };
}

function remedyOf(hint: string): string {
  // The second sentence comforts whoever asked for a checkpoint.
  const remedy = hint.replace(/\. The job was not changed$/, "");
  return remedy.endsWith("not carried over yet") ? `${remedy}: try again when the program is done with it, or start it without` : remedy;
}

function commOf(pid: number): string | null {
  const comm = readComm(asPid(pid));
  return comm === null ? null : nameToText(comm);
}

function report(result: CheckJson): string {
  const { job, pid, obstacles, notes } = result;
  const name = job === null ? `Process ${pid}` : `Job "${job}"`;
  const size = `${plural(result.processes, "process", "processes")}, ${plural(result.threads, "thread")}, ${plural(result.descriptors, "descriptor")}, about ${formatBytes(result.memoryBytes)} of memory`;
  const verdict = result.canBeSaved
    ? `${name} can be saved now${job === null ? "" : `: cairn checkpoint ${job}`}\n`
    : styleOut("red", `${name} cannot be saved as it stands: ${plural(obstacles.length, "obstacle")}`) + "\n";
  return [`${name}: ${size}\n`, ...obstacles.map(obstacleText), ...notes.map(noteText), verdict].join("");
}

function obstacleText({ pid, comm, what, remedy }: ObstacleJson): string {
  const lines = [`${styleOut("red", "no  ")}  ${processText(pid, comm)}${what}`];
  if (remedy !== null) lines.push(`      Remedy: ${remedy}`);
  return `${lines.join("\n")}\n`;
}

function noteText({ pid, comm, fd, what }: NoteJson): string {
  return `${styleOut("yellow", "note")}  ${processText(pid, comm)}${fd === null ? "" : `descriptor ${fd}, `}${what}\n`;
}

function processText(pid: number | null, comm: string | null): string {
  return pid === null ? "" : `process ${pid}${comm === null ? "" : ` (${comm})`}: `;
}

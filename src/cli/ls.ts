/** `cairn ls`: the jobs, or the checkpoints of one. */
import type { Command } from "commander";
import { formatBytes } from "../base/bytes.ts";
import { formatDuration } from "../base/duration.ts";
import { nameToText } from "../base/names.ts";
import type { CheckpointRecord, Job, Store } from "../store/mod.ts";
import { EXIT_OK } from "./exit-codes.ts";
import { formatAge } from "./format.ts";
import { checkpointJson, jobJson } from "./json.ts";
import type { JobJson } from "./json.ts";
import type { Finish } from "./main.ts";
import { printJson, printOut, styleOut } from "./output.ts";
import { storeOf } from "./store-option.ts";
import { formatTable } from "./table.ts";
import type { Column } from "./table.ts";
import { outputWidth } from "./terminal-width.ts";

const help = `
Examples:
  cairn ls                 all jobs
  cairn ls lu              the checkpoints of job "lu", the newest last
  cairn ls --json          for scripts: docs/json.md describes the fields
`;

export function define(command: Command, finish: Finish): void {
  command
    .description("Lists jobs, or the checkpoints of one.")
    .argument("[job]", "list this job's checkpoints")
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(
      finish((name: string | undefined, options: { json?: true }, self: Command) => list(storeOf(self), name, options.json === true)),
    );
}

async function list(store: Store, name: string | undefined, json: boolean): Promise<number> {
  if (name === undefined) listJobs(store, json);
  else await listCheckpoints(store.job(name), json);
  return EXIT_OK;
}

function listJobs(store: Store, json: boolean): void {
  const jobs = store.jobs().flatMap((record) => {
    const job = store.tryJob(record.name);
    // Removed between the two looks.
    return job === null ? [] : [jobJson(job)];
  });
  if (json) return printJson({ store: store.directory, jobs });
  if (jobs.length === 0)
    return printOut(`There are no jobs in ${store.directory} yet. Start one with cairn run --every 10min -- COMMAND\n`);
  const columns: Column[] = [
    { title: "JOB" },
    { title: "STATE" },
    { title: "PID", align: "right" },
    { title: "CHECKPOINTS", align: "right" },
    { title: "NEWEST" },
    { title: "SIZE", align: "right" },
    { title: "COMMAND", flexible: true },
  ];
  const now = Date.now();
  printTable(
    columns,
    jobs.map((job) => jobRow(job, now)),
  );
}

function jobRow(job: JobJson, nowMs: number): string[] {
  return [
    job.name,
    stateText(job),
    job.pid === null ? "" : String(job.pid),
    String(job.checkpoints),
    job.newest === null ? "" : formatAge(Date.parse(job.newest.takenAt), nowMs),
    job.checkpoints === 0 ? "" : formatBytes(job.imageBytes),
    job.problem === null ? nameToText(job.argv.join(" ")) : styleOut("red", job.problem),
  ];
}

function stateText(job: JobJson): string {
  if (job.state === "running" || job.state === "stopped") return styleOut("green", job.supervised ? job.state : `${job.state}, unattended`);
  if (job.state === "never-ran") return "never ran";
  if (job.stoppedAfter !== null) return `saved, at ${job.stoppedAfter}`;
  if (job.exitSignal !== null) return styleOut("yellow", `ended, ${job.exitSignal}`);
  if (job.exitCode === null) return styleOut("yellow", "ended unseen");
  return job.exitCode === 0 ? "done" : styleOut("yellow", `ended, status ${job.exitCode}`);
}

async function listCheckpoints(job: Job, json: boolean): Promise<void> {
  // A list of jobs, which is asked for most, opens no image and needs none of the code for it.
  const { restartProblems } = await import("../supervisor/restart-problems.ts");
  const checkpoints = job.checkpoints();
  const judged = checkpoints.map((checkpoint) => ({ checkpoint, problems: restartProblems(checkpoint) }));
  if (json) {
    const listed = judged.map(({ checkpoint, problems }) => checkpointJson(job, checkpoint, problems));
    return printJson({ job: jobJson(job), checkpoints: listed });
  }
  if (checkpoints.length === 0)
    return printOut(`Job "${job.name}" has no checkpoint. Take one with cairn checkpoint ${job.name} while it runs\n`);
  const columns: Column[] = [
    { title: "NUMBER", align: "right" },
    { title: "TAKEN" },
    { title: "SIZE", align: "right" },
    { title: "PAUSE", align: "right" },
    { title: "TRIGGER" },
    { title: "CAN RESTART", flexible: true },
  ];
  const now = Date.now();
  printTable(
    columns,
    judged.map(({ checkpoint, problems }) => checkpointRow(checkpoint, problems, now)),
  );
}

function checkpointRow(checkpoint: CheckpointRecord, problems: readonly string[], nowMs: number): string[] {
  const verdict = problems.length === 0 ? styleOut("green", "yes") : styleOut("red", `no: ${problems.join("; ")}`);
  if (checkpoint.kind === "damaged") return [String(checkpoint.number), "", "", "", "", verdict];
  const { takenAt, imageBytes, pauseMs, trigger } = checkpoint.manifest;
  return [
    String(checkpoint.number),
    formatAge(Date.parse(takenAt), nowMs),
    formatBytes(imageBytes),
    formatDuration(pauseMs),
    trigger,
    verdict,
  ];
}

function printTable(columns: readonly Column[], rows: readonly (readonly string[])[]): void {
  const maxWidth = outputWidth();
  printOut(formatTable(columns, rows, { head: (title) => styleOut("dim", title), ...(maxWidth === undefined ? {} : { maxWidth }) }));
}

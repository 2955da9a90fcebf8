/** `cairn checkpoint`: saves a running job, or any process, now. */
import { Option } from "commander";
import type { Command } from "commander";
import { CairnError } from "../base/errors.ts";
import { formatBytes } from "../base/bytes.ts";
import { formatDuration } from "../base/duration.ts";
import { asPid } from "../base/ids.ts";
import type { Job, Store, WholeCheckpoint } from "../store/mod.ts";
import { jobOfProcess } from "../supervisor/attach-job.ts";
import { checkpointNow } from "../supervisor/checkpoint-now.ts";
import { hasHeld } from "../supervisor/held-connections.ts";
import { tidyAfter } from "../supervisor/run-job.ts";
import type { Finish } from "./main.ts";
import { EXIT_OK } from "./exit-codes.ts";
import { plural } from "./format.ts";
import { checkpointJson } from "./json.ts";
import { printJson, printOut } from "./output.ts";
import { storeOf } from "./store-option.ts";
import { say } from "./supervised.ts";

interface CheckpointOptions {
  readonly stop?: true;
  readonly tcp: "reset" | "keep";
  readonly json?: true;
}

const help = `
Examples:
  cairn checkpoint lu               saves job "lu"; it runs on after a pause of some milliseconds
  cairn checkpoint lu --stop        saves it and ends it; cairn restart lu goes on from there
  cairn checkpoint lu --stop --tcp keep    and its TCP connections to other programs stay, for cairn restart lu --tcp keep
  cairn checkpoint 4242             saves process 4242 and its children, which Cairn did not start

A process that Cairn did not start becomes a job of its own, named by its command and pid.
With --tcp keep (needs CAP_NET_ADMIN: root) TCP connections that lead out of the job do not end with it. A small process holds them for a day, or
until the restart: the other side sees a program that does not answer, as one that Ctrl-Z has stopped. What it sends meanwhile it sends
again later. Without it, the other side sees them end.
Ctrl-C gives the checkpoint up; the job runs on.
`;

export function define(command: Command, finish: Finish): void {
  command
    .description("Saves a running job, or any process with its children, now.")
    .argument("<job|pid>", "a job of cairn ls, or the pid of a process")
    .option("--stop", "end the job once the checkpoint is on disk")
    .addOption(
      new Option("--tcp <rule>", "with --stop: what becomes of TCP connections that lead out of the job")
        .choices(["reset", "keep"])
        .default("reset"),
    )
    .option("--json", "print the checkpoint as JSON")
    .addHelpText("after", help)
    .action(finish((target: string, options: CheckpointOptions, self: Command) => checkpoint(storeOf(self), target, options)));
}

async function checkpoint(store: Store, target: string, options: CheckpointOptions): Promise<number> {
  if (options.tcp === "keep" && options.stop !== true)
    throw new CairnError("usage", "--tcp keep goes with --stop: the connections of a job that runs on stay its own");
  const { job, created } = /^[0-9]+$/.test(target)
    ? jobOfProcess(store, asPid(Number(target)))
    : { job: store.job(target), created: false };
  const givenUp = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => givenUp.abort());
  let taken: WholeCheckpoint;
  try {
    taken = await checkpointNow(job, options.stop !== true ? "run" : options.tcp === "keep" ? "stop-holding" : "stop", givenUp.signal);
  } catch (error) {
    // A process that cannot be saved does not become a job.
    if (created) tidyAfter(job, false);
    throw error;
  }
  if (options.json === true) {
    printJson(checkpointJson(job, taken, []));
  } else {
    tell(job, taken, options.stop === true);
  }
  return EXIT_OK;
}

function tell(job: Job, { number, manifest }: WholeCheckpoint, stopped: boolean): void {
  const size = `${formatBytes(manifest.imageBytes)}, ${plural(manifest.processes, "process", "processes")}, ${plural(manifest.threads, "thread")}`;
  printOut(
    `Checkpoint ${number} of job "${job.name}": ${size}; paused ${formatDuration(manifest.pauseMs)}, took ${formatDuration(manifest.durationMs)}\n`,
  );
  for (const warning of manifest.warnings) say(`Warning: ${warning}`);
  if (!stopped) return;
  const held = hasHeld(job) ? " --tcp keep" : "";
  printOut(`The job was ended; cairn restart ${job.name}${held} goes on from here\n`);
}

/** `cairn rm`: removes a job with all its checkpoints, or one of them. */
import type { Command } from "commander";
import { formatBytes } from "../base/bytes.ts";
import { parseCheckpointName } from "../store/mod.ts";
import type { Store } from "../store/mod.ts";
import { removeCheckpoint, removeJob } from "../supervisor/remove-job.ts";
import { EXIT_OK } from "./exit-codes.ts";
import { plural } from "./format.ts";
import type { Finish } from "./main.ts";
import { printOut } from "./output.ts";
import { storeOf } from "./store-option.ts";

const help = `
Examples:
  cairn rm lu@3            removes checkpoint 3 of job "lu"
  cairn rm lu              removes job "lu", which has ended, with all its checkpoints
  cairn rm lu --force      the same, and kills the job if it runs

A process that Cairn did not start runs on when its job is removed, with and without --force.
A running job does not need its checkpoints: it runs on when they are removed.
With a job goes what restarts cut off from its output files and kept aside (aside/ in the job's folder).
`;

export function define(command: Command, finish: Finish): void {
  command
    .description("Removes a job with all its checkpoints, or one checkpoint.")
    .argument("<job[@number]>", "the job, or a checkpoint of it")
    .option("-f, --force", "kill the job first if it runs")
    .addHelpText("after", help)
    .action(finish((target: string, options: { force?: true }, self: Command) => remove(storeOf(self), target, options.force === true)));
}

async function remove(store: Store, target: string, force: boolean): Promise<number> {
  const { job: name, number } = parseCheckpointName(target);
  const job = store.job(name);
  if (number === undefined) {
    const { checkpoints, bytes, keptAside } = await removeJob(job, force);
    printOut(
      `Removed job "${name}"${checkpoints === 0 ? "" : ` with ${plural(checkpoints, "checkpoint")} (${formatBytes(bytes)})`}${keptAside === 0 ? "" : `, and ${plural(keptAside, "file")} that restarts had kept aside`}\n`,
    );
  } else {
    const bytes = await removeCheckpoint(job, number);
    printOut(`Removed checkpoint ${number} of job "${name}" (${formatBytes(bytes)})\n`);
  }
  return EXIT_OK;
}

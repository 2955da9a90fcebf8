/** `cairn show`: what is in a checkpoint, or what changed between two. */
import type { Command } from "commander";
import { CairnError } from "../base/errors.ts";
import { ImageReader } from "../image/mod.ts";
import { parseCheckpointName } from "../store/mod.ts";
import type { Store } from "../store/mod.ts";
import { chosenCheckpoint } from "../supervisor/chosen-checkpoint.ts";
import { restartProblems } from "../supervisor/restart-problems.ts";
import { EXIT_OK } from "./exit-codes.ts";
import { checkpointJson } from "./json.ts";
import type { Finish } from "./main.ts";
import { printJson, printOut } from "./output.ts";
import { parseDiffNumbers, showDiff } from "./show-diff.ts";
import { showJson } from "./show-json.ts";
import { sections } from "./show-sections.ts";
import type { SectionName } from "./show-sections.ts";
import { storeOf } from "./store-option.ts";

const help = `
Examples:
  cairn show lu                      all of the newest checkpoint of job "lu"
  cairn show lu@3 --processes        only the process tree of checkpoint 3
  cairn show lu --files --memory     descriptors and memory maps
  cairn show lu --diff 3 5           what changed from checkpoint 3 to checkpoint 5
  cairn show lu --json               for scripts: docs/json.md describes the fields
`;

interface ShowOptions extends Partial<Record<SectionName | "json", true>> {
  readonly diff?: readonly string[];
}

export function define(command: Command, finish: Finish): void {
  command
    .description("Shows what is in a checkpoint: processes, threads, descriptors, memory, environment; or what changed between two.")
    .argument("<job[@number]>", "the job, and a checkpoint of it if not the newest")
    .option("--processes", "only the process tree")
    .option("--threads", "only the threads")
    .option("--files", "only the descriptors")
    .option("--memory", "only the memory maps")
    .option("--environment", "only the environment")
    .option("--diff <numbers...>", "what changed from one checkpoint to another")
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(finish((target: string, options: ShowOptions, self: Command) => show(storeOf(self), target, options)));
}

function show(store: Store, target: string, options: ShowOptions): number {
  const { job: name, number = null } = parseCheckpointName(target);
  if (options.diff !== undefined) {
    const numbers = parseDiffNumbers(options.diff);
    if (number !== null) throw new CairnError("usage", `--diff names two checkpoints of "${name}": leave out @${number}`);
    showDiff(store.job(name), numbers, options.json === true);
    return EXIT_OK;
  }
  const job = store.job(name);
  const checkpoint = chosenCheckpoint(job, number);
  using reader = ImageReader.open(checkpoint.imagePath);
  const shown = showJson(checkpointJson(job, checkpoint, restartProblems(checkpoint)), reader.metadata);
  if (options.json === true) {
    printJson(shown);
  } else {
    const chosen = (Object.keys(sections) as SectionName[]).filter((section) => options[section] === true);
    const names = chosen.length === 0 ? (Object.keys(sections) as SectionName[]) : chosen;
    printOut(names.map((section) => sections[section](shown)).join("\n"));
  }
  return EXIT_OK;
}

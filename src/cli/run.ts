/** `cairn run`: behaves like the program itself. */
import { Option } from "commander";
import type { Command } from "commander";
import { formatDuration, parseDuration } from "../base/duration.ts";
import { CairnError } from "../base/errors.ts";
import { resolveCommand } from "../supervisor/resolve-command.ts";
import { createJobForRun, launchJob, tidyAfter } from "../supervisor/run-job.ts";
import { SignalRelay } from "../supervisor/signal-relay.ts";
import { inheritanceFrom, inheritedDescriptors, lastArguments } from "../supervisor/user-shell.ts";
import type { CommandSearch } from "../supervisor/resolve-command.ts";
import type { Finish } from "./main.ts";
import { EXIT_COMMAND_NOT_FOUND, EXIT_NOT_EXECUTABLE } from "./exit-codes.ts";
import { storeOf } from "./store-option.ts";
import { say, superviseToTheEnd } from "./supervised.ts";

interface RunOptions {
  readonly name?: string;
  readonly every?: number;
  readonly quiet?: true;
}

const help = `
Examples:
  cairn run -- python3 count.py                      saved when cairn checkpoint asks for it
  cairn run --every 10min --name lu -- ./solver in   saved every ten minutes, as job "lu"
  cairn restart lu                                   after a crash: goes on from the newest checkpoint

The program keeps its terminal, its input and output, and its exit status; Ctrl-C and Ctrl-Z work as without Cairn.
An interval counts from the end of the last checkpoint: 6 (seconds), 90s, 10min, 2h, 1h30min.
When cairn itself is killed the program runs on, and cairn checkpoint still works.
`;

export function define(command: Command, finish: Finish): void {
  command
    .description("Runs a program so that it can be saved and restarted.")
    .usage("[options] -- <command> [args...]")
    .argument("<command>", "the program, found in PATH as a shell finds it")
    .argument("[args...]", "its arguments")
    .option("--name <name>", "the job's name (default: the command's)")
    .addOption(new Option("--every <duration>", "take a checkpoint at this interval").argParser(parseDuration))
    .option("-q, --quiet", "do not say where checkpoints go")
    .passThroughOptions()
    .addHelpText("after", help)
    .action(finish((name: string, args: string[], options: RunOptions, self: Command) => run(name, args, options, self)));
}

async function run(commandName: string, args: readonly string[], options: RunOptions, command: Command): Promise<number> {
  // Before anything is opened that the program must not inherit.
  const descriptors = inheritedDescriptors();
  const cwd = process.cwd();
  const search = resolveCommand(commandName, process.env["PATH"], cwd);
  if (search.kind !== "found") return refuse(commandName, search);

  const argv = [commandName, ...args];
  const nameChosenByUser = options.name !== undefined;
  const job = createJobForRun({ store: storeOf(command), name: options.name ?? null, argv, cwd });
  if (options.quiet !== true) say(announcement(job.name, job.directory, options.every));
  const relay = new SignalRelay();
  try {
    const keeper = await launchJob({
      job,
      path: search.path,
      argv: lastArguments(argv.length),
      inheritance: inheritanceFrom(process.env),
      descriptors,
    });
    return await superviseToTheEnd({ job, keeper, relay, everyMs: options.every ?? null, quiet: options.quiet === true, nameChosenByUser });
  } catch (error) {
    relay[Symbol.dispose]();
    // Nothing runs: a launch that failed leaves no job behind.
    tidyAfter(job, false);
    if (error instanceof CairnError && error.code === "permission" && error.data["path"] !== undefined) {
      say(error.message);
      return EXIT_NOT_EXECUTABLE;
    }
    throw error;
  }
}

function announcement(name: string, directory: string, everyMs: number | undefined): string {
  const when = everyMs === undefined ? `cairn checkpoint ${name} saves it to` : `a checkpoint every ${formatDuration(everyMs)} in`;
  return `Job "${name}": ${when} ${directory}`;
}

function refuse(commandName: string, search: Exclude<CommandSearch, { kind: "found" }>): number {
  if (search.kind === "not-executable") {
    say(`Cannot run ${search.path}: ${search.why}`);
    return EXIT_NOT_EXECUTABLE;
  }
  say(`Cannot run "${commandName}": ${commandName.includes("/") ? "there is no such file" : "there is no such command in PATH"}`);
  return EXIT_COMMAND_NOT_FOUND;
}

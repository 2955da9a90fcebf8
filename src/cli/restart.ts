/**
 * `cairn restart`: brings a job back, in this terminal or in the background. What does it is loaded only where it is done: the
 * foreground of a restart in the background does nothing but wait.
 */
import { Option } from "commander";
import type { Command } from "commander";
import { CairnError } from "../base/errors.ts";
import { parseDuration } from "../base/duration.ts";
import { parseCheckpointName } from "../store/mod.ts";
import { parsePathMove } from "../restore/moved-paths.ts";
import type { PathMove } from "../restore/moved-paths.ts";
import type { RestartRequest } from "../supervisor/restart-job.ts";
import { EXIT_OK } from "./exit-codes.ts";
import type { Finish } from "./main.ts";
import { printOut } from "./output.ts";
import { storeOf } from "./store-option.ts";

export interface RestartOptions {
  readonly detach?: true;
  readonly files: RestartRequest["files"];
  readonly pids: RestartRequest["pids"];
  readonly newPids?: true;
  readonly clock: RestartRequest["clock"];
  readonly tcp: RestartRequest["tcp"];
  readonly map: readonly PathMove[];
  readonly every?: number;
  readonly dryRun?: true;
  readonly json?: true;
  readonly quiet?: true;
}

const help = `
Examples:
  cairn restart lu                      from the newest checkpoint, in this terminal
  cairn restart lu@3                    from checkpoint 3
  cairn restart lu --every 10min        and goes on taking checkpoints
  cairn restart lu --detach             in the background; its output goes to a file
  cairn restart lu --dry-run            only says what differs here, and whether it could go on
  cairn restart lu --tcp keep           its TCP connections to other programs go on, or it is refused
  cairn restart lu --map /home/ada=/scratch/ada    its files lie elsewhere on this machine

By default output files are taken back to where they were at the checkpoint, so that nothing is written twice; what is cut off,
with what other programs appended since, is kept in the job's folder (--files rewind). With --files keep they stay as they are,
with --files fail a difference is an error.
Standard input, output and error that were files are so again. Those that were a terminal or a pipe from outside the job are those
of cairn restart now: this terminal, or what you redirect them to.
Pids are kept; where they are taken, or not this user's to choose, the job gets a pid namespace of its own (--pids auto). With
--pids host it gets the same pids in this system or is refused, with who has them; with --pids namespace it always gets a namespace.
Where this user may do neither, --new-pids restarts it with the pids that come, and says what may break: programs that remember pids.
CLOCK_MONOTONIC and CLOCK_BOOTTIME go on from where they were, in a time namespace: a timeout that had an hour left has an hour left.
With --clock host, or where time namespaces are not allowed, the job reads this system's.
TCP connections that lead out of the job are found reset by the program (--tcp reset). With --tcp keep (root only) each is kept, or the restart is
refused, with the reason for each that can't be: those that cairn checkpoint --stop --tcp keep has held, and, where the machine went down
without a word to the other side, those on which nothing has happened since the checkpoint. With --tcp fail there must be none.
--map holds for open and mapped files, programs and directories; what the program itself remembers of paths it does not change.
Everything that stands against a restart is told at once, before anything is started.
`;

export function define(command: Command, finish: Finish): void {
  command
    .description("Brings a job back from a checkpoint.")
    .argument("<job[@number]>", "the job, and a checkpoint of it if not the newest")
    .option("-d, --detach", "in the background, in a session of its own")
    .addOption(new Option("--files <rule>", "what to do with output files").choices(["rewind", "keep", "fail"]).default("rewind"))
    .addOption(new Option("--pids <rule>", "where the job gets its pids").choices(["auto", "host", "namespace"]).default("auto"))
    .option("--new-pids", "the job takes the pids that it gets: where neither pids can be chosen nor namespaces made")
    .addOption(
      new Option("--clock <rule>", "whose monotonic clocks it has: its own, which go on, or this system's")
        .choices(["job", "host"])
        .default("job"),
    )
    .addOption(new Option("--tcp <rule>", "TCP connections that lead out of the job").choices(["reset", "keep", "fail"]).default("reset"))
    .addOption(
      new Option("--map </old=/new>", "a folder or file lies elsewhere here (may be repeated)")
        .argParser((text: string, moves: readonly PathMove[]) => [...moves, parsePathMove(text)])
        .default([], "none"),
    )
    .option("--dry-run", "start nothing: say what differs here, and whether the job could go on")
    .option("--json", "with --dry-run: print JSON")
    .addOption(new Option("--every <duration>", "take a checkpoint at this interval").argParser(parseDuration))
    .option("-q, --quiet", "do not say what was restarted")
    .addHelpText("after", help)
    .action(finish((target: string, options: RestartOptions, self: Command) => restart(target, options, self)));
}

async function restart(target: string, options: RestartOptions, command: Command): Promise<number> {
  const store = storeOf(command);
  const { job: name, number = null } = parseCheckpointName(target);
  if (options.newPids === true && options.pids !== "auto") throw new CairnError("usage", "--new-pids and --pids exclude each other");
  const pids = options.newPids === true ? "new" : options.pids;
  const chosen = {
    store,
    name,
    number,
    files: options.files,
    pids,
    clock: options.clock,
    tcp: options.tcp,
    moves: options.map,
  };
  if (options.dryRun === true) {
    const { dryRun } = await import("./restart-dry-run.ts");
    return dryRun(chosen, options.json === true);
  }
  if (options.json === true) throw new CairnError("usage", "--json goes with --dry-run: a restarted job has the output for itself");
  const background = options.detach === true ? await import("./background.ts") : null;
  const report = background?.tryReporter() ?? null;
  if (background !== null && report === null) {
    // A name that is wrong is told of here rather than by way of the background.
    printOut(`${await background.restartInBackground(store.job(name))}\n`);
    return EXIT_OK;
  }
  const { restartHere } = await import("./restart-here.ts");
  return restartHere(chosen, options, report);
}

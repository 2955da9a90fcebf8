/**
 * The command line. A command is one file of this folder that exports `define`; only the file of the command that was
 * asked for is loaded, because half of a short command's time would otherwise go into reading code it does not use.
 */
import { Command, CommanderError } from "commander";
import { EXIT_OK, exitCodesHelp, exitCodeOf } from "./exit-codes.ts";
import { reportFailure } from "./failure.ts";
import { printError, printOut, wantsColour } from "./output.ts";

/** What a command's file exports: options, arguments, help, and an action that resolves to the exit code. */
export interface CommandModule {
  define(command: Command, finish: Finish): void;
}

/** Turns "an action that resolves to an exit code" into what commander wants. */
export type Finish = <A extends unknown[]>(action: (...values: A) => number | Promise<number>) => (...values: A) => Promise<void>;

interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** For a command that lacks an argument. */
  readonly example: string;
  readonly load: () => Promise<CommandModule>;
}

const entries: readonly CommandEntry[] = [
  {
    name: "run",
    summary: "run a program so that it can be saved and restarted",
    example: "cairn run -- python3 count.py",
    load: () => import("./run.ts"),
  },
  {
    name: "checkpoint",
    summary: "save a running job, or any process, now",
    example: "cairn checkpoint JOB, with a job of cairn ls, or cairn checkpoint PID",
    load: () => import("./checkpoint.ts"),
  },
  {
    name: "check",
    summary: "say whether a job or process can be saved now, and what would be lost",
    example: "cairn check JOB, with a job of cairn ls, or cairn check PID",
    load: () => import("./check.ts"),
  },
  {
    name: "restart",
    summary: "bring a job back from a checkpoint",
    example: "cairn restart JOB, with a job of cairn ls",
    load: () => import("./restart.ts"),
  },
  { name: "ls", summary: "list jobs, or the checkpoints of one", example: "cairn ls", load: () => import("./ls.ts") },
  {
    name: "show",
    summary: "show what is in a checkpoint",
    example: "cairn show JOB, with a job of cairn ls",
    load: () => import("./show.ts"),
  },
  {
    name: "verify",
    summary: "check every byte of a checkpoint",
    example: "cairn verify JOB, with a job of cairn ls",
    load: () => import("./verify.ts"),
  },
  {
    name: "rm",
    summary: "remove a job, or one checkpoint",
    example: "cairn rm JOB, with a job of cairn ls",
    load: () => import("./rm.ts"),
  },
  {
    name: "doctor",
    summary: "say what works on this machine, and what to do about the rest",
    example: "cairn doctor",
    load: () => import("./doctor.ts"),
  },
];

const VERSION = "0.1.0";

const overview = `
Examples:
  cairn run --every 10min -- python3 train.py    a checkpoint every ten minutes
  cairn ls                                       which jobs there are
  cairn restart python3-1                        go on from the newest checkpoint
  cairn help run                                 more about one command
  cairn help exit-codes                          what the exit codes mean

Checkpoints lie in --store DIR, else $CAIRN_STORE, else cairn/ in the XDG state folder (~/.local/state).
`;

/** Precondition: nothing else runs in this process; it ends here. */
export async function main(argv: readonly string[]): Promise<never> {
  let exitCode = EXIT_OK;
  const finish: Finish =
    (action) =>
    async (...values) => {
      exitCode = await action(...values);
    };
  try {
    const program = await buildProgram(argv, finish);
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    exitCode = error instanceof CommanderError ? exitCodeOfCommander(error) : await reportFailure(error, argv);
  }
  return process.exit(exitCode);
}

async function buildProgram(argv: readonly string[], finish: Finish): Promise<Command> {
  const program = new Command("cairn");
  program
    .description("Saves running programs and brings them back.")
    .usage("<command> [options]")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .option("--store <dir>", "where checkpoints are kept")
    .enablePositionalOptions()
    .helpCommand(false)
    .showSuggestionAfterError()
    .addHelpText("after", overview)
    .exitOverride()
    .configureOutput({
      writeOut: printOut,
      writeErr: printError,
      outputError: (text, write) => write(sentence(text)),
      // Commander would ask process.stdout, which nobody may touch: see output.ts.
      getOutHelpWidth: () => 110,
      getErrHelpWidth: () => 110,
      getOutHasColors: () => wantsColour(1),
      getErrHasColors: () => wantsColour(2),
    });

  const named = wordsBeforeSeparator(argv);
  for (const entry of entries) {
    const command = program.command(entry.name).summary(entry.summary);
    // A word of the command line that merely looks like a command loads a file too many, and nothing worse.
    if (!named.has(entry.name)) continue;
    const module = await entry.load();
    module.define(command, finish);
    command.configureOutput({ outputError: (text, write) => write(sentence(text) + hintFor(text, entry)) });
    command.option("--store <dir>", "where checkpoints are kept").helpOption("-h, --help", "print this help");
  }
  program
    .command("help [topic]")
    .summary("help for a command, or for: exit-codes")
    .action((topic: string | undefined) => help(program, topic));
  return program;
}

function help(program: Command, topic: string | undefined): void {
  if (topic === "exit-codes") return printOut(exitCodesHelp());
  const command = program.commands.find((candidate) => candidate.name() === topic);
  if (topic !== undefined && command === undefined) {
    program.error(`error: There is no help for "${topic}". Try cairn help`);
  }
  (command ?? program).outputHelp();
}

function wordsBeforeSeparator(argv: readonly string[]): Set<string> {
  const separator = argv.indexOf("--");
  return new Set(separator < 0 ? argv : argv.slice(0, separator));
}

/** `error: unknown option '--x'` becomes a sentence as all our messages are. */
function sentence(text: string): string {
  const message = text.replace(/^error: /, "");
  return `cairn: ${message.charAt(0).toUpperCase()}${message.slice(1)}`;
}

function hintFor(text: string, { name, example }: CommandEntry): string {
  return text.startsWith("error: missing required argument") ? `       Try ${example}. More: cairn ${name} --help\n` : "";
}

function exitCodeOfCommander(error: CommanderError): number {
  return error.exitCode === 0 ? EXIT_OK : exitCodeOf("usage");
}

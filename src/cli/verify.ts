/** `cairn verify`: reads every byte of a checkpoint. */
import type { Command } from "commander";
import { formatBytes } from "../base/bytes.ts";
import { CairnError } from "../base/errors.ts";
import { parseCheckpointName } from "../store/mod.ts";
import type { Job, Store } from "../store/mod.ts";
import { chosenCheckpoint } from "../supervisor/chosen-checkpoint.ts";
import { verifyCheckpoint } from "../supervisor/verify-checkpoint.ts";
import { EXIT_OK, exitCodeOf } from "./exit-codes.ts";
import type { Finish } from "./main.ts";
import { printJson, printOut } from "./output.ts";
import { storeOf } from "./store-option.ts";

const help = `
Examples:
  cairn verify lu          the newest checkpoint of job "lu"
  cairn verify lu@3        checkpoint 3
  cairn verify lu --all    every one of them

The exit code is 0 when all is whole and ${exitCodeOf("damaged")} when something is damaged.
`;

interface VerifyOptions {
  readonly all?: true;
  readonly json?: true;
}

export function define(command: Command, finish: Finish): void {
  command
    .description("Checks every byte of a checkpoint against its checksums.")
    .argument("<job[@number]>", "the job, and a checkpoint of it if not the newest")
    .option("--all", "all checkpoints of the job")
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(finish((target: string, options: VerifyOptions, self: Command) => verify(storeOf(self), target, options)));
}

export interface VerifyJson {
  readonly job: string;
  readonly whole: boolean;
  readonly checkpoints: readonly {
    readonly number: number;
    readonly whole: boolean;
    readonly imageBytes: number | null;
    readonly problem: string | null;
  }[];
}

async function verify(store: Store, target: string, options: VerifyOptions): Promise<number> {
  const { job: name, number } = parseCheckpointName(target);
  const job = store.job(name);
  if (options.all === true && number !== undefined)
    throw new CairnError("usage", `--all checks every checkpoint of "${name}": leave out @${number}`);
  const result = await verifyAll(
    job,
    options.all === true ? job.checkpoints().map((record) => record.number) : [number ?? newestNumber(job)],
  );
  if (options.json === true) printJson(result);
  else for (const checkpoint of result.checkpoints) printOut(lineFor(name, checkpoint));
  return result.whole ? EXIT_OK : exitCodeOf("damaged");
}

/** Also of a newest one that is damaged: saying so is what we are asked for. */
function newestNumber(job: Job): number {
  return job.checkpoints().at(-1)?.number ?? chosenCheckpoint(job, null).number;
}

async function verifyAll(job: Job, numbers: readonly number[]): Promise<VerifyJson> {
  const checkpoints: VerifyJson["checkpoints"][number][] = [];
  for (const number of numbers) {
    const { imageBytes, problem } = await verifyCheckpoint(job, number);
    checkpoints.push({ number, whole: problem === null, imageBytes, problem });
  }
  return { job: job.name, whole: checkpoints.every(({ whole }) => whole), checkpoints };
}

function lineFor(name: string, { number, imageBytes, problem }: VerifyJson["checkpoints"][number]): string {
  const what = `Checkpoint ${number} of job "${name}"`;
  if (problem !== null) return `${what} is damaged: ${problem}\n`;
  return `${what} is whole${imageBytes === null ? "" : ` (${formatBytes(imageBytes)} checked)`}\n`;
}

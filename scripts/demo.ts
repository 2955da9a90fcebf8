/**
 * `npm start`: a real program is saved while it runs, killed without mercy, and brought back, before the reader's eyes. Ends
 * with status 0 only if the result is what an uninterrupted run would have written.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { styleText } from "node:util";
import { isAlive, killIfAlive } from "../test/harness/processes.ts";
import { chooseProgram, expectedLog, LAST } from "./demo/program.ts";

const CAIRN = fileURLToPath(new URL("../bin/cairn", import.meta.url));
/** How the reader types it from where `npm start` was called. */
const SHOWN_CAIRN = relative(process.cwd(), CAIRN).startsWith("..") ? CAIRN : `./${relative(process.cwd(), CAIRN)}`;
const WAIT_MS = 60_000;
const LOOK_EVERY_MS = 20;

const place = mkdtempSync(join(tmpdir(), "cairn-demo-"));
const store = join(place, "store");
const job = join(store, "jobs/demo");
const log = join(place, "count.log");
const program = chooseProgram();

class DemoFailure extends Error {}

function tell(text: string): void {
  console.log(styleText("cyan", text));
}

function startCairn(...argv: string[]): ChildProcess {
  console.log(styleText("bold", `\n$ cairn ${argv.join(" ")}`));
  // The program's output goes straight to the terminal, as it does without Cairn. A file (`npm start >log`) would be an output
  // file of the job's, and the restart would take it back to the checkpoint, with what this script has written since.
  const output = process.stdout.isTTY ? "inherit" : "pipe";
  const child = spawn(CAIRN, argv, { cwd: place, env: { ...process.env, CAIRN_STORE: store }, stdio: ["ignore", output, output] });
  child.stdout?.pipe(process.stdout, { end: false });
  child.stderr?.pipe(process.stdout, { end: false });
  return child;
}

async function until(what: string, child: ChildProcess | null, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!isSo()) {
    if (child !== null && (child.exitCode !== null || child.signalCode !== null)) throw new DemoFailure(`The program ended before ${what}`);
    if (performance.now() > deadline) throw new DemoFailure(`Waited ${WAIT_MS / 1000} s in vain until ${what}`);
    await pause(LOOK_EVERY_MS);
  }
}

function committedCheckpoints(): number {
  const folder = join(job, "checkpoints");
  return existsSync(folder) ? readdirSync(folder).filter((name) => /^\d+$/.test(name)).length : 0;
}

function linesWritten(): string[] {
  return existsSync(log) ? readFileSync(log, "utf8").split("\n").slice(0, -1) : [];
}

/** The program, the process that keeps it, and Cairn: whatever of them lives. */
function processesOfTheJob(): number[] {
  if (!existsSync(join(job, "run.json"))) return [];
  const run = JSON.parse(readFileSync(join(job, "run.json"), "utf8")) as Record<string, unknown>;
  return ["rootPid", "keeperPid", "supervisorPid"].flatMap((field) => {
    const pid = run[field];
    return typeof pid === "number" && isAlive(pid) ? [pid] : [];
  });
}

async function demonstrate(): Promise<void> {
  tell(`Here is a program that counts to ${LAST}. It was not made for Cairn; what it has computed is only in its memory:\n`);
  writeFileSync(join(place, program.fileName), program.source);
  console.log(program.source.trimEnd().replaceAll(/^(?=.)/gm, "    "));
  tell("\nCairn runs it and saves it every second, while it goes on:");

  const first = startCairn("run", "--name", "demo", "--every", "1", "--", program.command, program.fileName);
  await until("it was saved twice", first, () => committedCheckpoints() >= 2 && linesWritten().length >= 8);
  const saved = linesWritten().length;
  await until("it went on", first, () => linesWritten().length >= saved + 2);

  const pids = processesOfTheJob();
  if (pids.length === 0) throw new DemoFailure("No process of the job is to be found");
  console.log(styleText(["bold", "red"], `\n$ kill -9 ${pids.join(" ")}`));
  const ended = once(first, "close");
  for (const pid of pids) killIfAlive(pid);
  await ended;
  await until("everything was dead", null, () => processesOfTheJob().length === 0);
  const reached = linesWritten().length;
  tell(
    `The program and Cairn are dead, as after a crash. It had counted to ${reached}; its memory is gone. Now from the newest checkpoint:`,
  );

  const second = startCairn("restart", "demo");
  const [status] = (await once(second, "close")) as [number | null];
  if (status !== 0) throw new DemoFailure(`The restarted program ended with status ${status ?? "of a signal"} instead of 0`);

  const written = linesWritten();
  if (`${written.join("\n")}\n` !== expectedLog()) {
    throw new DemoFailure(`count.log is not what an uninterrupted run writes:\n${written.join("\n")}`);
  }
  console.log(styleText(["bold", "green"], `\n✔ It went on where it was saved and finished.`));
  tell(
    `  count.log has every number from 1 to ${LAST} exactly once, and each is what an uninterrupted run computes: the memory came
  back whole, and the lines that were written after the checkpoint were taken back before they were written again.`,
  );
  tell(`\nThe same works for your own programs, unchanged. Try:\n`);
  console.log(`    ${SHOWN_CAIRN} run --name mine --every 10min -- YOUR-PROGRAM\n    ${SHOWN_CAIRN} restart mine\n`);
}

function cleanUp(): void {
  for (const pid of processesOfTheJob()) killIfAlive(pid);
  rmSync(place, { recursive: true, force: true, maxRetries: 5 });
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    cleanUp();
    process.exit(1);
  });
}

try {
  await demonstrate();
} catch (error) {
  if (!(error instanceof DemoFailure)) throw error;
  console.error(styleText("red", `\n✖ ${error.message}`));
  console.error(`What this machine allows and what it does not is told by: ${SHOWN_CAIRN} doctor`);
  process.exitCode = 1;
} finally {
  cleanUp();
}

/** Does one piece of work on a store: for tests that kill it, race it, or run it under another umask. */
import { spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { assertNever } from "../../base/assert.ts";
import { CairnError } from "../../base/errors.ts";
import { openStore } from "../store.ts";
import { sampleRun, takeCheckpoint } from "./sample.ts";

export type Work = "create" | "checkpoint" | "remove-newest" | "remove-job" | "write-run" | "many" | "hold-lock" | "everything";

const [work, directory, umask] = process.argv.slice(2) as [Work, string, string?];
if (umask !== undefined) process.umask(Number.parseInt(umask, 8));
const store = openStore({ directory });
const newJob = { name: "lu", argv: ["lu", "--size", "100"], cwd: "/" };

async function lockedCheckpoint(): Promise<number> {
  const job = store.job("lu");
  using _lock = await job.lock(600_000);
  const { number } = await takeCheckpoint(job);
  return number;
}

async function checkpointsAndRemovals(): Promise<number[]> {
  const numbers: number[] = [];
  for (let round = 0; round < 6; round++) {
    numbers.push(await lockedCheckpoint());
    const job = store.job("lu");
    using _lock = await job.lock(600_000);
    const all = job.checkpoints();
    const victim = round % 2 === 0 ? all.at(-1) : all[0];
    if (victim !== undefined && round % 3 !== 0) job.remove(victim.number);
  }
  return numbers;
}

async function run(): Promise<unknown> {
  switch (work) {
    case "create":
      return store.createJob(newJob).name;
    case "checkpoint":
      return lockedCheckpoint();
    case "remove-newest": {
      const job = store.job("lu");
      using _lock = await job.lock(0);
      job.remove(job.newest()?.number ?? 0);
      return null;
    }
    case "remove-job": {
      const job = store.job("lu");
      using _lock = await job.lock(0);
      job.removeAll();
      return null;
    }
    case "write-run":
      store.job("lu").writeRun(sampleRun(2));
      return null;
    case "many":
      return checkpointsAndRemovals();
    case "hold-lock": {
      const lock = store.job("lu").tryLock();
      const sleeper = spawn("sleep", ["600"], { stdio: "ignore", detached: true });
      writeSync(1, `${String(sleeper.pid)} ${lock === null ? "not locked" : "locked"}\n`);
      process.kill(process.pid, "SIGKILL");
      return null;
    }
    case "everything": {
      const job = store.createJob(newJob);
      job.writeRun(sampleRun(1));
      using _lock = await job.lock(0);
      await takeCheckpoint(job);
      await takeCheckpoint(job);
      job.remove(2);
      return null;
    }
    default:
      return assertNever(work);
  }
}

try {
  writeSync(1, JSON.stringify(await run()));
} catch (error) {
  if (!(error instanceof CairnError)) throw error;
  writeSync(1, JSON.stringify({ code: error.code, message: error.message }));
}

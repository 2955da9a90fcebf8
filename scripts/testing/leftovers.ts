/**
 * Processes that a test file left behind. Every process that a test starts inherits an environment variable with the
 * identity of its file, and so does whatever Cairn restarts for it, so a scan of /proc finds them all, however often they
 * were orphaned. A process that cleared its environment is found as long as an ancestor of it is.
 */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { killIfAlive, taggedProcesses } from "../../test/harness/processes.ts";

export const FILE_VARIABLE = "CAIRN_TEST_FILE";

export interface Leftover {
  readonly pid: number;
  readonly command: string;
}

/** Processes in the middle of dying get a moment: an orphan is reaped by PID 1 in its own time. */
const PATIENCE_MS = 3_000;
const LOOK_EVERY_MS = 50;

/** Waits for the processes of `identity` to be gone, then kills those that are not, by pid, and returns them. */
export async function removeLeftovers(identity: string, patienceMs = PATIENCE_MS): Promise<Leftover[]> {
  const deadline = performance.now() + patienceMs;
  let left = processesOf(identity);
  while (left.length > 0 && performance.now() < deadline) {
    await pause(LOOK_EVERY_MS);
    left = processesOf(identity);
  }
  const found = new Map(left.map((leftover) => [leftover.pid, leftover]));
  // What is killed may have a keeper that starts no others, or children that come to light only now: look again.
  for (let pass = 0; pass < 20 && left.length > 0; pass += 1) {
    for (const { pid } of left) killIfAlive(pid);
    await pause(LOOK_EVERY_MS);
    left = processesOf(identity);
    for (const leftover of left) found.set(leftover.pid, leftover);
  }
  return [...found.values()];
}

/** Zombies have ended; whoever is to reap them may be slow. */
function processesOf(identity: string): Leftover[] {
  const living = taggedProcesses(identity, FILE_VARIABLE).filter(({ state }) => state !== "Z" && state !== "X");
  return living.map(({ pid, comm }) => ({ pid, command: commandLineOf(pid) || comm }));
}

/** Empty for a process that is gone. */
function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

/** What `run` and `restart` do alike once the job runs: stand by it, say how it ended, and end the same way. */
import { CairnError } from "../base/errors.ts";
import { decodeWaitStatus, signalName } from "../kernel/signals.ts";
import { isBeingRemoved } from "../supervisor/remove-job.ts";
import { tidyAfter } from "../supervisor/run-job.ts";
import { supervise } from "../supervisor/supervise.ts";
import type { JobEnd, Supervision } from "../supervisor/supervise.ts";
import { endLikeJob } from "./end-like-job.ts";
import { printError } from "./output.ts";

export interface ForegroundRun extends Omit<Supervision, "report"> {
  readonly quiet: boolean;
  /** A job without checkpoints that the user did not name is not kept. */
  readonly nameChosenByUser: boolean;
}

export function say(line: string): void {
  printError(`cairn: ${line}\n`);
}

export async function superviseToTheEnd(run: ForegroundRun): Promise<never> {
  const end = await supervise({ ...run, report: say });
  const farewell = farewellOf(run, end);
  if (farewell !== null && !run.quiet) say(farewell);
  run.relay.terminal.settle(end.stoppedAfter !== null || wasKilled(end));
  tidyAfter(run.job, run.nameChosenByUser);
  run.relay[Symbol.dispose]();
  return endLikeJob(end);
}

function wasKilled({ waitStatus }: JobEnd): boolean {
  return waitStatus !== null && decodeWaitStatus(waitStatus).kind === "signaled";
}

/** Nothing for a program that ended by itself: its own output has the last word. */
function farewellOf({ job }: ForegroundRun, { waitStatus, stoppedAfter }: JobEnd): string | null {
  if (stoppedAfter !== null)
    return `Job "${job.name}" was ended after checkpoint ${stoppedAfter}; cairn restart ${job.name} goes on from there`;
  const outcome = waitStatus === null ? null : decodeWaitStatus(waitStatus);
  if (outcome !== null && outcome.kind !== "signaled") return null;
  if (isBeingRemoved(job)) return `Job "${job.name}" was ended by cairn rm`;
  const newest = newestNumber(job);
  if (newest === null) return outcome === null ? `How job "${job.name}" ended was not seen: its keeper was killed` : null;
  const how = outcome === null ? "ended unseen, its keeper was killed" : `was ended by ${signalName(outcome.signal)}`;
  return `Job "${job.name}" ${how}; cairn restart ${job.name} goes on from checkpoint ${newest}`;
}

function newestNumber(job: Supervision["job"]): number | null {
  try {
    return job.newest()?.number ?? null;
  } catch (error) {
    if (error instanceof CairnError) return null;
    throw error;
  }
}

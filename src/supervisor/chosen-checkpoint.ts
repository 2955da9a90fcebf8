/** The checkpoint that `NAME` or `NAME@N` stands for. */
import { CairnError } from "../base/errors.ts";
import type { Job, WholeCheckpoint } from "../store/mod.ts";

/** `number` is null for the newest. Errors: `not-found`, `damaged` with the one to try. */
export function chosenCheckpoint(job: Job, number: number | null): WholeCheckpoint {
  if (number !== null) return job.checkpoint(number);
  const newest = job.newest();
  if (newest !== null) return newest;
  throw new CairnError("not-found", `Job "${job.name}" has no checkpoint`, {
    data: { job: job.name },
    hint: "Start the program again with cairn run, with --every DURATION to have checkpoints taken",
  });
}

/**
 * The supervisor carries a job through its life. A `Job` of the store runs under a keeper; `supervise` stands by it, taking checkpoints by the
 * clock and on request and letting signals through, until it ends; `restartJob` brings it back. What to do when is decided in pure
 * functions (interval-schedule, signal-policy); the rest asks the system and carries it out.
 *
 * The command line imports these files one by one instead: a short command then loads only what it needs.
 */
export { jobOfProcess } from "./attach-job.ts";
export { checkJob, checkProcess } from "./check-job.ts";
export type { Checked } from "./check-job.ts";
export { checkpointNow } from "./checkpoint-now.ts";
export { stateOf } from "./job-state.ts";
export type { JobState } from "./job-state.ts";
export { removeCheckpoint, removeJob } from "./remove-job.ts";
export { restartProblems } from "./restart-problems.ts";
export { resolveCommand } from "./resolve-command.ts";
export type { CommandSearch } from "./resolve-command.ts";
export { chosenCheckpoint } from "./chosen-checkpoint.ts";
export { restartJob } from "./restart-job.ts";
export type { Restarted, RestartRequest } from "./restart-job.ts";
export { createJobForRun, launchJob, tidyAfter } from "./run-job.ts";
export { SignalRelay } from "./signal-relay.ts";
export { supervise } from "./supervise.ts";
export type { JobEnd, Supervision } from "./supervise.ts";
export { verifyCheckpoint } from "./verify-checkpoint.ts";
export type { Verification } from "./verify-checkpoint.ts";
export { inheritanceFrom, inheritedDescriptors, lastArguments } from "./user-shell.ts";

/**
 * The store keeps jobs and their checkpoints. A `Job` has a name, a lock, and checkpoints with numbers; a `PendingCheckpoint`
 * is one being written, which `commit` turns into a `CheckpointRecord` by one rename. Readers need no lock and see only what is committed.
 */
export { parseCheckpointName } from "./job-names.ts";
export type { CheckpointName } from "./job-names.ts";
export { Job } from "./job.ts";
export type { JobRecord } from "./job.ts";
export type { CheckpointRecord, DamagedCheckpoint, WholeCheckpoint } from "./checkpoints.ts";
export { PendingCheckpoint } from "./pending-checkpoint.ts";
export type { CheckpointDetails } from "./pending-checkpoint.ts";
export type { HeldRecord, Manifest, RunRecord } from "./records.ts";
export { Store, openStore } from "./store.ts";
export type { NewJob, StoreOptions } from "./store.ts";

/** A checkpoint in one line, for tests of the store: the image is any file, the store doesn't look inside. */
import { writeFileSync } from "node:fs";
import { asPid } from "../../base/ids.ts";
import type { WholeCheckpoint } from "../checkpoints.ts";
import type { Job } from "../job.ts";
import type { CheckpointDetails } from "../pending-checkpoint.ts";
import type { RunRecord } from "../records.ts";

export function sampleDetails(imageBytes: number): CheckpointDetails {
  return {
    takenAt: "2026-01-02T03:04:05.678Z",
    trigger: "interval",
    pauseMs: 12.5,
    durationMs: 340,
    imageBytes,
    memoryBytes: 4096,
    processes: 1,
    threads: 2,
    mappings: 3,
    descriptors: 4,
    host: { kernelRelease: "6.18.0", hostName: "host", machine: "x86_64" },
    warnings: [],
  };
}

export function sampleRun(supervisorPid: number): RunRecord {
  return {
    keeperPid: asPid(10),
    keeperStartTime: 1000,
    rootPid: asPid(11),
    rootStartTime: 1001,
    supervisorPid: asPid(supervisorPid),
    supervisorStartTime: 999,
    bootId: "b0b0b0b0-0000-4000-8000-000000000001",
    startedAt: "2026-01-02T03:04:05.678Z",
  };
}

export function imageText(number: number): string {
  return `image ${number} `.repeat(100);
}

/** Precondition: the job's lock is held. */
export async function takeCheckpoint(job: Job): Promise<WholeCheckpoint> {
  await using pending = job.beginCheckpoint();
  const image = imageText(pending.number);
  writeFileSync(pending.imagePath, image, { mode: 0o600 });
  return await pending.commit(sampleDetails(image.length));
}

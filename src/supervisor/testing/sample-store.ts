/** A store with a job and a checkpoint of invented content, for tests that read and need no program to run. */
import { SAMPLE_PAGES, sampleMetadata } from "../../image/testing/sample.ts";
import { numberedPages, writeImage } from "../../image/testing/raw-image.ts";
import type { ImageMetadata } from "../../image/mod.ts";
import { openStore } from "../../store/mod.ts";
import type { Job, Manifest, Store, WholeCheckpoint } from "../../store/mod.ts";

export function sampleJob(directory: string, name = "lu"): { store: Store; job: Job } {
  const store = openStore({ directory });
  return { store, job: store.createJob({ name, argv: ["./solver", "input.dat"], cwd: "/tmp" }) };
}

export interface SampleOptions {
  readonly metadata?: ImageMetadata;
  readonly takenAt?: Date;
  readonly trigger?: Manifest["trigger"];
}

export async function addCheckpoint(job: Job, options: SampleOptions = {}): Promise<WholeCheckpoint> {
  using _lock = await job.lock(1000);
  const pending = job.beginCheckpoint();
  const imageBytes = await writeImage(pending.imagePath, numberedPages(SAMPLE_PAGES), options.metadata ?? sampleMetadata());
  return await pending.commit({
    takenAt: (options.takenAt ?? new Date()).toISOString(),
    trigger: options.trigger ?? "request",
    pauseMs: 14.2,
    durationMs: 71.9,
    imageBytes,
    memoryBytes: SAMPLE_PAGES * 4096,
    processes: 3,
    threads: 3,
    mappings: 10,
    descriptors: 30,
    host: { kernelRelease: "6.18.0", hostName: "host", machine: "x86_64" },
    warnings: [],
  });
}

/** Says whether a checkpoint is whole, byte for byte. */
import { CairnError } from "../base/errors.ts";
import { ImageReader } from "../image/mod.ts";
import type { Job } from "../store/mod.ts";

export interface Verification {
  /** Null when the manifest does not tell. */
  readonly imageBytes: number | null;
  readonly problem: string | null;
}

/** Errors: `not-found`, `permission`, `io`; damage is a result. */
export async function verifyCheckpoint(job: Job, number: number): Promise<Verification> {
  const record = job.checkpoints().find((candidate) => candidate.number === number);
  if (record?.kind === "damaged") return { imageBytes: null, problem: record.reason };
  const { imagePath, manifest } = job.checkpoint(number);
  try {
    using reader = ImageReader.open(imagePath);
    await reader.verifyData();
    return { imageBytes: manifest.imageBytes, problem: null };
  } catch (error) {
    if (!(error instanceof CairnError) || (error.code !== "damaged" && error.code !== "incompatible")) throw error;
    return { imageBytes: manifest.imageBytes, problem: error.message };
  }
}

/**
 * What would keep a checkpoint from being restarted here and now, as far as a glance tells: for listings. A restart itself looks
 * closer, and reads every byte (see restart-job.ts).
 */
import { CairnError } from "../base/errors.ts";
import { ImageReader } from "../image/mod.ts";
import type { ImageMetadata } from "../image/mod.ts";
import { compareAll } from "../restore/compare.ts";
import { clauseOf } from "../restore/problems.ts";
import type { CheckpointRecord } from "../store/mod.ts";

/** How many files a listing names; the rest is counted. */
const MAX_NAMED = 3;

/** Clauses that complete "it cannot be restarted: "; empty when nothing is known against it. */
export function restartProblems(checkpoint: CheckpointRecord): string[] {
  if (checkpoint.kind === "damaged") return [`damaged: ${checkpoint.reason}`];
  try {
    using reader = ImageReader.open(checkpoint.imagePath);
    return environmentProblems(reader.metadata);
  } catch (error) {
    if (error instanceof CairnError) return [error.message];
    throw error;
  }
}

function environmentProblems(metadata: ImageMetadata): string[] {
  // Pids may be freed, or kept in a namespace: no property of a checkpoint.
  const all = compareAll(metadata, { files: "rewind", pids: "namespace", tcp: "reset", held: null, takenUp: false }).problems.map(clauseOf);
  return all.length <= MAX_NAMED ? all : [...all.slice(0, MAX_NAMED), `and ${all.length - MAX_NAMED} more`];
}

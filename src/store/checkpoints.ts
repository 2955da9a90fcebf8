/**
 * The checkpoints of one job on disk:
 *
 *     checkpoints/7/{image,manifest.json}      committed: the rename to a number is the commit
 *     checkpoints/.partial-8-PID/              being written; without meaning once its writer is gone
 *     checkpoints/.removed-6-PID-random/       being deleted
 *     last-number                              the highest number that a removed checkpoint had
 *
 * Numbers are never given twice: the next is one above the highest of the committed ones and of `last-number`, which is written
 * before the removal that makes it necessary.
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { CairnError } from "../base/errors.ts";
import { errnoOf, moveDirectory, namesIn, removeTree, replaceFile, uniqueName } from "./durable.ts";
import { manifestSchema, readBounded, readRecord } from "./records.ts";
import type { Manifest } from "./records.ts";

interface Common {
  readonly number: number;
  readonly directory: string;
  readonly imagePath: string;
}

export interface WholeCheckpoint extends Common {
  readonly kind: "whole";
  readonly manifest: Manifest;
}

/** There is a committed checkpoint, but it can't be restarted as it is. */
export interface DamagedCheckpoint extends Common {
  readonly kind: "damaged";
  /** A clause that completes "is damaged: ". */
  readonly reason: string;
}

export type CheckpointRecord = WholeCheckpoint | DamagedCheckpoint;

export class CheckpointFolder {
  readonly directory: string;
  readonly #lastNumberPath: string;

  constructor(jobDirectory: string) {
    this.directory = join(jobDirectory, "checkpoints");
    this.#lastNumberPath = join(jobDirectory, "last-number");
  }

  numbers(): number[] {
    return namesIn(this.directory)
      .filter((name) => /^[1-9][0-9]{0,8}$/.test(name))
      .map(Number)
      .toSorted((a, b) => a - b);
  }

  /** In ascending order. Takes no lock: one that a removal renames under our eyes is left out. */
  readAll(): CheckpointRecord[] {
    return this.numbers()
      .map((number) => this.#read(number))
      .filter((record) => record.kind === "whole" || existsSync(record.directory));
  }

  #read(number: number): CheckpointRecord {
    const directory = join(this.directory, String(number));
    const common = { number, directory, imagePath: join(directory, "image") };
    const damagedBy = (reason: string): DamagedCheckpoint => ({ kind: "damaged", ...common, reason });
    const outcome = readRecord(join(directory, "manifest.json"), manifestSchema);
    if (outcome.kind === "missing") return damagedBy("its manifest.json is missing");
    if (outcome.kind === "broken") return damagedBy(`its manifest.json: ${outcome.reason}`);
    const manifest = outcome.value;
    if (manifest.number !== number) return damagedBy(`its manifest.json belongs to checkpoint ${manifest.number}`);
    const reason = imageProblem(common.imagePath, manifest.imageBytes);
    return reason === undefined ? { kind: "whole", ...common, manifest } : damagedBy(reason);
  }

  nextNumber(): number {
    return Math.max(0, this.#lastNumber(), ...this.numbers()) + 1;
  }

  /** Precondition: the job's lock is held. */
  remove(number: number): void {
    if (number > this.#lastNumber()) replaceFile(this.#lastNumberPath, `${number}\n`);
    const removed = join(this.directory, uniqueName(`.removed-${number}`));
    moveDirectory(join(this.directory, String(number)), removed);
    removeTree(removed);
  }

  /** Deletes what dead writers and removals left. Precondition: the job's lock is held, so nobody alive works on these. */
  sweep(): void {
    for (const name of namesIn(this.directory)) {
      if (name.startsWith(".partial-") || name.startsWith(".removed-")) removeTree(join(this.directory, name));
    }
  }

  /** A number that can't be read is passed over: to lose it costs at most that a removed checkpoint's number comes again. */
  #lastNumber(): number {
    try {
      const text = readBounded(this.#lastNumberPath, 64);
      return /^[1-9][0-9]{0,8}\n$/.test(text) ? Number(text) : 0;
    } catch {
      return 0;
    }
  }
}

/** What a glance at the image tells; its content is checked when it is opened. */
export function imageProblem(imagePath: string, imageBytes: number): string | undefined {
  try {
    const stat = statSync(imagePath);
    if (!stat.isFile()) return "its image is no regular file";
    return stat.size === imageBytes ? undefined : `its image has ${stat.size} instead of ${imageBytes} bytes`;
  } catch (error) {
    return errnoOf(error) === "ENOENT" ? "its image is missing" : `its image cannot be read (${errnoOf(error)})`;
  }
}

export function damagedCheckpoint(job: string, { number, reason }: DamagedCheckpoint, records: readonly CheckpointRecord[]): CairnError {
  const alternative = records.findLast(({ kind }) => kind === "whole");
  return new CairnError("damaged", `Checkpoint ${number} of job "${job}" is damaged: ${reason}`, {
    data: { job, number },
    hint: alternative === undefined ? "No other checkpoint of the job is whole" : `Try ${job}@${alternative.number}, the newest whole one`,
  });
}

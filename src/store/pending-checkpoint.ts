/**
 * A checkpoint that is being written. Its folder gets its number by one rename, after everything in it has reached the
 * disk: before that it doesn't exist for anybody else, after that it is whole.
 */
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { CairnError } from "../base/errors.ts";
import { imageProblem } from "./checkpoints.ts";
import type { CheckpointFolder, WholeCheckpoint } from "./checkpoints.ts";
import { makeDirectories, makeDirectory, moveDirectory, removeTree, syncDirectory, withContext, writeNewFile } from "./durable.ts";
import { encodeRecord, manifestSchema } from "./records.ts";
import type { Manifest } from "./records.ts";

/** The number is the store's to give. */
export type CheckpointDetails = Omit<Manifest, "number">;

export class PendingCheckpoint {
  readonly number: number;
  /** Without a number yet; gone after commit and abort. */
  readonly directory: string;
  /** Where the image is to be written. */
  readonly imagePath: string;
  readonly #job: string;
  readonly #folder: CheckpointFolder;
  #state: "open" | "failed" | "closed" = "open";

  /** Made by `Job.beginCheckpoint`. */
  constructor(job: string, folder: CheckpointFolder) {
    this.#job = job;
    this.#folder = folder;
    this.number = folder.nextNumber();
    this.directory = join(folder.directory, `.partial-${this.number}-${process.pid}`);
    this.imagePath = join(this.directory, "image");
    makeDirectories(folder.directory);
    makeDirectory(this.directory);
  }

  /** Whether `commit` or `abort` is still to come. */
  get isOpen(): boolean {
    return this.#state !== "closed";
  }

  /**
   * Precondition: the image is complete and synced (ImageWriter.finish), the job's lock is still held. After an error the
   * checkpoint is to be aborted; one that fails in the very last step, the folder's fsync, stays listed, and is whole.
   */
  async commit(details: CheckpointDetails): Promise<WholeCheckpoint> {
    assert(this.#state === "open", `checkpoint ${this.number} cannot be committed any more`);
    this.#state = "failed";
    const manifest: Manifest = { ...details, number: this.number };
    const text = encodeRecord(manifestSchema, manifest);
    const problem = imageProblem(this.imagePath, manifest.imageBytes);
    if (problem !== undefined) throw new CairnError("damaged", `Cannot commit checkpoint ${this.number} of job "${this.#job}": ${problem}`);

    const directory = join(this.#folder.directory, String(this.number));
    withContext(`commit checkpoint ${this.number} of job "${this.#job}"`, () => {
      writeNewFile(join(this.directory, "manifest.json"), text);
      syncDirectory(this.directory);
      moveDirectory(this.directory, directory);
    });
    this.#state = "closed";
    return { kind: "whole", number: this.number, directory, imagePath: join(directory, "image"), manifest };
  }

  /** Removes what was written. Does nothing after a commit. */
  async abort(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    withContext(`remove the unfinished checkpoint ${this.number} of job "${this.#job}"`, () => removeTree(this.directory));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }
}

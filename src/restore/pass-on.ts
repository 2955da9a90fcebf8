/**
 * Descriptors that the first puppet gets and every process inherits, at numbers above all that the job uses. Each process
 * then duplicates what it needs to its own numbers and closes the rest: whoever shares an open file description gets the same.
 */
import { closeSync } from "node:fs";
import { assert } from "../base/assert.ts";
import type { Fd } from "../base/ids.ts";
import type { ImageMetadata } from "../image/mod.ts";

/** Descriptors that this process has besides those of a restart, and some room. */
const OWN_DESCRIPTORS = 256;

export class PassedOn implements Disposable {
  readonly base: number;
  readonly #from: Fd[] = [];
  readonly #owned = new Set<Fd>();
  readonly #untilMapped = new Set<Fd>();

  constructor(metadata: ImageMetadata) {
    // Above the job's own numbers, and above all that we open here: the first puppet's are duplicated one after the
    // other, and none may land on one that is still to be duplicated.
    const names = new Set<string>();
    let highest = 0;
    for (const { alive } of metadata.processes) {
      for (const { fd } of alive?.descriptors ?? []) highest = Math.max(highest, fd);
      for (const { file } of alive?.mappings ?? []) if (file !== undefined) names.add(JSON.stringify(file.name));
    }
    const opened =
      2 * (metadata.openFiles.length + metadata.pipes.length + metadata.ptys.length + names.size) +
      2 * metadata.sharedMemory.length +
      metadata.savedFiles.length +
      (metadata.messageQueues?.length ?? 0);
    this.base = Math.max(highest, opened + metadata.processes.length + OWN_DESCRIPTORS) + 1;
  }

  /** The number under which every puppet has `fd`. Closed here when the restart is over. */
  add(fd: Fd): number {
    this.#owned.add(fd);
    return this.addBorrowed(fd);
  }

  /** The number of a file of ours that is needed only as long as memory is being made. */
  addUntilMapped(fd: Fd): number {
    this.#untilMapped.add(fd);
    return this.addBorrowed(fd);
  }

  /** Nobody else has these files open any more: that they are closed is seen by those who watch them. */
  closeMapped(): void {
    for (const fd of this.#untilMapped) closeSync(fd);
    this.#untilMapped.clear();
  }

  /** A descriptor that is not passed on, closed here when the restart is over. */
  keep(fd: Fd): Fd {
    this.#owned.add(fd);
    return fd;
  }

  /** The number of a descriptor that stays ours. */
  addBorrowed(fd: Fd): number {
    assert(fd < this.base, `descriptor ${fd} of the restart lies among those that are passed on`);
    this.#from.push(fd);
    return this.base + this.#from.length - 1;
  }

  get count(): number {
    return this.#from.length;
  }

  list(): { readonly from: number; readonly to: number }[] {
    return this.#from.map((from, index) => ({ from, to: this.base + index }));
  }

  [Symbol.dispose](): void {
    this.closeMapped();
    for (const fd of this.#owned) closeSync(fd);
    this.#owned.clear();
  }
}

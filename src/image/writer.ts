/**
 * Writes an image: pages stream through a few aligned buffers to the disk, checksummed as they pass; metadata and header come last.
 *
 *     await using writer = await ImageWriter.create(path);
 *     const firstPage = await writer.append(pages);      // copies
 *     const window = await writer.acquire();             // or without a copy: read into the window ...
 *     const page = writer.submit(lengthBytes);           // ... and say how much of it is filled
 *     await writer.finish(metadata);                     // or abort(), which the end of the scope does otherwise
 *
 * Invariants:
 * - pages lie in the data section in the order in which they were given, without gaps;
 * - a buffer belongs to the caller (as a window), to a write under way, or to nobody;
 * - after a failure nothing more is written: every later call throws the first error, after an abort `interrupted`;
 * - the header is written after all else has reached the disk, so an image with a header is complete even if the power failed.
 */
import { createHash } from "node:crypto";
import { unlink } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";
import { CairnError } from "../base/errors.ts";
import { alignedBuffer } from "../kernel/memory-ffi.ts";
import { CHECKSUM_BLOCK_BYTES, MACHINE_X86_64, MAX_DATA_BYTES, PAGE_BYTES, encodeHeader, layoutOf } from "./header.ts";
import { encodeMetadata } from "./metadata.ts";
import { OutputFile, explainFullDisk, isErrno } from "./output-file.ts";
import type { ImageMetadata } from "./schema.ts";

/** Enough to keep a disk busy while the next buffer is filled; more only costs memory. */
const BUFFERS = 4;

type State = "open" | "finishing" | "finished" | "aborted";

/** Refuses everything after an abort, which may come from elsewhere while pages are being written. */
function givenUp(path: string): CairnError {
  return new CairnError("interrupted", `Image ${path} was given up before it was complete`, { data: { path } });
}

export class ImageWriter {
  readonly path: string;
  readonly #file: OutputFile;
  #state: State = "open";
  #failure: Error | undefined;

  readonly #free: Buffer[] = Array.from({ length: BUFFERS }, () => alignedBuffer(CHECKSUM_BLOCK_BYTES, PAGE_BYTES));
  readonly #underWay = new Set<Promise<void>>();
  /** The buffer being filled: how far, and whether the caller holds the rest of it as a window. */
  #current: Buffer | undefined;
  #filledBytes = 0;
  #windowOut = false;
  /** Appends wait for one another, so that the pages of each lie together. */
  #turn: Promise<unknown> = Promise.resolve();

  #dataBytes = 0;
  #checksums: number[] = [];
  #expectedBytes = 0;

  #finishing: Promise<unknown> = Promise.resolve();
  #aborting: Promise<void> | undefined;

  private constructor(file: OutputFile) {
    this.path = file.path;
    this.#file = file;
  }

  /** Makes the file, 0600 whatever the umask. Errors: `conflict` when it exists, `io`. */
  static async create(path: string): Promise<ImageWriter> {
    return new ImageWriter(await OutputFile.create(path));
  }

  /** Pages given so far: the index that the next page gets. */
  get pages(): number {
    return this.#dataBytes / PAGE_BYTES;
  }

  /** How long the data section is going to be, as far as the caller knows: said to the user when the disk is full. */
  expectBytes(dataBytes: number): void {
    this.#expectedBytes = dataBytes;
  }

  /**
   * Copies pages into the image. `pages.length` is a multiple of 4096. Resolves to the index of the first page once all are copied, so that
   * the caller may use its buffer again; waits while all buffers are on their way to the disk.
   */
  append(pages: Uint8Array): Promise<number> {
    const appended = this.#turn.then(() => this.#append(pages));
    this.#turn = appended.catch(() => undefined);
    return appended;
  }

  async #append(pages: Uint8Array): Promise<number> {
    assert(pages.length % PAGE_BYTES === 0, `${pages.length} bytes are not whole pages`);
    this.#checkOpen();
    const firstPage = this.pages;
    let done = 0;
    while (done < pages.length) {
      const window = await this.acquire();
      const part = pages.subarray(done, done + window.length);
      window.set(part);
      this.submit(part.length);
      done += part.length;
    }
    return firstPage;
  }

  /**
   * Lends the free part of the current buffer: page-aligned in memory, 4096 bytes to 1 MiB long, a multiple of 4096. It is the
   * caller's until `submit`. Precondition: no other window is out and no append is under way.
   */
  async acquire(): Promise<Buffer> {
    this.#checkOpen();
    assert(!this.#windowOut, "a window of the image's writer is out already");
    this.#windowOut = true;
    try {
      this.#current ??= await this.#freeBuffer();
    } catch (cause) {
      this.#windowOut = false;
      throw cause;
    }
    return this.#current.subarray(this.#filledBytes);
  }

  /**
   * Takes the window back: its first `lengthBytes` (a multiple of 4096, 0 for none) are the next pages of the image.
   * Returns the index of the first of them.
   */
  submit(lengthBytes: number): number {
    assert(this.#windowOut && this.#current !== undefined, "no window of the image's writer is out");
    assert(lengthBytes >= 0 && lengthBytes % PAGE_BYTES === 0, `${lengthBytes} bytes are not whole pages`);
    assert(this.#filledBytes + lengthBytes <= CHECKSUM_BLOCK_BYTES, "more was submitted than the window holds");
    assert(this.#dataBytes + lengthBytes <= MAX_DATA_BYTES, "the image is too long");
    this.#checkNotAborted();
    this.#windowOut = false;
    const firstPage = this.pages;
    this.#filledBytes += lengthBytes;
    this.#dataBytes += lengthBytes;
    if (this.#filledBytes === CHECKSUM_BLOCK_BYTES) this.#flush();
    return firstPage;
  }

  /** Hands the current buffer to the disk. A failure is kept for the next call. */
  #flush(): void {
    const buffer = this.#current;
    if (buffer === undefined || this.#filledBytes === 0) return;
    assert(this.#state !== "aborted", "nothing is written after an abort");
    const bytes = buffer.subarray(0, this.#filledBytes);
    const offsetBytes = PAGE_BYTES + this.#dataBytes - bytes.length;
    this.#current = undefined;
    this.#filledBytes = 0;
    this.#checksums.push(crc32(bytes));

    const write = this.#file.write(bytes, offsetBytes).then(
      () => {
        this.#free.push(buffer);
      },
      (cause: unknown) => {
        this.#failure ??= this.#explain(cause);
      },
    );
    const settled: Promise<void> = write.finally(() => this.#underWay.delete(settled));
    this.#underWay.add(settled);
  }

  async #freeBuffer(): Promise<Buffer> {
    for (;;) {
      this.#checkOpen();
      const buffer = this.#free.pop();
      if (buffer !== undefined) return buffer;
      assert(this.#underWay.size > 0, "the image's writer has lost its buffers");
      await Promise.race(this.#underWay);
    }
  }

  /**
   * Completes the image: metadata, checksums, then the header, all on the disk when this resolves. The metadata are
   * decoded and compared before anything is written; the file is closed. It is not committed: see the store.
   */
  async finish(metadata: ImageMetadata): Promise<{ imageBytes: number }> {
    await this.#turn;
    this.#checkOpen();
    assert(!this.#windowOut, "a window of the image's writer is still out");
    this.#state = "finishing";
    const finished = this.#finish(metadata);
    this.#finishing = finished.catch(() => undefined);
    return finished;
  }

  async #finish(metadata: ImageMetadata): Promise<{ imageBytes: number }> {
    try {
      const encoded = encodeMetadata(metadata, this.pages);
      this.#flush();
      await Promise.all(this.#underWay);
      this.#throwFailure();
      const imageBytes = await this.#writeTail(encoded);
      this.#checkNotAborted();
      this.#state = "finished";
      await this.#file.close();
      return { imageBytes };
    } catch (cause) {
      this.#failure ??= this.#explain(cause);
      throw this.#failure;
    }
  }

  async #writeTail(metadata: Buffer): Promise<number> {
    const layout = layoutOf(this.#dataBytes, metadata.length);
    assert(layout.tableBytes === 4 * this.#checksums.length, "there is a checksum for every block");
    const tail = alignedBuffer(layout.imageBytes - layout.tableOffset, PAGE_BYTES);
    this.#checksums.forEach((checksum, index) => tail.writeUInt32LE(checksum, 4 * index));
    metadata.copy(tail, layout.metadataOffset - layout.tableOffset);
    this.#checkNotAborted();
    await this.#file.write(tail, layout.tableOffset);
    await this.#file.sync();
    this.#checkNotAborted();

    const header = encodeHeader(
      {
        machine: MACHINE_X86_64,
        dataBytes: this.#dataBytes,
        metadataBytes: metadata.length,
        metadataSha256: createHash("sha256").update(metadata).digest(),
        tableCrc32: crc32(tail.subarray(0, layout.tableBytes)),
      },
      alignedBuffer(PAGE_BYTES, PAGE_BYTES),
    );
    await this.#file.write(header, 0);
    await this.#file.sync();
    return layout.imageBytes;
  }

  /**
   * Closes and removes the file; may come at any time, also while another call is under way, which then fails as `interrupted`.
   * Does nothing after `finish`.
   */
  abort(): Promise<void> {
    if (this.#state === "finished") return Promise.resolve();
    this.#state = "aborted";
    this.#aborting ??= this.#abort();
    return this.#aborting;
  }

  async #abort(): Promise<void> {
    await this.#finishing;
    await Promise.all(this.#underWay);
    await this.#file.close();
    try {
      await unlink(this.path);
    } catch (cause) {
      // Its folder may have been removed with it.
      if (!isErrno(cause, "ENOENT")) throw cause;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  #checkOpen(): void {
    this.#checkNotAborted();
    this.#throwFailure();
    assert(this.#state === "open", `the image's writer is ${this.#state}`);
  }

  #checkNotAborted(): void {
    if (this.#state === "aborted") throw givenUp(this.path);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #explain(cause: unknown): Error {
    const known = Math.max(this.#dataBytes, this.#expectedBytes);
    return explainFullDisk(cause, known, this.#expectedBytes >= this.#dataBytes && this.#expectedBytes > 0);
  }
}

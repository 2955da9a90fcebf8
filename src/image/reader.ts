/**
 * Reads an image. Opening checks header, checksum table and metadata, which is enough to list and show it; the
 * pages are checked by `verifyData`, which reads them all.
 */
import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";
import { alignUp } from "../base/bytes.ts";
import { CairnError } from "../base/errors.ts";
import { asFd } from "../base/ids.ts";
import type { Fd } from "../base/ids.ts";
import { PAGE_BYTES, damaged, decodeHeader, layoutOf } from "./header.ts";
import type { Header } from "./header.ts";
import { decodeMetadata } from "./metadata.ts";
import type { ImageMetadata } from "./schema.ts";
import { verifyBlocks } from "./verify.ts";
import type { VerifyProgress } from "./verify.ts";

const { O_NOCTTY, O_NONBLOCK, O_RDONLY } = constants;

interface Opened {
  readonly header: Header;
  readonly metadata: ImageMetadata;
  readonly checksums: Uint32Array;
}

export class ImageReader {
  readonly path: string;
  #metadata: ImageMetadata;
  /** Of the whole file. */
  readonly imageBytes: number;
  /** Where page 0 of the data section lies in the file; a multiple of 4096, so that pages can be mapped. */
  readonly dataOffsetBytes: number;
  readonly dataPages: number;
  readonly #checksums: Uint32Array;
  #fd: Fd | undefined;

  private constructor(path: string, fd: Fd, opened: Opened) {
    const layout = layoutOf(opened.header.dataBytes, opened.header.metadataBytes);
    this.path = path;
    this.#metadata = opened.metadata;
    this.imageBytes = layout.imageBytes;
    this.dataOffsetBytes = layout.dataOffset;
    this.dataPages = opened.header.dataBytes / PAGE_BYTES;
    this.#checksums = opened.checksums;
    this.#fd = fd;
  }

  /** Errors: `not-found`, `damaged`, `incompatible`, `permission`, `io`. */
  static open(path: string): ImageReader {
    const fd = openImage(path);
    try {
      return new ImageReader(path, fd, readChecked(fd, path));
    } catch (cause) {
      closeSync(fd);
      throw cause;
    }
  }

  get metadata(): ImageMetadata {
    return this.#metadata;
  }

  /** From here on the image says this: for a restart where paths lie elsewhere. Page runs have to stay as they are. */
  amendMetadata(amended: ImageMetadata): void {
    this.#metadata = amended;
  }

  /** Open for reading, close-on-exec; valid until the reader is disposed of. */
  get fd(): Fd {
    assert(this.#fd !== undefined, "the image's reader is closed");
    return this.#fd;
  }

  /**
   * Reads pages of the data section, into the head of `into` if that is given (at least as long). They are not checked
   * against their checksums. Precondition: they lie inside the section. Errors: `io`, `damaged`.
   */
  readPages(startPage: number, count: number, into: Uint8Array = Buffer.allocUnsafe(count * PAGE_BYTES)): Uint8Array {
    assert(
      startPage >= 0 && count >= 0 && startPage + count <= this.dataPages,
      `the image has no pages ${startPage} to ${startPage + count}`,
    );
    assert(into.length >= count * PAGE_BYTES, "the buffer is too short for the pages");
    const target = into.subarray(0, count * PAGE_BYTES);
    readExactly(this.fd, target, this.dataOffsetBytes + startPage * PAGE_BYTES, this.path);
    return target;
  }

  /** Reads the whole data section against its checksums, in bounded memory. Errors: `damaged`, naming what is hit; `io`. */
  async verifyData(onProgress?: VerifyProgress): Promise<void> {
    await verifyBlocks(
      {
        fd: this.fd,
        path: this.path,
        dataOffsetBytes: this.dataOffsetBytes,
        dataBytes: this.dataPages * PAGE_BYTES,
        checksums: this.#checksums,
        metadata: this.metadata,
      },
      onProgress,
    );
  }

  [Symbol.dispose](): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }
}

function openImage(path: string): Fd {
  try {
    // O_NONBLOCK: a FIFO in the image's place must not make us wait for a writer.
    return asFd(openSync(path, O_RDONLY | O_NOCTTY | O_NONBLOCK));
  } catch (cause) {
    const errno = cause instanceof Error && "code" in cause ? cause.code : "";
    if (errno === "ENOENT" || errno === "ENOTDIR")
      throw new CairnError("not-found", `There is no image ${path}`, { data: { path }, cause });
    if (errno === "EACCES" || errno === "EPERM") {
      throw new CairnError("permission", `Cannot read image ${path}: it belongs to another user`, { data: { path }, cause });
    }
    throw new CairnError("io", `Cannot open image ${path}: ${String(errno)}`, { data: { path }, cause });
  }
}

function readChecked(fd: Fd, path: string): Opened {
  const stat = fstatSync(fd);
  if (!stat.isFile()) throw new CairnError("damaged", `${path} is not an image: it is no regular file`, { data: { path } });
  const page = Buffer.alloc(Math.min(PAGE_BYTES, stat.size));
  readExactly(fd, page, 0, path);
  const header = decodeHeader(page, stat.size, path);
  const layout = layoutOf(header.dataBytes, header.metadataBytes);

  const table = readPadded(fd, layout.tableOffset, layout.tableBytes, path);
  if (crc32(table) !== header.tableCrc32) throw damaged(path, "its table of checksums fails its own");
  const bytes = readPadded(fd, layout.metadataOffset, header.metadataBytes, path);
  if (!createHash("sha256").update(bytes).digest().equals(header.metadataSha256)) throw damaged(path, "its metadata fail their checksum");

  const checksums = Uint32Array.from({ length: table.length / 4 }, (_, index) => table.readUInt32LE(4 * index));
  try {
    return { header, metadata: decodeMetadata(bytes, header.dataBytes / PAGE_BYTES), checksums };
  } catch (cause) {
    if (cause instanceof CairnError) throw damaged(path, cause.message, { cause });
    throw cause;
  }
}

/** Reads a section with the zeros that fill its last page: nothing in the file is left unchecked. */
function readPadded(fd: Fd, offsetBytes: number, lengthBytes: number, path: string): Buffer {
  const padded = Buffer.alloc(alignUp(lengthBytes, PAGE_BYTES));
  readExactly(fd, padded, offsetBytes, path);
  if (padded.subarray(lengthBytes).some((byte) => byte !== 0)) throw damaged(path, "a gap in it is not zero");
  return padded.subarray(0, lengthBytes);
}

function readExactly(fd: Fd, target: Uint8Array, offsetBytes: number, path: string): void {
  let done = 0;
  while (done < target.length) {
    let count: number;
    try {
      count = readSync(fd, target, done, target.length - done, offsetBytes + done);
    } catch (cause) {
      throw new CairnError("io", `Cannot read image ${path}`, { data: { path, offsetBytes }, hint: "Check the disk", cause });
    }
    if (count === 0) throw damaged(path, `it ends before byte ${offsetBytes + target.length}`);
    done += count;
  }
}

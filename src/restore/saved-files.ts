/** Contents of files and shared memory that are in the image: written to a file, or compared with it. */
import { ftruncateSync, readSync, writeSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import type { ImageReader, PageRun } from "../image/mod.ts";

const PAGE_BYTES = 4096;
const BATCH_PAGES = 256;

/** Writes saved pages; what lies between is a hole. `what` is said when there is no room for them. */
export function writeRuns(reader: ImageReader, fd: Fd, runs: readonly PageRun[], sizeBytes: number, what: string): void {
  try {
    writePages(reader, fd, runs, sizeBytes);
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (error instanceof CairnError || code === undefined || syscall === undefined) throw error;
    const isFull = code === "ENOSPC" || code === "EDQUOT";
    throw new CairnError("io", `Cannot restart: the saved content of ${what} cannot be written: ${isFull ? "no space is left" : code}`, {
      hint: isFull ? "Make room and try again" : "Check the disk and the limits of this user (ulimit -f), then try again",
      cause: error,
    });
  }
}

function writePages(reader: ImageReader, fd: Fd, runs: readonly PageRun[], sizeBytes: number): void {
  ftruncateSync(fd, sizeBytes);
  for (const [page, count, at] of runs) {
    for (let done = 0; done < count; done += BATCH_PAGES) {
      const pages = Math.min(BATCH_PAGES, count - done);
      const bytes = reader.readPages(at + done, pages);
      const offset = (page + done) * PAGE_BYTES;
      const length = Math.min(bytes.length, sizeBytes - offset);
      let written = 0;
      while (written < length) written += writeSync(fd, bytes, written, length - written, offset + written);
    }
  }
}

const zeros = Buffer.alloc(BATCH_PAGES * PAGE_BYTES);

/** Whether a file of that size has the saved pages, and zeros between them. */
export function hasRuns(reader: ImageReader, fd: Fd, runs: readonly PageRun[], sizeBytes: number): boolean {
  const present = Buffer.alloc(BATCH_PAGES * PAGE_BYTES);
  const isThere = (firstPage: number, count: number, wanted: (done: number, pages: number) => Uint8Array): boolean => {
    for (let done = 0; done < count; done += BATCH_PAGES) {
      const pages = Math.min(BATCH_PAGES, count - done);
      const offset = (firstPage + done) * PAGE_BYTES;
      const length = Math.max(0, Math.min(pages * PAGE_BYTES, sizeBytes - offset));
      for (let got = 0; got < length;) {
        const more = readSync(fd, present, got, length - got, offset + got);
        if (more === 0) return false;
        got += more;
      }
      if (present.compare(wanted(done, pages), 0, length, 0, length) !== 0) return false;
    }
    return true;
  };
  let next = 0;
  for (const [page, count, at] of [...runs, [Math.ceil(sizeBytes / PAGE_BYTES), 0, 0] as const]) {
    if (!isThere(next, page - next, () => zeros)) return false;
    if (!isThere(page, count, (done, pages) => reader.readPages(at + done, pages))) return false;
    next = page + count;
  }
  return true;
}

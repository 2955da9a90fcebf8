/** Contents of files that go into the image: removed files, and files that no truncation could take back. */
import { closeSync, openSync, readSync } from "node:fs";
import type { Fd, Pid } from "../base/ids.ts";
import type { FileIdentity, ImageWriter, PageRun } from "../image/mod.ts";
import { SEEK_DATA, SEEK_HOLE, duplicateFrom, openProcess, trySeek } from "../kernel/descriptors.ts";
import { addRun } from "./pages.ts";

const PAGE_BYTES = 4096;

/**
 * Copies a file's data (holes left out) into the image. `path` may be a link of /proc/PID/fd. Where a descriptor of the job's is given,
 * which must be open for reading, it is read through that.
 */
export async function saveFile(
  writer: ImageWriter,
  path: string | Buffer,
  identity: FileIdentity,
  through: { readonly pid: Pid; readonly fd: number } | null = null,
): Promise<PageRun[]> {
  if (through !== null) {
    using process = openProcess(through.pid);
    using own = duplicateFrom(process, through.pid, through.fd);
    // Its position is the job's: holes can't be asked for without moving it.
    return await savePages(writer, own.fd, identity.sizeBytes, false);
  }
  const fd = openSync(path, "r") as Fd;
  try {
    return await savePages(writer, fd, identity.sizeBytes, true);
  } finally {
    closeSync(fd);
  }
}

async function savePages(writer: ImageWriter, fd: Fd, sizeBytes: number, askForHoles: boolean): Promise<PageRun[]> {
  const runs: PageRun[] = [];
  let at = 0;
  while (at < sizeBytes) {
    // A file system that does not know of holes has data everywhere.
    const data = askForHoles ? trySeek(fd, at, SEEK_DATA) : at;
    if (data < 0) break;
    const hole = askForHoles ? trySeek(fd, data, SEEK_HOLE) : sizeBytes;
    const end = Math.min(hole < 0 ? sizeBytes : hole, sizeBytes);
    let from = data - (data % PAGE_BYTES);
    while (from < end) {
      const window = await writer.acquire();
      const wanted = Math.min(window.length, Math.ceil((end - from) / PAGE_BYTES) * PAGE_BYTES);
      let got = 0;
      while (got < wanted) {
        const count = readSync(fd, window, got, Math.min(wanted, sizeBytes - from) - got, from + got);
        if (count === 0) break;
        got += count;
        if (from + got >= sizeBytes) break;
      }
      const pages = Math.ceil(got / PAGE_BYTES);
      window.fill(0, got, pages * PAGE_BYTES);
      const page = writer.submit(pages * PAGE_BYTES);
      if (pages === 0) break;
      addRun(runs, from / PAGE_BYTES, pages, page);
      from += pages * PAGE_BYTES;
    }
    at = Math.max(end, at + PAGE_BYTES);
  }
  return runs;
}

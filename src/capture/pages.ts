/**
 * Page contents on their way into the image: from a process (the job's own while it is frozen, or its snapshot after),
 * straight into the writer's buffers.
 */
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Pid, RemoteAddress } from "../base/ids.ts";
import { asRemoteAddress } from "../base/ids.ts";
import type { ImageWriter, PageRun } from "../image/mod.ts";
import type { PageRange } from "../kernel/pagemap.ts";
import { readRemote } from "../kernel/remote-memory.ts";
import type { RemoteMemoryFile } from "../kernel/remote-memory.ts";

const PAGE_BYTES = 4096;
const PAGE = BigInt(PAGE_BYTES);

/** Appends `[page, count, at]` to runs, joined to the last one where both sides go on without a gap. */
export function addRun(runs: PageRun[], page: number, count: number, at: number): void {
  const last = runs.at(-1);
  if (last !== undefined && last[0] + last[1] === page && last[2] + last[1] === at) {
    runs[runs.length - 1] = [last[0], last[1] + count, last[2]];
  } else {
    runs.push([page, count, at]);
  }
}

/** Reads into a buffer; the bytes read, whole pages; 0 when the first page can't be read. */
export type PageReader = (address: RemoteAddress, into: Uint8Array) => number;

/** Reads what the process itself may read. */
export function readableMemory(pid: Pid): PageReader {
  return (address, into) => {
    try {
      const count = readRemote(pid, address, into);
      return count - (count % PAGE_BYTES);
    } catch (error) {
      if (error instanceof SyscallError && (error.errnoName === "EFAULT" || error.errnoName === "EIO")) return 0;
      throw error;
    }
  };
}

/** Reads also what is protected from reading: memory that a program hides from itself has content all the same. */
export function hiddenMemory(file: RemoteMemoryFile): PageReader {
  return (address, into) => {
    const count = file.readInto(address, into);
    return count - (count % PAGE_BYTES);
  };
}

/**
 * Writes ranges of pages that lie in the mapping at `base`. `mayBeMissing`: a page that can't be read (behind the end of a
 * file) is left out; otherwise it is an error, for the page map says that it is there. Errors: ProcessGone, those of the writer.
 */
export async function writePages(
  writer: ImageWriter,
  read: PageReader,
  base: bigint,
  ranges: readonly PageRange[],
  mayBeMissing: boolean,
): Promise<PageRun[]> {
  const runs: PageRun[] = [];
  for (const range of ranges) {
    let address = range.start;
    const end = range.start + BigInt(range.count) * PAGE;
    while (address < end) {
      const window = await writer.acquire();
      const wanted = Math.min(window.length, Number(end - address));
      let got = 0;
      let at = 0;
      try {
        got = read(asRemoteAddress(address), window.subarray(0, wanted));
      } finally {
        at = writer.submit(got);
      }
      if (got > 0) addRun(runs, Number((address - base) / PAGE), got / PAGE_BYTES, at);
      address += BigInt(got);
      if (got === wanted) continue;
      if (got === 0) {
        if (!mayBeMissing)
          throw new CairnError("io", `Cannot read the job's memory at 0x${address.toString(16)}, which holds data`, {
            data: { address: address.toString(16) },
          });
        address += PAGE;
      }
    }
  }
  return runs;
}

const zeroPage = Buffer.alloc(PAGE_BYTES);

/** Writes bytes of ours as pages, zero pages left out; the last page is filled up with zeros. */
export async function writeBytes(writer: ImageWriter, bytes: Buffer, firstPage: number): Promise<PageRun[]> {
  const runs: PageRun[] = [];
  for (let from = 0; from < bytes.length; from += PAGE_BYTES) {
    let page = bytes.subarray(from, from + PAGE_BYTES);
    if (page.length < PAGE_BYTES) page = Buffer.concat([page], PAGE_BYTES);
    if (page.equals(zeroPage)) continue;
    addRun(runs, firstPage + from / PAGE_BYTES, 1, await writer.append(page));
  }
  return runs;
}

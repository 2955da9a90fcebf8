/**
 * Contents of System V segments: attached for reading by a process of ours, so that segments are read alike whether the
 * job has them attached or not. Pages that nobody ever touched are left out: reading them would make them.
 */
import { closeSync, openSync } from "node:fs";
import type { Fd, Pid } from "../base/ids.ts";
import type { ImageWriter, PageRun } from "../image/mod.ts";
import { SEEK_DATA, SEEK_HOLE, trySeek } from "../kernel/descriptors.ts";
import type { PageRange } from "../kernel/pagemap.ts";
import { AttachedSegment, swappedPages } from "../kernel/sysv-ipc.ts";
import type { IpcCalls, SegmentStatus } from "../kernel/sysv-ipc.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { readableMemory, writePages } from "./pages.ts";

const PAGE_BYTES = 4096;
const IS_RESIDENT = 1;
/** Pages that one mincore(2) is asked about: a byte each. */
const ASKED_PAGES = 65536;

/** Precondition: the job is frozen. Errors: SyscallError (`permission`) where this user may not read the segment. */
export async function saveSegment(writer: ImageWriter, calls: IpcCalls, { id, sizeBytes }: SegmentStatus): Promise<PageRun[]> {
  using attached = new AttachedSegment(calls, id);
  const pages = Math.ceil(sizeBytes / PAGE_BYTES);
  const whole = [{ start: attached.address, count: pages }];
  // Awaited here: the attachment has to last as long as it is read.
  const touched = asFile(calls.pid, attached.address, pages) ?? asMemory(calls, attached.address, pages) ?? whole;
  return await writePages(writer, readableMemory(calls.pid), attached.address, touched, false);
}

/** As the segment's file tells it: exact, but open to root alone. */
function asFile(pid: Pid, address: bigint, pages: number): PageRange[] | null {
  const end = address + BigInt(pages * PAGE_BYTES);
  let fd: Fd;
  try {
    fd = openSync(`/proc/${pid}/map_files/${address.toString(16)}-${end.toString(16)}`, "r") as Fd;
  } catch {
    return null;
  }
  try {
    const ranges: PageRange[] = [];
    for (let at = 0; at < pages * PAGE_BYTES;) {
      const data = trySeek(fd, at, SEEK_DATA);
      if (data < 0) break;
      const hole = trySeek(fd, data, SEEK_HOLE);
      const first = Math.floor(data / PAGE_BYTES);
      const last = hole < 0 ? pages : Math.ceil(hole / PAGE_BYTES);
      ranges.push({ start: address + BigInt(first * PAGE_BYTES), count: last - first });
      at = last * PAGE_BYTES;
    }
    return ranges;
  } finally {
    closeSync(fd);
  }
}

/**
 * As mincore(2) tells it: every page in memory, whoever touched it. A page in swap looks as if it had never been there, so
 * this answers nothing (null) where any segment of the namespace is swapped out in part.
 */
function asMemory(calls: IpcCalls, address: bigint, pages: number): PageRange[] | null {
  const ranges: PageRange[] = [];
  if (swappedPages(calls) !== 0n) return null;
  for (let done = 0; done < pages; done += ASKED_PAGES) {
    const count = Math.min(ASKED_PAGES, pages - done);
    const from = address + BigInt(done * PAGE_BYTES);
    const resident = Buffer.alloc(Math.max(64, count));
    if (calls.call(SYSCALLS.mincore, from, count * PAGE_BYTES, resident) < 0) return null;
    for (let page = 0; page < count;) {
      let end = page;
      while (end < count && (resident.readUInt8(end) & IS_RESIDENT) !== 0) end += 1;
      if (end > page) ranges.push({ start: from + BigInt(page * PAGE_BYTES), count: end - page });
      page = Math.max(end, page + 1);
    }
  }
  return swappedPages(calls) === 0n ? ranges : null;
}

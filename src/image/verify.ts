/** Checks the data section against its checksums, and says in terms of the job what a damaged block belongs to. */
import { read } from "node:fs";
import { promisify } from "node:util";
import { crc32 } from "node:zlib";
import { CairnError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { alignedBuffer } from "../kernel/memory-ffi.ts";
import { CHECKSUM_BLOCK_BYTES, PAGE_BYTES, damaged } from "./header.ts";
import { nameToText } from "../base/names.ts";
import type { ImageMetadata, PageRun } from "./schema.ts";

const readAt = promisify(read);

/** Called after each block. */
export type VerifyProgress = (checkedBytes: number, totalBytes: number) => void;

export interface VerifyTask {
  readonly fd: Fd;
  readonly path: string;
  readonly dataOffsetBytes: number;
  readonly dataBytes: number;
  readonly checksums: Uint32Array;
  readonly metadata: ImageMetadata;
}

/** How many owners of damaged pages a message names. */
const MAX_NAMED = 5;

export async function verifyBlocks(task: VerifyTask, onProgress?: VerifyProgress): Promise<void> {
  const bad: number[] = [];
  const bufferBytes = Math.min(CHECKSUM_BLOCK_BYTES, task.dataBytes);
  const buffers = [alignedBuffer(bufferBytes), alignedBuffer(bufferBytes)] as const;
  // One block is read while the one before it is checked.
  let coming = task.checksums.length > 0 ? readBlock(task, 0, buffers[0]) : undefined;
  for (let block = 0; coming !== undefined; block++) {
    const bytes = await coming;
    coming = block + 1 < task.checksums.length ? readBlock(task, block + 1, buffers[block % 2 === 0 ? 1 : 0]) : undefined;
    if (crc32(bytes) !== task.checksums[block]) bad.push(block);
    onProgress?.(block * CHECKSUM_BLOCK_BYTES + bytes.length, task.dataBytes);
  }
  if (bad.length === 0) return;
  const owners = ownersOfBlocks(task.metadata, new Set(bad));
  const named = owners.slice(0, MAX_NAMED).join(", ");
  const more = owners.length > MAX_NAMED ? ` and ${owners.length - MAX_NAMED} more` : "";
  throw damaged(
    task.path,
    `${bad.length} of ${task.checksums.length} blocks of its data fail their checksum, where ${named === "" ? "nothing" : named}${more} lies`,
    { data: { blocks: bad.slice(0, 100), owners: owners.slice(0, 100) } },
  );
}

async function readBlock(task: VerifyTask, block: number, buffer: Buffer): Promise<Buffer> {
  const startBytes = block * CHECKSUM_BLOCK_BYTES;
  const wanted = buffer.subarray(0, Math.min(CHECKSUM_BLOCK_BYTES, task.dataBytes - startBytes));
  let done = 0;
  while (done < wanted.length) {
    let count: number;
    try {
      ({ bytesRead: count } = await readAt(task.fd, wanted, done, wanted.length - done, task.dataOffsetBytes + startBytes + done));
    } catch (cause) {
      const data = { path: task.path, offsetBytes: task.dataOffsetBytes + startBytes + done };
      throw new CairnError("io", `Cannot read image ${task.path}`, { data, hint: "Check the disk", cause });
    }
    if (count === 0) throw damaged(task.path, "it was cut short while it was read");
    done += count;
  }
  return wanted;
}

function ownersOfBlocks(metadata: ImageMetadata, blocks: ReadonlySet<number>): string[] {
  const owners: string[] = [];
  const hit = (runs: readonly PageRun[]) => runs.some((run) => touches(run, blocks));
  for (const { pid, alive } of metadata.processes) {
    for (const mapping of alive?.mappings ?? []) {
      if (hit(mapping.runs)) owners.push(`mapping ${mapping.start}-${mapping.end} of process ${pid}`);
    }
  }
  for (const { id, name, runs } of metadata.sharedMemory) if (hit(runs)) owners.push(`shared memory ${id} (${nameToText(name)})`);
  for (const { name, runs } of metadata.savedFiles) if (hit(runs)) owners.push(`saved file ${nameToText(name)}`);
  return owners;
}

function touches([, pages, dataPage]: PageRun, blocks: ReadonlySet<number>): boolean {
  const pagesPerBlock = CHECKSUM_BLOCK_BYTES / PAGE_BYTES;
  const first = Math.floor(dataPage / pagesPerBlock);
  const last = Math.floor((dataPage + pages - 1) / pagesPerBlock);
  // Whichever is fewer: the blocks that the run spans, or the damaged ones.
  if (last - first < blocks.size) {
    for (let block = first; block <= last; block++) if (blocks.has(block)) return true;
    return false;
  }
  for (const block of blocks) if (block >= first && block <= last) return true;
  return false;
}

/**
 * io_urings: made anew, brought to where they were by doing as many requests again, of the kind that does nothing; then
 * their memory is written as the checkpoint saw it. For what is left out, see capture/rings.ts.
 */
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import type { ImageReader, Mapping, OpenFile, PageRun } from "../image/mod.ts";
import { IORING_OFF_SQES, IORING_OFF_SQ_RING } from "../kernel/abi/io-uring.ts";
import { MAP_ANONYMOUS, MAP_FIXED_NOREPLACE, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, PROT_NONE } from "../kernel/abi/constants.ts";
import { MAP_ABOVE4G } from "../kernel/abi/x86-64/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { OwnedFd } from "../kernel/descriptors.ts";
import { RingMemory, enterRing, makeRing } from "../kernel/io-uring.ts";
import type { RingLayout } from "../kernel/io-uring.ts";
import { ARENA, call, purposed } from "../tracee/puppet.ts";
import type { Puppet } from "../tracee/puppet.ts";
import { protectionOf } from "./protection.ts";

type IoUring = Extract<OpenFile, { kind: "io-uring" }>;

const PAGE_BYTES = 4096;
const INDEX_BYTES = 4;

/** Errors: `incompatible` when this kernel lays rings out otherwise; `permission` and `syscall` when it makes none. */
export function openRing(reader: ImageReader, file: IoUring): Fd {
  const { fd, layout } = tryMake(file);
  try {
    if (layout.offsets.toString("base64") !== file.offsets) {
      throw new CairnError(
        "incompatible",
        "Cannot restart: the job has an io_uring, and this kernel lays out its memory otherwise than the one of the checkpoint",
        {
          hint: "Restart under the kernel that the checkpoint was taken under",
        },
      );
    }
    using rings = new RingMemory(fd, IORING_OFF_SQ_RING, layout.ringBytes);
    using requests = new RingMemory(fd, IORING_OFF_SQES, layout.requestBytes);
    rings.write(identity(file.submissionEntries), layout.indexArray);
    catchUp(fd, rings, layout, file);
    requests.write(pagesOf(reader, file.requestRuns, layout.requestBytes));
    rings.write(pagesOf(reader, file.ringRuns, layout.ringBytes));
    if (!file.hasIndexArray) rings.write(identity(file.submissionEntries), layout.indexArray);
    return fd;
  } catch (error) {
    new OwnedFd(fd)[Symbol.dispose]();
    throw error;
  }
}

function tryMake(file: IoUring): ReturnType<typeof makeRing> {
  try {
    return makeRing(file);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new CairnError(error.code, `Cannot restart: the job has an io_uring, and none can be made here: ${error.errnoName}`, {
      hint: "Allow them (sysctl kernel.io_uring_disabled=0), or raise the limit of locked memory (ulimit -l)",
      cause: error,
    });
  }
}

/** Index N leads to request N. */
function identity(entries: number): Buffer {
  const indexes = Buffer.alloc(Math.max(64, entries * INDEX_BYTES));
  for (let index = 0; index < entries; index += 1) indexes.writeUInt32LE(index, index * INDEX_BYTES);
  return indexes.subarray(0, entries * INDEX_BYTES);
}

/** Requests of zeros are IORING_OP_NOP; each is answered at once. A full round at a time, and the answers are thrown away. */
function catchUp(fd: Fd, rings: RingMemory, layout: RingLayout, file: IoUring): void {
  for (let done = 0; done < file.requests;) {
    const count = Math.min(file.submissionEntries, file.requests - done);
    done += count;
    rings.writeWord(layout.submissionTail, done);
    const taken = enterRing(fd, count);
    if (taken !== count || rings.readWord(layout.completionTail) !== done) {
      throw new CairnError("io", `Cannot restart: an io_uring took ${taken} of ${count} requests while it was brought to where it was`, {
        data: { done, requests: file.requests },
      });
    }
    rings.writeWord(layout.completionHead, done);
  }
}

/** Pages that no run has are zero. */
function pagesOf(reader: ImageReader, runs: readonly PageRun[], lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes);
  for (const [page, count, at] of runs)
    bytes.set(reader.readPages(at, count).subarray(0, Math.max(0, lengthBytes - page * PAGE_BYTES)), page * PAGE_BYTES);
  return bytes;
}

const ADDRESS_BEGIN = 0x10000n;
const ADDRESS_END = 0x7fff_ffff_f000n;
const FOUR_GIB = 0x1_0000_0000n;
const FILLER_FLAGS = BigInt(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE);

/**
 * Maps the rings of a process at their places. The kernel takes no address for a ring, not with MAP_FIXED nor from mremap(2)
 * (io_uring_get_unmapped_area), and looks for a place itself. So everything else is filled for the moment, and the only
 * place to be found is the right one.
 *
 * Precondition: the puppet maps nothing but its arena, without the keeper's page.
 */
export function mapRings(puppet: Puppet, mappings: readonly Mapping[], number: (openFile: number) => number): void {
  const rings = mappings.filter((mapping) => mapping.kind === "io-uring");
  if (rings.length === 0) return;
  const filled: Range[] = [
    [ADDRESS_BEGIN, puppet.arena + ARENA.program],
    [puppet.arena + BigInt(ARENA.bytes), ADDRESS_END],
  ];
  puppet.run(
    filled.map(([start, end]) =>
      purposed("filling the address space around an io_uring", SYSCALLS.mmap, start, end - start, BigInt(PROT_NONE), FILLER_FLAGS, -1n, 0n),
    ),
  );
  for (const ring of rings) mapRing(puppet, ring, number(ring.ioUring?.openFile ?? -1));
  const kept = rings.map(({ start, end }): Range => [BigInt(start), BigInt(end)]);
  puppet.run(filled.flatMap((range) => without(range, kept)).map(([start, end]) => call(SYSCALLS.munmap, start, end - start)));
}

type Range = readonly [start: bigint, end: bigint];

function mapRing(puppet: Puppet, mapping: Mapping, fd: number): void {
  const start = BigInt(mapping.start);
  const length = BigInt(mapping.end) - start;
  // Between the lowest page and ADDRESS_BEGIN there may be room as well.
  const flags = BigInt(MAP_SHARED | (start >= FOUR_GIB ? MAP_ABOVE4G : 0));
  const [, address] = puppet.run([
    call(SYSCALLS.munmap, start, length),
    purposed(
      `mapping an io_uring at ${mapping.start}`,
      SYSCALLS.mmap,
      0n,
      length,
      BigInt(protectionOf(mapping)),
      flags,
      BigInt(fd),
      BigInt(mapping.ioUring?.offsetBytes ?? 0),
    ),
  ]);
  if (address !== start) {
    throw new CairnError(
      "incompatible",
      `Cannot restart: the kernel puts the job's io_uring at 0x${address?.toString(16)} instead of ${mapping.start}`,
      {
        data: { address: mapping.start },
        hint: "Try again without limits of the stack (ulimit -s 8192) and of the address space (ulimit -v unlimited)",
      },
    );
  }
}

/** What is left of a range without ranges that ascend. */
function without([start, end]: Range, taken: readonly Range[]): Range[] {
  const left: Range[] = [];
  let from = start;
  for (const [takenStart, takenEnd] of taken) {
    if (takenEnd <= start || takenStart >= end) continue;
    if (takenStart > from) left.push([from, takenStart]);
    from = takenEnd;
  }
  if (from < end) left.push([from, end]);
  return left;
}

/**
 * A process's memory: mappings made at their places, filled from the image, then protected and advised as they were.
 *
 * Private memory is anonymous memory again, filled by the process itself with pread(2) from the image: were the image
 * mapped in its place, MADV_DONTNEED would bring back the checkpoint's bytes where every allocator expects zeros
 * (docs/decisions/001-restored-memory-is-anonymous.md).
 */
import { CairnError } from "../base/errors.ts";
import type { ImageReader, LiveProcessImage, Mapping } from "../image/mod.ts";
import {
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_GUARD_INSTALL,
  MADV_HUGEPAGE,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_WIPEONFORK,
  MAP_ANONYMOUS,
  MAP_DROPPABLE,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_HUGETLB,
  MAP_HUGE_SHIFT,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  MCL_FUTURE,
  MCL_ONFAULT,
  MLOCK_ONFAULT,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { nameToBuffer } from "../base/names.ts";
import { ARENA, call, purposed, tolerant } from "../tracee/puppet.ts";
import type { Call, Puppet } from "../tracee/puppet.ts";
import { protectionOf } from "./protection.ts";
import { mapRings } from "./rings.ts";
import { attachSegments } from "./segments.ts";
import { planVdso } from "./vdso.ts";

const ADDRESS_END = 0x7fff_ffff_f000n;
const PAGE_BYTES = 4096;
/** pread(2) moves at most 2 GiB less a page at once. */
const LARGEST_READ = 1 << 30;
const ARCH_MAP_VDSO_64 = 0x2003n;
const PR_SET_VMA = 0x53564d41n;
const PR_SET_MM = 35n;
const PR_SET_MM_MAP = 14n;
const MEMORY_MAP_BYTES = 104;

/** Numbers under which the puppet has what it maps. */
export interface MappedNumbers {
  /** The image itself. */
  readonly image: number;
  file(mapping: Mapping): number;
  shared(id: number, toRead: boolean): number;
  openFile(id: number): number;
  executable(live: LiveProcessImage): number;
  /** Not a number of a descriptor: how large a System V segment is. */
  segmentBytes(id: number): number;
}

/** Gives what could not be set, in words. */
export function restoreMemory(puppet: Puppet, reader: ImageReader, live: LiveProcessImage, numbers: MappedNumbers): string[] {
  clear(puppet);
  attachSegments(puppet, live.mappings, (id) => numbers.segmentBytes(id));
  mapRings(puppet, live.mappings, (id) => numbers.openFile(id));
  restoreVdso(puppet, reader, live);
  const mappings = live.mappings.filter((mapping) => mapping.kind !== "vdso" && mapping.kind !== "vvar");
  puppet.run(mappings.filter(({ kind }) => kind !== "io-uring" && kind !== "segment").map((mapping) => mapCall(mapping, numbers)));
  puppet.run(
    mappings.flatMap((mapping) =>
      mapping.flags.includes("hg")
        ? [advise(mapping, MADV_HUGEPAGE)]
        : mapping.flags.includes("nh")
          ? [advise(mapping, MADV_NOHUGEPAGE)]
          : [],
    ),
  );
  const failed = setPolicies(puppet, mappings);
  fill(puppet, reader, mappings, numbers.image);
  puppet.run(mappings.flatMap(finishCalls));
  nameAnonymous(puppet, mappings);
  setLayout(puppet, live, numbers);
  if (live.lockFuture !== "none") {
    puppet.run([tolerant(SYSCALLS.mlockall, BigInt(MCL_FUTURE | (live.lockFuture === "on-fault" ? MCL_ONFAULT : 0)))]);
  }
  return failed;
}

/** NUMA policies, before the pages are made; the nodes may be others here. */
function setPolicies(puppet: Puppet, mappings: readonly Mapping[]): string[] {
  const failed: string[] = [];
  for (const mapping of mappings) {
    if (mapping.memoryPolicy === undefined) continue;
    const nodes = Buffer.from(mapping.memoryPolicy.nodes, "base64");
    const data = puppet.data();
    const mode = BigInt(mapping.memoryPolicy.mode);
    const bits = BigInt(nodes.length * 8 + 1);
    const bind = tolerant(SYSCALLS.mbind, BigInt(mapping.start), lengthOf(mapping), mode, data.put(nodes), bits, 0n);
    if (puppet.run([bind], data)[0] !== 0n) failed.push(`the NUMA policy of memory ${mapping.start}`);
  }
  return failed;
}

/**
 * Everything but the arena goes; of the arena the first page, the keeper's program: a process can't be given another
 * executable as long as it maps its old one.
 */
function clear(puppet: Puppet): void {
  const end = puppet.arena + BigInt(ARENA.bytes);
  puppet.run([call(SYSCALLS.munmap, 0n, puppet.arena + ARENA.program), call(SYSCALLS.munmap, end, ADDRESS_END - end)]);
}

function restoreVdso(puppet: Puppet, reader: ImageReader, live: LiveProcessImage): void {
  const plan = planVdso(reader, live);
  if (plan.kind === "none") return;
  if (plan.kind === "same") {
    puppet.run([purposed("mapping the vdso", SYSCALLS.arch_prctl, ARCH_MAP_VDSO_64, plan.start)]);
    return;
  }
  const length = BigInt(plan.bytes.length);
  const flags = BigInt(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE);
  puppet.run([purposed("mapping the saved vdso", SYSCALLS.mmap, plan.start, length, BigInt(PROT_READ | PROT_WRITE), flags, -1n, 0n)]);
  puppet.write(plan.start, plan.bytes);
  puppet.run([call(SYSCALLS.mprotect, plan.start, length, BigInt(PROT_READ | PROT_EXEC))]);
}

function lengthOf(mapping: Mapping): bigint {
  return BigInt(mapping.end) - BigInt(mapping.start);
}

/** Pages of the image go in before the final protection is set. */
function protectionWhileFilled(mapping: Mapping): number {
  const protection = protectionOf(mapping);
  return mapping.runs.length > 0 ? protection | PROT_WRITE | PROT_READ : protection;
}

function mapCall(mapping: Mapping, numbers: MappedNumbers): Call {
  const isShared = mapping.permissions.endsWith("s");
  let flags = MAP_FIXED_NOREPLACE | (isShared ? MAP_SHARED : MAP_PRIVATE);
  if (mapping.flags.includes("gd")) flags |= MAP_GROWSDOWN;
  if (mapping.flags.includes("nr")) flags |= MAP_NORESERVE;
  let fd = -1;
  let offset = 0;
  if (mapping.kind === "file" && mapping.file !== undefined) {
    fd = numbers.file(mapping);
    offset = mapping.file.offsetBytes;
  } else if (mapping.kind === "shared" && mapping.shared !== undefined) {
    fd = numbers.shared(mapping.shared.id, mapping.neverWritable === true);
    offset = mapping.shared.offsetBytes;
  } else {
    flags |= MAP_ANONYMOUS;
    if (mapping.flags.includes("dp")) flags = (flags & ~MAP_PRIVATE) | MAP_DROPPABLE;
    if (mapping.hugePageBytes !== undefined) flags |= MAP_HUGETLB | (Math.log2(mapping.hugePageBytes) << MAP_HUGE_SHIFT);
  }
  const purpose = `mapping ${mapping.start}-${mapping.end}${mapping.file === undefined ? "" : ` of a file`}`;
  return purposed(
    purpose,
    SYSCALLS.mmap,
    BigInt(mapping.start),
    lengthOf(mapping),
    BigInt(protectionWhileFilled(mapping)),
    BigInt(flags),
    BigInt(fd),
    BigInt(offset),
  );
}

/** Has the puppet read pages of the image to where they belong. */
export function fill(puppet: Puppet, reader: ImageReader, mappings: readonly Pick<Mapping, "start" | "runs">[], image: number): void {
  const calls: Call[] = [];
  for (const mapping of mappings) {
    const start = BigInt(mapping.start);
    for (const [page, count, at] of mapping.runs) {
      for (let done = 0; done < count * PAGE_BYTES; done += LARGEST_READ) {
        const length = Math.min(LARGEST_READ, count * PAGE_BYTES - done);
        const address = start + BigInt(page * PAGE_BYTES + done);
        const offset = BigInt(reader.dataOffsetBytes + at * PAGE_BYTES + done);
        calls.push(purposed("reading memory from the image", SYSCALLS.pread64, BigInt(image), address, BigInt(length), offset));
      }
    }
  }
  const results = puppet.run(calls);
  results.forEach((result, index) => {
    const made = calls[index];
    const wanted = made?.arguments[2];
    if (made !== undefined && wanted !== undefined && result !== wanted) refill(puppet, made, result);
  });
}

/** A read that ended early (a signal, a page boundary of the file system) is taken up where it ended. */
function refill(puppet: Puppet, made: Call, got: bigint): void {
  const [fd, address, length, offset] = made.arguments as [bigint, bigint, bigint, bigint];
  for (let done = got; done < length;) {
    const [result] = puppet.run([
      purposed("reading memory from the image", SYSCALLS.pread64, fd, address + done, length - done, offset + done),
    ]);
    if (result === undefined || result <= 0n) throw new CairnError("damaged", "Cannot restart: the image ended early while it was read");
    done += result;
  }
}

function advise(mapping: Mapping, advice: number): Call {
  return tolerant(SYSCALLS.madvise, BigInt(mapping.start), lengthOf(mapping), BigInt(advice));
}

const ADVICE: readonly (readonly [string, number])[] = [
  ["dc", MADV_DONTFORK],
  ["dd", MADV_DONTDUMP],
  ["wf", MADV_WIPEONFORK],
  ["mg", MADV_MERGEABLE],
  ["rr", MADV_RANDOM],
  ["sr", MADV_SEQUENTIAL],
];

function finishCalls(mapping: Mapping): Call[] {
  const calls: Call[] = [];
  const start = BigInt(mapping.start);
  for (const [flag, advice] of ADVICE) if (mapping.flags.includes(flag)) calls.push(advise(mapping, advice));
  for (const [page, count] of mapping.guards ?? []) {
    calls.push(
      purposed(
        "setting guard pages",
        SYSCALLS.madvise,
        start + BigInt(page * PAGE_BYTES),
        BigInt(count * PAGE_BYTES),
        BigInt(MADV_GUARD_INSTALL),
      ),
    );
  }
  if (protectionWhileFilled(mapping) !== protectionOf(mapping)) {
    calls.push(call(SYSCALLS.mprotect, start, lengthOf(mapping), BigInt(protectionOf(mapping))));
  }
  if (mapping.flags.includes("lo")) {
    calls.push(tolerant(SYSCALLS.mlock2, start, lengthOf(mapping), BigInt(mapping.flags.includes("lf") ? MLOCK_ONFAULT : 0)));
  }
  if (mapping.flags.includes("sl")) calls.push(tolerant(SYSCALLS.mseal, start, lengthOf(mapping), 0n));
  return calls;
}

function nameAnonymous(puppet: Puppet, mappings: readonly Mapping[]): void {
  const data = puppet.data();
  const calls = mappings.flatMap((mapping) => {
    if (mapping.anonymousName === undefined) return [];
    const name = data.put(Buffer.concat([nameToBuffer(mapping.anonymousName), Buffer.of(0)]));
    return [tolerant(SYSCALLS.prctl, PR_SET_VMA, 0n, BigInt(mapping.start), lengthOf(mapping), name)];
  });
  puppet.run(calls, data);
}

/** struct prctl_mm_map: where code, data, heap, stack, arguments and environment lie, for /proc and brk(2). */
function setLayout(puppet: Puppet, live: LiveProcessImage, numbers: MappedNumbers): void {
  const layout = live.memoryLayout;
  const auxv = Buffer.from(layout.auxv, "base64");
  const data = puppet.data();
  const record = Buffer.alloc(MEMORY_MAP_BYTES);
  const words = [
    layout.startCode,
    layout.endCode,
    layout.startData,
    layout.endData,
    layout.startBrk,
    layout.brk,
    layout.startStack,
    layout.argStart,
    layout.argEnd,
    layout.envStart,
    layout.envEnd,
  ];
  words.forEach((word, index) => record.writeBigUInt64LE(BigInt(word), index * 8));
  record.writeBigUInt64LE(data.put(auxv), 88);
  record.writeUInt32LE(auxv.length, 96);
  record.writeInt32LE(numbers.executable(live), 100);
  const address = data.put(record);
  puppet.run([purposed("prctl(PR_SET_MM_MAP)", SYSCALLS.prctl, PR_SET_MM, PR_SET_MM_MAP, address, BigInt(MEMORY_MAP_BYTES), 0n)], data);
}

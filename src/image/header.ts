/**
 * The first page of an image: what the file is, and where everything in it lies.
 *
 *     offset  bytes
 *          0      8  magic "CAIRNIMG"
 *          8      4  format version
 *         12      4  ELF machine number of the processes (62 = x86-64)
 *         16      4  page size, 4096
 *         20      4  bytes covered by one checksum, 1048576
 *         24      8  offset of the data section, 4096
 *         32      8  length of the data section, a multiple of the page size
 *         40      8  offset of the checksum table
 *         48      8  length of the checksum table, 4 for every 1 MiB begun of the data section
 *         56      8  offset of the metadata
 *         64      8  length of the metadata
 *         72     32  SHA-256 of the metadata
 *        104      4  CRC-32 of the checksum table
 *        108   3984  reserved, zero
 *       4092      4  CRC-32 of the 4092 bytes before
 *
 * All numbers are little-endian and unsigned. The sections follow one another in this order, each starts at the next
 * multiple of 4096, the gaps are zero, and the file ends at the multiple of 4096 that follows the metadata: there is one
 * way to write an image, so a reader can refuse every other. Magic, version and the CRC stay where they are in every later version.
 * The header is written last: a file whose first page is zero was never finished.
 */
import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";
import { alignUp } from "../base/bytes.ts";
import { CairnError } from "../base/errors.ts";

export const PAGE_BYTES = 4096;
export const FORMAT_VERSION = 1;
export const CHECKSUM_BLOCK_BYTES = 1 << 20;
export const MACHINE_X86_64 = 62;

/** Bounds on what a header may claim, so that a forged one can't make a reader allocate without end. */
export const MAX_DATA_BYTES = 2 ** 44;
export const MAX_METADATA_BYTES = 2 ** 28;

const MAGIC = Buffer.from("CAIRNIMG", "latin1");
const RESERVED_OFFSET = 108;
const CRC_OFFSET = PAGE_BYTES - 4;

/** What a header says that doesn't follow from the rest of it. */
export interface Header {
  readonly machine: number;
  readonly dataBytes: number;
  readonly metadataBytes: number;
  readonly metadataSha256: Buffer;
  readonly tableCrc32: number;
}

export interface Layout {
  readonly dataOffset: number;
  readonly tableOffset: number;
  readonly tableBytes: number;
  readonly metadataOffset: number;
  readonly imageBytes: number;
}

/** Where the sections lie, from the two lengths that are free. */
export function layoutOf(dataBytes: number, metadataBytes: number): Layout {
  const dataOffset = PAGE_BYTES;
  const tableOffset = dataOffset + dataBytes;
  const tableBytes = 4 * Math.ceil(dataBytes / CHECKSUM_BLOCK_BYTES);
  const metadataOffset = tableOffset + alignUp(tableBytes, PAGE_BYTES);
  const imageBytes = metadataOffset + alignUp(metadataBytes, PAGE_BYTES);
  return { dataOffset, tableOffset, tableBytes, metadataOffset, imageBytes };
}

export function encodeHeader(header: Header, page: Buffer = Buffer.alloc(PAGE_BYTES)): Buffer {
  assert(page.length === PAGE_BYTES, "a header is one page");
  assert(header.dataBytes % PAGE_BYTES === 0 && header.dataBytes <= MAX_DATA_BYTES, "the data section has no valid length");
  assert(header.metadataBytes > 0 && header.metadataBytes <= MAX_METADATA_BYTES, "the metadata have no valid length");
  assert(header.metadataSha256.length === 32, "a SHA-256 has 32 bytes");
  const layout = layoutOf(header.dataBytes, header.metadataBytes);
  page.fill(0);
  MAGIC.copy(page, 0);
  page.writeUInt32LE(FORMAT_VERSION, 8);
  page.writeUInt32LE(header.machine, 12);
  page.writeUInt32LE(PAGE_BYTES, 16);
  page.writeUInt32LE(CHECKSUM_BLOCK_BYTES, 20);
  page.writeBigUInt64LE(BigInt(layout.dataOffset), 24);
  page.writeBigUInt64LE(BigInt(header.dataBytes), 32);
  page.writeBigUInt64LE(BigInt(layout.tableOffset), 40);
  page.writeBigUInt64LE(BigInt(layout.tableBytes), 48);
  page.writeBigUInt64LE(BigInt(layout.metadataOffset), 56);
  page.writeBigUInt64LE(BigInt(header.metadataBytes), 64);
  header.metadataSha256.copy(page, 72);
  page.writeUInt32LE(header.tableCrc32, 104);
  page.writeUInt32LE(crc32(page.subarray(0, CRC_OFFSET)), CRC_OFFSET);
  return page;
}

/**
 * Reads a header and checks everything that can be checked without the rest of the file.
 * `fileBytes` is the file's size. `path` is for messages. Throws `damaged` or `incompatible`.
 */
export function decodeHeader(page: Buffer, fileBytes: number, path: string): Header {
  checkMagic(page, path);
  if (page.length < PAGE_BYTES) throw damaged(path, `it was cut short to ${fileBytes} bytes`);
  if (crc32(page.subarray(0, CRC_OFFSET)) !== page.readUInt32LE(CRC_OFFSET)) throw damaged(path, "its header fails its checksum");
  checkCompatible(page, path);
  for (let offset = RESERVED_OFFSET; offset < CRC_OFFSET; offset += 4) {
    if (page.readUInt32LE(offset) !== 0) throw damaged(path, "its header holds what no version 1 holds");
  }

  const header = {
    machine: page.readUInt32LE(12),
    dataBytes: readLength(page, 32, MAX_DATA_BYTES, path),
    metadataBytes: readLength(page, 64, MAX_METADATA_BYTES, path),
    metadataSha256: Buffer.from(page.subarray(72, 104)),
    tableCrc32: page.readUInt32LE(104),
  };
  const layout = layoutOf(header.dataBytes, header.metadataBytes);
  const agrees =
    page.readUInt32LE(16) === PAGE_BYTES &&
    page.readUInt32LE(20) === CHECKSUM_BLOCK_BYTES &&
    header.dataBytes % PAGE_BYTES === 0 &&
    header.metadataBytes > 0 &&
    page.readBigUInt64LE(24) === BigInt(layout.dataOffset) &&
    page.readBigUInt64LE(40) === BigInt(layout.tableOffset) &&
    page.readBigUInt64LE(48) === BigInt(layout.tableBytes) &&
    page.readBigUInt64LE(56) === BigInt(layout.metadataOffset);
  if (!agrees) throw damaged(path, "its header contradicts itself");
  if (fileBytes < layout.imageBytes) throw damaged(path, `it was cut short to ${fileBytes} of ${layout.imageBytes} bytes`);
  if (fileBytes > layout.imageBytes) throw damaged(path, `it has ${fileBytes - layout.imageBytes} bytes too many`);
  return header;
}

function checkMagic(page: Buffer, path: string): void {
  if (page.subarray(0, MAGIC.length).equals(MAGIC)) return;
  // The header is written last, so a write that was cut off leaves zeros, or a file too short for a header.
  if (page.every((byte) => byte === 0)) throw damaged(path, "it was never finished");
  throw new CairnError("damaged", `${path} is not an image of Cairn`, {
    data: { path },
    hint: "Give a file named image from a checkpoint's folder",
  });
}

function checkCompatible(page: Buffer, path: string): void {
  const version = page.readUInt32LE(8);
  if (version !== FORMAT_VERSION) {
    throw new CairnError("incompatible", `Image ${path} has format version ${version}, and this Cairn reads version ${FORMAT_VERSION}`, {
      data: { path, version },
      hint: version > FORMAT_VERSION ? "Use the newer Cairn that made it" : "No released version of Cairn made it",
    });
  }
  const machine = page.readUInt32LE(12);
  if (machine !== MACHINE_X86_64) {
    throw new CairnError("incompatible", `Image ${path} was made on ${machineName(machine)}, and this is ${machineName(MACHINE_X86_64)}`, {
      data: { path, machine },
      hint: "Restart it on a machine of the architecture that it was made on",
    });
  }
}

/** Names of the ELF machine numbers that somebody may meet (elf.h, EM_*). */
function machineName(machine: number): string {
  const names: Readonly<Record<number, string>> = { 3: "i386", 21: "ppc64", 22: "s390x", 62: "x86-64", 183: "arm64", 243: "riscv64" };
  return names[machine] ?? `an unknown architecture (ELF machine ${machine})`;
}

function readLength(page: Buffer, offset: number, limit: number, path: string): number {
  const length = page.readBigUInt64LE(offset);
  if (length > BigInt(limit)) throw damaged(path, `its header claims a section of ${length} bytes`);
  return Number(length);
}

export function damaged(path: string, reason: string, options: { cause?: unknown; data?: Record<string, unknown> } = {}): CairnError {
  return new CairnError("damaged", `Image ${path} is damaged: ${reason}`, {
    data: { path, ...options.data },
    hint: "Use another checkpoint of the job",
    cause: options.cause,
  });
}

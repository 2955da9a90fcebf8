/** Makes images for tests: sound ones through the writer, and forged ones whose checksums are right and whose content is not. */
import { createHash } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import { CHECKSUM_BLOCK_BYTES, MACHINE_X86_64, PAGE_BYTES, encodeHeader, layoutOf } from "../header.ts";
import type { ImageMetadata } from "../schema.ts";
import { ImageWriter } from "../writer.ts";

/** Pages that differ from one another: page N begins with N. */
export function numberedPages(count: number): Buffer {
  const pages = Buffer.alloc(count * PAGE_BYTES);
  for (let page = 0; page < count; page++) {
    pages.fill((page * 31 + 1) & 0xff, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    pages.writeUInt32LE(page, page * PAGE_BYTES);
  }
  return pages;
}

export async function writeImage(path: string, pages: Uint8Array, metadata: ImageMetadata): Promise<number> {
  rmSync(path, { force: true });
  await using writer = await ImageWriter.create(path);
  await writer.append(pages);
  const { imageBytes } = await writer.finish(metadata);
  return imageBytes;
}

/** Whatever the metadata are; `patch` may change the header before its own checksum is computed. */
export function forgeImage(path: string, pages: Buffer, metadata: Buffer, patch: (header: Buffer) => void = () => undefined): void {
  const layout = layoutOf(pages.length, metadata.length);
  const image = Buffer.alloc(layout.imageBytes);
  pages.copy(image, layout.dataOffset);
  for (let block = 0; block * CHECKSUM_BLOCK_BYTES < pages.length; block++) {
    const bytes = pages.subarray(block * CHECKSUM_BLOCK_BYTES, (block + 1) * CHECKSUM_BLOCK_BYTES);
    image.writeUInt32LE(crc32(bytes), layout.tableOffset + 4 * block);
  }
  metadata.copy(image, layout.metadataOffset);
  const header = encodeHeader({
    machine: MACHINE_X86_64,
    dataBytes: pages.length,
    metadataBytes: metadata.length,
    metadataSha256: createHash("sha256").update(metadata).digest(),
    tableCrc32: crc32(image.subarray(layout.tableOffset, layout.tableOffset + layout.tableBytes)),
  });
  patch(header);
  sealHeader(header);
  header.copy(image, 0);
  writeFileSync(path, image);
}

export function sealHeader(header: Buffer): void {
  header.writeUInt32LE(crc32(header.subarray(0, PAGE_BYTES - 4)), PAGE_BYTES - 4);
}

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { SeededRandom } from "../base/random.ts";
import { temporaryDirectory } from "../base/testing/temporary-directory.ts";
import { PAGE_BYTES, layoutOf } from "./header.ts";
import { ImageReader } from "./reader.ts";
import { ARBITRARY_PAGES, metadataArbitrary } from "./testing/arbitraries.ts";
import { numberedPages, writeImage } from "./testing/raw-image.ts";
import { SAMPLE_PAGES, sampleMetadata, smallMetadata } from "./testing/sample.ts";
import { ImageWriter } from "./writer.ts";

test("random metadata come back from an image as they were", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  await fc.assert(
    fc.asyncProperty(metadataArbitrary, async (metadata) => {
      const imageBytes = await writeImage(path, numberedPages(ARBITRARY_PAGES), metadata);
      using reader = ImageReader.open(path);
      assert.deepEqual(reader.metadata, metadata);
      assert.equal(reader.imageBytes, imageBytes);
      assert.equal(statSync(path).size, imageBytes);
      await reader.verifyData();
    }),
    { seed: new SeededRandom().seed },
  );
});

test("pages of every way to give them lie in the order in which they were given", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  const random = new SeededRandom();
  const given: Buffer[] = [];
  await using writer = await ImageWriter.create(path);
  for (let step = 0; step < 60; step++) {
    const pages = random
      .bytes(8)
      .toString("hex")
      .repeat(random.integer(0, 400) * (PAGE_BYTES / 16));
    const bytes = Buffer.from(pages, "latin1");
    const expected = writer.pages;
    if (random.integer(0, 1) === 0) {
      assert.equal(await writer.append(bytes), expected, String(random));
      given.push(bytes);
    } else {
      const window = await writer.acquire();
      const part = bytes.subarray(0, window.length);
      window.set(part);
      assert.equal(writer.submit(part.length), expected, String(random));
      given.push(part);
    }
  }
  const all = Buffer.concat(given);
  const { imageBytes } = await writer.finish(sampleMetadata());
  using reader = ImageReader.open(path);
  assert.equal(reader.imageBytes, imageBytes);
  assert.equal(reader.dataPages, all.length / PAGE_BYTES);
  await reader.verifyData();
  for (let page = 0; page < reader.dataPages; page += 100) {
    const count = Math.min(100, reader.dataPages - page);
    assert.ok(all.subarray(page * PAGE_BYTES, (page + count) * PAGE_BYTES).equals(reader.readPages(page, count)), String(random));
  }
});

test("appends that nobody waited for keep their pages together", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  await using writer = await ImageWriter.create(path);
  const counts = [300, 1, 700, 0, 256, 5];
  const firsts = await Promise.all(counts.map((count, index) => writer.append(Buffer.alloc(count * PAGE_BYTES, index + 1))));
  assert.deepEqual(firsts, [0, 300, 301, 1001, 1001, 1257]);
  await writer.finish(sampleMetadata());
  using reader = ImageReader.open(path);
  for (const [index, first] of firsts.entries()) {
    const count = counts[index] ?? 0;
    assert.ok(Buffer.alloc(count * PAGE_BYTES, index + 1).equals(reader.readPages(first, count)));
  }
});

test("the end of the data section on either side of a block of checksums makes no difference", async () => {
  using directory = temporaryDirectory();
  for (const pages of [SAMPLE_PAGES, 255, 256, 257, 512]) {
    const path = join(directory.path, String(pages));
    await writeImage(path, numberedPages(pages), sampleMetadata());
    using reader = ImageReader.open(path);
    const progress: number[] = [];
    await reader.verifyData((checked, total) => progress.push(checked / total));
    assert.equal(progress.length, Math.ceil(pages / 256));
    assert.equal(progress.at(-1), 1);
    assert.equal(Buffer.from(reader.readPages(pages - 1, 1)).readUInt32LE(0), pages - 1);
  }
});

test("an image without a page of memory is whole", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  await writeImage(path, Buffer.alloc(0), smallMetadata());
  using reader = ImageReader.open(path);
  await reader.verifyData();
  assert.equal(reader.dataPages, 0);
});

test("pages are read into the caller's buffer when it gives one", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  await writeImage(path, numberedPages(SAMPLE_PAGES), sampleMetadata());
  using reader = ImageReader.open(path);
  const buffer = Buffer.alloc(3 * PAGE_BYTES, 0xee);
  const pages = reader.readPages(4, 2, buffer);
  assert.equal(pages.buffer, buffer.buffer);
  assert.equal(pages.length, 2 * PAGE_BYTES);
  assert.equal(buffer.readUInt32LE(PAGE_BYTES), 5);
  assert.equal(buffer[2 * PAGE_BYTES], 0xee);
  assert.throws(() => reader.readPages(SAMPLE_PAGES - 1, 2), /has no pages/);
});

test("sections begin on pages, so that a restart can map the data section", () => {
  fc.assert(
    fc.property(fc.nat(2 ** 30), fc.integer({ min: 1, max: 2 ** 28 }), (pages, metadataBytes) => {
      const layout = layoutOf(pages * PAGE_BYTES, metadataBytes);
      for (const offset of [layout.dataOffset, layout.tableOffset, layout.metadataOffset, layout.imageBytes]) {
        assert.equal(offset % PAGE_BYTES, 0);
      }
      assert.ok(layout.tableOffset + layout.tableBytes <= layout.metadataOffset);
      assert.ok(Number.isSafeInteger(layout.imageBytes));
    }),
    { seed: new SeededRandom().seed },
  );
});

/** Every released format version has an image here that must open for ever. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "../../src/base/testing/temporary-directory.ts";
import { ImageReader } from "../../src/image/mod.ts";
import type { ImageMetadata } from "../../src/image/mod.ts";
import { numberedPages, writeImage } from "../../src/image/testing/raw-image.ts";

const IMAGE = fileURLToPath(new URL("image-1", import.meta.url));
const METADATA = JSON.parse(readFileSync(new URL("image-1.json", import.meta.url), "utf8")) as ImageMetadata;
const PAGES = 8;

test("the image of format version 1 still opens, verifies and says what it said", async () => {
  using reader = ImageReader.open(IMAGE);
  assert.deepEqual(reader.metadata, METADATA);
  assert.equal(reader.dataPages, PAGES);
  assert.ok(numberedPages(PAGES).equals(reader.readPages(0, PAGES)));
  await reader.verifyData();
});

test("what is written as format version 1 today is the same to the byte", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  await writeImage(path, numberedPages(PAGES), METADATA);
  assert.ok(readFileSync(path).equals(readFileSync(IMAGE)), "the format has changed: give it a new version");
});

/** No damage is accepted silently, and none is answered by anything but a CairnError. */
import assert from "node:assert/strict";
import { closeSync, ftruncateSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { CairnError } from "../base/errors.ts";
import { SeededRandom } from "../base/random.ts";
import { temporaryDirectory } from "../base/testing/temporary-directory.ts";
import { PAGE_BYTES } from "./header.ts";
import { ImageReader } from "./reader.ts";
import { ARBITRARY_PAGES, metadataArbitrary } from "./testing/arbitraries.ts";
import { forgeImage, numberedPages, sealHeader, writeImage } from "./testing/raw-image.ts";
import { SAMPLE_PAGES, sampleMetadata, smallMetadata } from "./testing/sample.ts";

async function openAndVerify(path: string): Promise<void> {
  using reader = ImageReader.open(path);
  await reader.verifyData();
}

function isRefusal(error: unknown): error is CairnError {
  return error instanceof CairnError && (error.code === "damaged" || error.code === "incompatible");
}

async function refusalOf(path: string): Promise<CairnError> {
  try {
    await openAndVerify(path);
  } catch (error) {
    if (isRefusal(error)) return error;
    throw error;
  }
  throw new Error("The image was accepted");
}

test("an image is refused with any one bit flipped", async (t) => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  await writeImage(path, numberedPages(1), smallMetadata());
  const image = readFileSync(path);
  const random = new SeededRandom();
  t.diagnostic(String(random));
  const fd = openSync(path, "r+");
  t.after(() => closeSync(fd));
  const flip = async (offset: number, bit: number) => {
    writeSync(fd, Buffer.of((image[offset] ?? 0) ^ (1 << bit)), 0, 1, offset);
    const error = await refusalOf(path).catch((cause: unknown) => assert.fail(`bit ${bit} of byte ${offset}: ${String(cause)}`));
    assert.ok(error.message.includes(path));
    writeSync(fd, image, offset, 1, offset);
  };
  // Every bit where each has a meaning of its own, one bit of every byte elsewhere.
  for (let offset = 0; offset < 112; offset++) for (let bit = 0; bit < 8; bit++) await flip(offset, bit);
  for (let offset = 112; offset < image.length; offset++) await flip(offset, random.integer(0, 7));
  await openAndVerify(path);
});

test("an image is refused at every length but its own", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  const imageBytes = await writeImage(path, numberedPages(1), smallMetadata());
  const image = readFileSync(path);
  writeFileSync(path, Buffer.concat([image, Buffer.of(0)]));
  assert.match((await refusalOf(path)).message, /1 bytes too many/);
  for (let length = imageBytes - 1; length >= 0; length--) {
    truncateSync(path, length);
    const { message } = await refusalOf(path);
    const expected = length === 0 ? /was never finished|cut short/ : length < 8 ? /is not an image/ : /cut short/;
    assert.match(message, expected, `${length} bytes`);
  }
});

test("an image whose header was not written yet says that it was never finished", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  await writeImage(path, numberedPages(SAMPLE_PAGES), sampleMetadata());
  const fd = openSync(path, "r+");
  writeSync(fd, Buffer.alloc(PAGE_BYTES), 0, PAGE_BYTES, 0);
  assert.match((await refusalOf(path)).message, /it was never finished/);
  ftruncateSync(fd, 100);
  assert.match((await refusalOf(path)).message, /it was never finished/);
  closeSync(fd);
});

test("other files, folders and nothing at all are told from images", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "other");
  writeFileSync(path, "#!/bin/sh\n".repeat(1000));
  assert.throws(() => ImageReader.open(path), /is not an image of Cairn/);
  assert.throws(() => ImageReader.open(directory.path), /is no regular file/);
  assert.throws(
    () => ImageReader.open(join(directory.path, "missing")),
    (error) => error instanceof CairnError && error.code === "not-found",
  );
});

test("an image of a newer format or of another architecture says so", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  const metadata = Buffer.from(JSON.stringify(sampleMetadata()));
  forgeImage(path, numberedPages(SAMPLE_PAGES), metadata, (header) => header.writeUInt32LE(2, 8));
  const newer = await refusalOf(path);
  assert.equal(newer.code, "incompatible");
  assert.match(newer.message, /has format version 2, and this Cairn reads version 1/);
  forgeImage(path, numberedPages(SAMPLE_PAGES), metadata, (header) => header.writeUInt32LE(183, 12));
  const foreign = await refusalOf(path);
  assert.equal(foreign.code, "incompatible");
  assert.match(foreign.message, /was made on arm64, and this is x86-64/);
});

test("a forged header is refused whatever its numbers claim", async (t) => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  const metadata = Buffer.from(JSON.stringify(sampleMetadata()));
  forgeImage(path, numberedPages(SAMPLE_PAGES), metadata);
  const sound = readFileSync(path);
  const fields = [16, 20, 24, 32, 40, 48, 56, 64];
  const values = fc.oneof(
    fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    fc.bigInt({ min: 0n, max: 1n << 45n }),
    fc.bigInt({ min: 0n, max: 1n << 17n }),
  );
  const before = process.memoryUsage().arrayBuffers;
  await fc.assert(
    fc.asyncProperty(fc.subarray(fields, { minLength: 1 }), fc.array(values, { minLength: 8, maxLength: 8 }), async (changed, numbers) => {
      const image = Buffer.from(sound);
      for (const [index, offset] of changed.entries()) {
        const number = numbers[index] ?? 0n;
        if (offset < 24) image.writeUInt32LE(Number(BigInt.asUintN(32, number)), offset);
        else image.writeBigUInt64LE(number, offset);
      }
      fc.pre(!image.equals(sound));
      sealHeader(image.subarray(0, PAGE_BYTES));
      writeFileSync(path, image);
      await refusalOf(path);
    }),
    { seed: new SeededRandom().seed, numRuns: 500 },
  );
  t.diagnostic(`${process.memoryUsage().arrayBuffers - before} bytes more in buffers`);
});

test("a sparse file that is as long as a forged header claims costs no memory to speak of", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  forgeImage(path, numberedPages(SAMPLE_PAGES), Buffer.from("{}"), (header) => {
    header.writeBigUInt64LE(1n << 50n, 32);
  });
  truncateSync(path, 2 ** 43);
  const { message } = await refusalOf(path);
  assert.match(message, /claims a section of 1125899906842624 bytes/);
});

/** Replaces, removes or doubles one value somewhere in the metadata. */
const mutationArbitrary = fc.record({
  path: fc.array(fc.nat(1000), { minLength: 1, maxLength: 9 }),
  action: fc.oneof(
    fc.record({ kind: fc.constant("remove" as const) }),
    fc.record({ kind: fc.constant("double" as const) }),
    fc.record({
      kind: fc.constant("replace" as const),
      value: fc.oneof(
        fc.constantFrom<unknown>(
          null,
          "",
          "0x0",
          "0xffffffffffffffff",
          -1,
          0,
          1,
          4096,
          2 ** 53 - 1,
          1e300,
          [],
          {},
          [[0, 1, 0]],
          "\ud800",
          "a\0b",
        ),
        fc.jsonValue({ maxDepth: 2 }),
      ),
    }),
  ),
});

test("metadata with a value changed anywhere are refused, or are as valid as before", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  const pages = numberedPages(ARBITRARY_PAGES);
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(metadataArbitrary, mutationArbitrary, async (metadata, { path: steps, action }) => {
      const root = JSON.parse(JSON.stringify(metadata)) as unknown;
      mutate(root, steps, action);
      forgeImage(path, pages, Buffer.from(JSON.stringify(root)));
      try {
        await openAndVerify(path);
      } catch (error) {
        if (!isRefusal(error)) throw error;
        refused++;
      }
    }),
    { seed: new SeededRandom().seed, numRuns: 500 },
  );
  assert.ok(refused > 100, `only ${refused} of 500 were refused`);
});

test("metadata that are no JSON, or no UTF-8, are refused", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  for (const bytes of [
    Buffer.from("{"),
    Buffer.from([0xff, 0xfe]),
    Buffer.from("null"),
    Buffer.from("[".repeat(100_000)),
    Buffer.alloc(5000),
  ]) {
    forgeImage(path, numberedPages(1), bytes);
    assert.equal((await refusalOf(path)).code, "damaged");
  }
});

test("damaged data are named by what they belong to", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  const metadata = sampleMetadata();
  metadata.savedFiles = metadata.savedFiles.map((file) => ({ ...file, runs: [[0, 1, 300]] }));
  await writeImage(path, numberedPages(301), metadata);
  const fd = openSync(path, "r+");
  writeSync(fd, Buffer.of(0xaa, 0xaa), 0, 2, PAGE_BYTES + 300 * PAGE_BYTES + 100);
  const late = await refusalOf(path);
  assert.match(late.message, /1 of 2 blocks of its data fail their checksum, where saved file \/home\/user\/out\.log lies/);
  assert.deepEqual(late.data["blocks"], [1]);
  writeSync(fd, Buffer.of(0xaa, 0xaa), 0, 2, PAGE_BYTES + 100);
  const both = await refusalOf(path);
  assert.match(both.message, /2 of 2 blocks/);
  assert.match(both.message, /mapping 0x400000-0x402000 of process 100/);
  assert.match(both.message, /and \d more lies/);
  closeSync(fd);
});

type Mutation = { kind: "remove" } | { kind: "double" } | { kind: "replace"; value: unknown };

/** Walks down by taking the step-th entry (modulo their number) at each level, and changes the last one reached. */
function mutate(root: unknown, steps: readonly number[], action: Mutation): void {
  let parent = root as Record<string, unknown>;
  let key = "";
  let node: unknown = root;
  for (const step of steps) {
    if (typeof node !== "object" || node === null) break;
    const keys = Object.keys(node);
    if (keys.length === 0) break;
    parent = node as Record<string, unknown>;
    key = keys[step % keys.length] ?? "";
    node = parent[key];
  }
  if (action.kind === "replace") parent[key] = action.value;
  else if (action.kind === "double" && Array.isArray(node)) parent[key] = [...(node as unknown[]), ...(node as unknown[])];
  else if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete parent[key];
}

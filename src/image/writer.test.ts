import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { AssertionError } from "../base/assert.ts";
import { CairnError } from "../base/errors.ts";
import { runChild } from "../base/testing/child.ts";
import { temporaryDirectory } from "../base/testing/temporary-directory.ts";
import { PAGE_BYTES } from "./header.ts";
import { OutputFile } from "./output-file.ts";
import { ImageReader } from "./reader.ts";
import { numberedPages, writeImage } from "./testing/raw-image.ts";
import { SAMPLE_PAGES, sampleMetadata } from "./testing/sample.ts";
import { ImageWriter } from "./writer.ts";

const WRITE_IMAGE = fileURLToPath(new URL("testing/write-image.ts", import.meta.url));

test("an image is readable by its owner alone, whatever the umask", async () => {
  using directory = temporaryDirectory();
  const before = process.umask(0o077);
  try {
    for (const umask of [0, 0o777]) {
      process.umask(umask);
      const path = join(directory.path, umask.toString(8));
      await writeImage(path, numberedPages(SAMPLE_PAGES), sampleMetadata());
      assert.equal(statSync(path).mode & 0o7777, 0o600);
    }
  } finally {
    process.umask(before);
  }
});

test("a writer never touches a file that is there already", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  writeFileSync(path, "precious");
  await assert.rejects(ImageWriter.create(path), (error) => error instanceof CairnError && error.code === "conflict");
  assert.equal(readFileSync(path, "utf8"), "precious");
});

test("an image that is not finished is removed at the end of its scope", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  {
    await using writer = await ImageWriter.create(path);
    await writer.append(numberedPages(600));
    assert.ok(existsSync(path));
  }
  assert.deepEqual(readdirSync(directory.path), []);
});

const isInterrupted = (error: unknown): boolean => error instanceof CairnError && error.code === "interrupted";

test("an abort from elsewhere ends an append that is under way, and leaves nothing", async () => {
  using directory = temporaryDirectory();
  await using writer = await ImageWriter.create(join(directory.path, "image"));
  const appended = assert.rejects(writer.append(numberedPages(5000)), isInterrupted);
  await Promise.all([writer.abort(), writer.abort(), appended]);
  assert.deepEqual(readdirSync(directory.path), []);
  await assert.rejects(writer.acquire(), isInterrupted);
  await assert.rejects(writer.finish(sampleMetadata()), isInterrupted);
});

test("an abort while a window is out is told when the window comes back", async () => {
  using directory = temporaryDirectory();
  await using writer = await ImageWriter.create(join(directory.path, "image"));
  await writer.acquire();
  await writer.abort();
  assert.throws(() => writer.submit(1 << 20), isInterrupted);
  assert.deepEqual(readdirSync(directory.path), []);
});

test("an abort while an image is being finished leaves nothing or a whole image", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  for (let turns = 0; turns < 128; turns = 2 * turns + 1) {
    await using writer = await ImageWriter.create(path);
    await writer.append(numberedPages(SAMPLE_PAGES));
    const finished = writer.finish(sampleMetadata()).then(
      () => true,
      (error: unknown) => assert.ok(isInterrupted(error), String(error)),
    );
    for (let turn = 0; turn < turns; turn++) await setImmediate();
    await writer.abort();
    if ((await finished) === true) {
      using reader = ImageReader.open(path);
      await reader.verifyData();
      rmSync(path);
    }
    assert.deepEqual(readdirSync(directory.path), []);
  }
});

test("metadata that break a rule fail before the image gets a header, and nothing can be written after", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "image");
  await using writer = await ImageWriter.create(path);
  await writer.append(numberedPages(SAMPLE_PAGES - 1));
  const unfit = sampleMetadata();
  await assert.rejects(
    writer.finish(unfit),
    (error) => error instanceof AssertionError && /lies outside the data section/.test(error.message),
  );
  assert.throws(() => ImageReader.open(path), /never finished|cut short/);
  await assert.rejects(writer.append(numberedPages(1)), AssertionError);
  await assert.rejects(writer.finish(sampleMetadata()), AssertionError);
});

test("metadata that JSON would change are not written", async () => {
  using directory = temporaryDirectory();
  for (const [index, change] of [{ warnings: [undefined as unknown as string] }, { rootPid: Number.NaN }, { extra: 1 }].entries()) {
    await using writer = await ImageWriter.create(join(directory.path, String(index)));
    await writer.append(numberedPages(SAMPLE_PAGES));
    await assert.rejects(writer.finish({ ...sampleMetadata(), ...change }), AssertionError, JSON.stringify(change));
  }
});

test("misuse of the window is a mistake of the caller", async () => {
  using directory = temporaryDirectory();
  await using writer = await ImageWriter.create(join(directory.path, "image"));
  assert.throws(() => writer.submit(0), AssertionError);
  const window = await writer.acquire();
  assert.equal(window.length, 1 << 20);
  await assert.rejects(writer.acquire(), AssertionError);
  await assert.rejects(writer.append(numberedPages(1)), AssertionError);
  await assert.rejects(writer.finish(sampleMetadata()), AssertionError);
  assert.throws(() => writer.submit(100), AssertionError);
  assert.throws(() => writer.submit(window.length + PAGE_BYTES), AssertionError);
  assert.equal(writer.submit(0), 0);
});

test("where direct I/O is not taken the file is written through the cache", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "file");
  const file = await OutputFile.create(path);
  // An address off the grid is what a file system that only pretends to take direct I/O answers everything to: EINVAL.
  const pages = numberedPages(64);
  const shifted = Buffer.concat([Buffer.alloc(1), pages]).subarray(1);
  await Promise.all(
    [0, 16, 32, 48].map((page) => file.write(shifted.subarray(page * PAGE_BYTES, (page + 16) * PAGE_BYTES), page * PAGE_BYTES)),
  );
  await file.sync();
  await file.close();
  assert.ok(readFileSync(path).equals(pages));
});

/** Runs the program with a file system of its own over `directory`; null (and a skipped test) where the user may not mount. */
async function writeOn(
  t: TestContext,
  fileSystem: string,
  options: string,
  directory: string,
  argv: readonly string[],
): Promise<unknown[] | null> {
  const script = 'mount -t "$1" -o "$2" none "$3" && shift 3 && exec "$@"';
  const wrapper = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", fileSystem, options, directory];
  const outcome = await runChild(WRITE_IMAGE, [join(directory, "image"), ...argv], {}, wrapper);
  if (outcome.status === 0) return JSON.parse(outcome.output) as unknown[];
  assert.match(outcome.errors, /^(unshare|mount):/, "the program itself failed");
  t.skip(`cannot mount a file system here: ${outcome.errors.trim()}`);
  return null;
}

test("a full disk is told with what the image needs and what to do, and poisons the writer", async (t) => {
  using directory = temporaryDirectory();
  const outcomes = await writeOn(t, "tmpfs", "size=8m", directory.path, ["5120"]);
  if (outcomes === null) return;
  const [, finished, after] = outcomes as Record<string, string>[];
  assert.equal(finished?.["code"], "io");
  assert.match(finished?.["message"] ?? "", /disk or the quota is full, the image needs more than \d+ MiB and .* are free$/);
  assert.match(finished?.["hint"] ?? "", /--store/);
  assert.deepEqual(after, finished);
});

test("a full disk is told with the whole need when the caller knows it", async (t) => {
  using directory = temporaryDirectory();
  const outcomes = await writeOn(t, "tmpfs", "size=8m", directory.path, ["5120", String(5120 * PAGE_BYTES)]);
  if (outcomes === null) return;
  const [, finished] = outcomes as Record<string, string>[];
  assert.match(finished?.["message"] ?? "", /the image needs 20 MiB and/);
});

test("an image is written on a file system that knows no direct I/O", async (t) => {
  using directory = temporaryDirectory();
  const outcomes = await writeOn(t, "ramfs", "mode=0700", directory.path, ["600"]);
  if (outcomes === null) return;
  assert.equal(outcomes[0], 0);
  assert.ok(Number((outcomes[1] as Record<string, unknown>)["imageBytes"]) > 600 * PAGE_BYTES);
});

test("a writer killed at any step leaves an image that is whole or refused", async (t) => {
  using directory = temporaryDirectory();
  let whole = 0;
  for (let step = 1; ; step++) {
    assert.ok(step < 100, "the writer never ends");
    const path = join(directory.path, String(step));
    const { status, signal, errors } = await runChild(WRITE_IMAGE, [path, "600"], { CAIRN_KILL_AT: String(step), CAIRN_KILL_IN: "image" });
    if (status === 0) break;
    assert.equal(signal, "SIGKILL", errors);
    try {
      using reader = ImageReader.open(path);
      await reader.verifyData();
      whole++;
    } catch (error) {
      assert.ok(error instanceof CairnError && error.code === "damaged", String(error));
      assert.match(error.message, /never finished/);
    }
  }
  t.diagnostic(`${whole} kills came after the header was written`);
});

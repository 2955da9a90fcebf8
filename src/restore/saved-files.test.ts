import assert from "node:assert/strict";
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { asFd } from "../base/ids.ts";
import type { ImageReader, PageRun } from "../image/mod.ts";
import { hasRuns, writeRuns } from "./saved-files.ts";

const PAGE = 4096;
/** Page N of the image is full of the byte N + 1. */
const reader = {
  readPages: (page: number, count: number) =>
    Buffer.concat(Array.from({ length: count }, (_, index) => Buffer.alloc(PAGE, page + index + 1))),
} as unknown as ImageReader;

test("a file has its saved content until a byte of it, of a hole, or its length differs", () => {
  const folder = mkdtempSync(join(tmpdir(), "cairn-saved-"));
  const fd = asFd(openSync(join(folder, "file"), "w+"));
  try {
    const runs: PageRun[] = [
      [1, 2, 0],
      [300, 1, 7],
    ];
    const size = 300 * PAGE + 100;
    writeRuns(reader, fd, runs, size, "a file");
    assert.equal(hasRuns(reader, fd, runs, size), true);
    for (const at of [0, PAGE, 3 * PAGE - 1, 200 * PAGE, size - 1]) {
      writeSync(fd, "x", at);
      assert.equal(hasRuns(reader, fd, runs, size), false, `byte ${at}`);
      writeRuns(reader, fd, runs, size, "a file");
      if (at < PAGE || (at >= 3 * PAGE && at < 300 * PAGE)) writeSync(fd, "\0", at);
    }
    assert.equal(hasRuns(reader, fd, runs, size), true);
    ftruncateSync(fd, size - 1);
    assert.equal(hasRuns(reader, fd, runs, size), false, "a byte less");
    assert.equal(hasRuns(reader, fd, [], 0), true, "nothing at all");
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  }
});

import assert from "node:assert/strict";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { CairnError } from "../base/errors.ts";
import type { ImageReader } from "../image/mod.ts";
import type { FileComparison, Rewinding } from "./output-files.ts";
import { rewindFiles } from "./rewind.ts";

class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "cairn-rewind-"));
  readonly aside = join(this.path, "aside");

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  file(name: string, content: string): string {
    const path = join(this.path, name);
    writeFileSync(path, content);
    return path;
  }

  kept(): string[] {
    return existsSync(this.aside) ? readdirSync(this.aside).sort() : [];
  }
}

/** An image of one page of `a`s, whose page 1 cannot be read. */
const reader = {
  readPages: (page: number) => {
    if (page > 0) throw new CairnError("io", "no more");
    return Buffer.alloc(4096, "a");
  },
} as unknown as ImageReader;

function changed(path: string, sizeBytes: number, saved: Rewinding["saved"] = null, companions: string[] = []): Rewinding {
  return {
    path: Buffer.from(path),
    text: path,
    sizeBytes,
    saved,
    companions,
    grownBytes: statSync(path).size - sizeBytes,
    byContent: false,
    onlyGrows: saved === null,
  };
}

function compared(...files: Rewinding[]): FileComparison {
  return { problems: [], warnings: [], rewinding: files, missing: [] };
}

function pagesOfA(pages: number): Rewinding["saved"] {
  const identity = { device: "1", inode: "1", sizeBytes: 4096 * pages, mtimeNs: "0" };
  return { id: 0, name: "saved", mode: 0o600, identity, runs: [[0, pages, pages - 1]] };
}

test("files are taken back, and what is cut off stands aside", () => {
  using folder = new Folder();
  const log = folder.file("log", "before, after");
  const data = folder.file("data", "changed");
  const { told } = rewindFiles(reader, compared(changed(log, 6), changed(data, 4096, pagesOfA(1))), folder.aside);
  assert.equal(readFileSync(log, "utf8"), "before");
  assert.equal(readFileSync(data, "utf8"), "a".repeat(4096));
  assert.deepEqual(folder.kept(), ["data", "log.from-6"]);
  assert.equal(readFileSync(join(folder.aside, "log.from-6"), "utf8"), ", after");
  assert.equal(readFileSync(join(folder.aside, "data"), "utf8"), "changed");
  assert.equal(told.length, 2);
});

test("nothing is touched, and no copy left, when one of several files cannot be kept aside", () => {
  using folder = new Folder();
  const log = folder.file("log", "before, after");
  const gone = folder.file("gone", "before, after");
  const plan = compared(changed(log, 6), changed(gone, 6));
  rmSync(gone);
  assert.throws(
    () => rewindFiles(reader, plan, folder.aside),
    (error) => error instanceof CairnError && error.code === "io" && /gone/.test(error.message) && error.hint !== undefined,
  );
  assert.equal(readFileSync(log, "utf8"), "before, after");
  assert.deepEqual(folder.kept(), []);
});

test("what was taken back is put back when another file cannot be rewritten", () => {
  using folder = new Folder();
  const log = folder.file("log", "before, after");
  const data = folder.file("data", "changed");
  const journal = folder.file("data-journal", "of what is changed");
  const plan = compared(changed(log, 6), changed(data, 8192, pagesOfA(2), [journal]));
  assert.throws(() => rewindFiles(reader, plan, folder.aside), /no more/);
  assert.equal(readFileSync(log, "utf8"), "before, after");
  assert.equal(readFileSync(data, "utf8"), "changed");
  assert.equal(readFileSync(journal, "utf8"), "of what is changed");
  assert.deepEqual(folder.kept(), []);
});

test("after an undo, files are as they were; what others have appended meanwhile is kept", () => {
  using folder = new Folder();
  const log = folder.file("log", "before, after");
  const data = folder.file("data", "changed");
  const rewound = rewindFiles(reader, compared(changed(log, 6), changed(data, 4096, pagesOfA(1))), folder.aside);
  appendFileSync(log, "; another");
  rewound.undo();
  assert.equal(readFileSync(log, "utf8"), "before; another, after");
  assert.equal(readFileSync(data, "utf8"), "changed");
  assert.deepEqual(folder.kept(), []);
});

test("what cannot be put back is named with its copy, which stays", () => {
  using folder = new Folder();
  const log = folder.file("log", "before, after");
  const rewound = rewindFiles(reader, compared(changed(log, 6)), folder.aside);
  rmSync(log);
  mkdirSync(log);
  assert.throws(() => rewound.undo(), /log \(kept in .*aside\/log\.from-6\)/);
  assert.deepEqual(folder.kept(), ["log.from-6"]);
});

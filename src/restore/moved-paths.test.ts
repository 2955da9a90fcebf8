import assert from "node:assert/strict";
import { test } from "node:test";
import { nameToBuffer, nameToText } from "../base/names.ts";
import type { ImageMetadata, Name } from "../image/mod.ts";
import { sampleMetadata } from "../image/testing/sample.ts";
import { movePaths, parsePathMove } from "./moved-paths.ts";

/** Every path that a restart opens. */
function pathsOf({ processes, openFiles, savedFiles }: ImageMetadata): string[] {
  const names: Name[] = processes.flatMap(({ alive }) =>
    alive === null
      ? []
      : [
          alive.executable,
          alive.workingDirectory,
          alive.rootDirectory,
          ...alive.mappings.flatMap(({ file }) => (file === undefined ? [] : [file.name])),
        ],
  );
  names.push(...openFiles.flatMap((file) => ("name" in file && file.kind !== "proc" && file.kind !== "terminal" ? [file.name] : [])));
  names.push(...savedFiles.map(({ name }) => name));
  return names.map(nameToText);
}

test("a move replaces the folder in every path that a restart opens, and nothing else", () => {
  const before = pathsOf(sampleMetadata());
  assert.ok(before.some((path) => path.startsWith("/home/")) && before.some((path) => !path.startsWith("/home")));
  const { metadata, unused } = movePaths(sampleMetadata(), [{ from: "/home", to: "/scratch/home" }]);
  assert.deepEqual(unused, []);
  assert.deepEqual(
    pathsOf(metadata),
    before.map((path) => path.replace(/^\/home(?=\/|$)/, "/scratch/home")),
  );
});

test("of several moves the longest counts, and those without a path are told", () => {
  const [first] = sampleMetadata().processes;
  const alive = first?.alive ?? null;
  assert.ok(first !== undefined && alive !== null);
  const sample = (workingDirectory: Name): ImageMetadata => ({
    ...sampleMetadata(),
    processes: [{ ...first, alive: { ...alive, workingDirectory } }],
  });
  const moved = (path: Name, ...moves: string[]): Name | undefined =>
    movePaths(sample(path), moves.map(parsePathMove)).metadata.processes[0]?.alive?.workingDirectory;
  assert.equal(moved("/a/b/c", "/a=/x", "/a/b=/y"), "/y/c");
  assert.equal(moved("/a/b/c", "/a/b/c=/y"), "/y");
  assert.equal(moved("/a/bc", "/a/b=/y"), "/a/bc");
  assert.equal(moved("/a/b/c", "/a/=/"), "/b/c");
  assert.equal(moved("/a", "/a=/"), "/");
  const odd = Buffer.from([0x2f, 0x61, 0x2f, 0xff]);
  assert.deepEqual(
    nameToBuffer(moved({ base64: odd.toString("base64") }, "/a=/bc") ?? ""),
    Buffer.concat([Buffer.from("/bc/"), odd.subarray(3)]),
  );
  const other = parsePathMove("/nowhere=/x");
  assert.deepEqual(movePaths(sample("/a"), [other]).unused, [other]);
});

test("a move takes two absolute paths", () => {
  assert.deepEqual(parsePathMove("/old/=/new/"), { from: "/old", to: "/new" });
  assert.deepEqual(parsePathMove("/a=b=/c"), { from: "/a=b", to: "/c" });
  for (const text of ["/old", "/old=new", "old=/new", "/=/new", "=/new", ""]) assert.throws(() => parsePathMove(text), /Cannot map/, text);
});

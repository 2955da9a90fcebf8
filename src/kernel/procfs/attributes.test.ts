import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAuxiliaryVector, splitAtNul } from "./attributes.ts";
import { parseChildren } from "./tasks.ts";
import { parseProcessor } from "./system.ts";

test("an auxiliary vector ends at its null entry", () => {
  const words = [33n, 0x7fff12345000n, 6n, 4096n, 16n, 0xffffffffffffffffn, 0n, 0n, 99n, 99n];
  const bytes = Buffer.alloc(words.length * 8);
  for (const [index, word] of words.entries()) bytes.writeBigUInt64LE(word, index * 8);
  const expected = new Map([
    [33, 0x7fff12345000n],
    [6, 4096n],
    [16, 0xffffffffffffffffn],
  ]);
  assert.deepEqual(parseAuxiliaryVector(bytes), expected);
  // Cut short in an entry, or without its end.
  assert.deepEqual(parseAuxiliaryVector(bytes.subarray(0, 55)), expected);
  assert.equal(parseAuxiliaryVector(Buffer.alloc(0)).size, 0);
});

test("strings that end in NUL are split, the empty ones kept, and a last one without NUL too", () => {
  const split = (text: string): string[] => splitAtNul(Buffer.from(text)).map(String);
  assert.deepEqual(split("a\0\0b c\0"), ["a", "", "b c"]);
  assert.deepEqual(split("title without end"), ["title without end"]);
  assert.deepEqual(split(""), []);
});

test("children are pids between spaces", () => {
  assert.deepEqual(parseChildren("4292 4293 "), [4292, 4293]);
  assert.deepEqual(parseChildren(""), []);
});

test("the first processor's model and features are told, on x86-64 and on arm64", () => {
  assert.deepEqual(
    parseProcessor("processor\t: 0\nmodel name\t: A: fast one\nflags\t\t: fpu vme\n\nprocessor\t: 1\nmodel name\t: B\nflags\t\t: fpu\n"),
    {
      processorModel: "A: fast one",
      processorFlags: ["fpu", "vme"],
    },
  );
  assert.deepEqual(parseProcessor("processor\t: 0\nFeatures\t: fp asimd\nCPU part\t: 0xd0c\n\n"), {
    processorModel: "0xd0c",
    processorFlags: ["fp", "asimd"],
  });
  assert.deepEqual(parseProcessor(""), { processorModel: "", processorFlags: [] });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { AssertionError } from "./assert.ts";
import { alignDown, alignUp, formatBytes } from "./bytes.ts";

test("numbers and bigints are aligned alike, beyond 32 bits too", () => {
  for (const value of [0, 1, 4095, 4096, 4097, 2 ** 40 + 1, 2 ** 52 - 1]) {
    assert.equal(BigInt(alignUp(value, 4096)), alignUp(BigInt(value), 4096n));
    assert.equal(BigInt(alignDown(value, 4096)), alignDown(BigInt(value), 4096n));
    assert.equal(alignDown(value, 4096) % 4096, 0);
  }
  assert.equal(alignUp(2 ** 40 + 1, 4096), 2 ** 40 + 4096);
});

test("an alignment that is no power of two is a mistake of the caller", () => {
  for (const alignment of [0, -4096, 3, 4097, 0.5]) assert.throws(() => alignUp(1, alignment), AssertionError);
  assert.throws(() => alignDown(1n, 12n), AssertionError);
});

test("byte counts are shown with two or three digits and a binary unit", () => {
  const shown: readonly (readonly [number, string])[] = [
    [0, "0 bytes"],
    [1, "1 byte"],
    [999, "999 bytes"],
    [1000, "1.0 KiB"],
    [4096, "4.0 KiB"],
    [10 * 1024, "10 KiB"],
    [1023 * 1024, "1.0 MiB"],
    [312 * 2 ** 20, "312 MiB"],
    [5e9, "4.7 GiB"],
    [2 ** 53, "8.0 PiB"],
  ];
  for (const [count, text] of shown) assert.equal(formatBytes(count), text);
});

import assert from "node:assert/strict";
import type { BigIntStats } from "node:fs";
import { test } from "node:test";
import { describeChange, isUnchanged } from "./file-change.ts";

const then = { device: "1", inode: "2", sizeBytes: 10, mtimeNs: "1700000000000000007" };
const seen = (size: bigint, mtimeNs: bigint) => ({ size, mtimeNs }) as BigIntStats;

test("a file is unchanged with the same length and time of change, whatever its inode", () => {
  assert.equal(isUnchanged(then, seen(10n, 1700000000000000007n)), true);
  assert.equal(isUnchanged(then, seen(10n, 1700000000000000008n)), false);
  assert.equal(isUnchanged(then, seen(11n, 1700000000000000007n)), false);
});

test("what is said of a change names the length if that differs, else both times", () => {
  assert.equal(describeChange(then, seen(11n, 1700000000000000007n)), "10 bytes then, 11 bytes now");
  assert.equal(
    describeChange(then, seen(10n, 1700000001120000000n)),
    "the same length, but modified at 2023-11-14T22:13:20.000000007Z then, at 2023-11-14T22:13:21.120000000Z now",
  );
});

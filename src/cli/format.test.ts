import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAge, plural } from "./format.ts";

test("ages are told as people tell them", () => {
  assert.equal(formatAge(1000, 1000), "just now");
  assert.equal(formatAge(0, 12_000), "12 s ago");
  assert.equal(formatAge(0, 3 * 3_600_000), "3 h ago");
  assert.equal(formatAge(60_000, 0), "1 min ahead of this clock");
});

test("one is singular", () => {
  assert.equal(plural(1, "process", "processes"), "1 process");
  assert.equal(plural(2, "process", "processes"), "2 processes");
  assert.equal(plural(0, "thread"), "0 threads");
});

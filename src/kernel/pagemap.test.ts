import assert from "node:assert/strict";
import { test } from "node:test";
import { asPid } from "../base/ids.ts";
import { addressOf, alignedBuffer } from "./memory-ffi.ts";
import { PageMap } from "./pagemap.ts";

const PAGE = 4096n;

test("the page map tells exactly the pages that were written", () => {
  const buffer = alignedBuffer(64 * 4096);
  for (const page of [0, 1, 2, 10, 63]) buffer[page * 4096] = 1;
  const start = addressOf(buffer);
  using map = new PageMap(asPid(process.pid));
  const held = new Set<number>();
  for (const range of map.anonymousPages(start, start + 64n * PAGE)) {
    for (let i = 0; i < range.count; i += 1) held.add(Number((range.start - start) / PAGE) + i);
  }
  for (const page of [0, 1, 2, 10, 63]) assert.ok(held.has(page), `page ${page}`);
});

test("ranges ascend, do not touch each other, and stay inside what was asked for", () => {
  const buffer = alignedBuffer(8192 * 4096);
  // Every other page: more ranges than one call of the kernel gives.
  for (let page = 0; page < 8192; page += 2) buffer[page * 4096] = 1;
  const start = addressOf(buffer);
  const end = start + 8192n * PAGE;
  using map = new PageMap(asPid(process.pid));
  let last = start - 1n;
  for (const range of map.anonymousPages(start, end)) {
    assert.ok(range.start > last && range.start >= start && range.count > 0);
    last = range.start + BigInt(range.count) * PAGE;
    assert.ok(last <= end);
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { ImageMetadata } from "../image/mod.ts";
import { findArena } from "./arena.ts";

function using(ranges: readonly (readonly [bigint, bigint])[]): ImageMetadata {
  const mappings = ranges.map(([start, end]) => ({ start: `0x${start.toString(16)}`, end: `0x${end.toString(16)}` }));
  return { processes: [{ alive: { mappings } }] } as unknown as ImageMetadata;
}

test("an arena never overlaps memory of the job", () => {
  const range = fc.tuple(fc.bigInt({ min: 0x10n, max: 0x7_ffff_0000n }), fc.bigInt({ min: 1n, max: 0x10_0000n }));
  fc.assert(
    fc.property(fc.array(range, { maxLength: 40 }), (drawn) => {
      const ranges = drawn.map(([page, pages]) => [page * 4096n, (page + pages) * 4096n] as const);
      const length = 0x62000;
      const arena = findArena(using(ranges), length);
      assert.equal(arena % 4096n, 0n);
      for (const [start, end] of ranges) assert.ok(arena + BigInt(length) <= start || arena >= end);
    }),
  );
});

test("a job that leaves no room anywhere is told so", () => {
  assert.throws(() => findArena(using([[0x1000n, 0x7fff_ffff_f000n]]), 0x62000), /no address free/);
});

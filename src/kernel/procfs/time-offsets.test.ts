import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { formatTimeOffsets, parseTimeOffsets, readTimeOffsets } from "./time-offsets.ts";

test("offsets are read as the kernel prints them, and written as it takes them", () => {
  const printed = "monotonic      -12  500000000\nboottime    604800          0\n";
  assert.deepEqual(parseTimeOffsets(printed), { monotonicNs: -11_500_000_000n, boottimeNs: 604_800_000_000_000n });
  assert.equal(formatTimeOffsets({ monotonicNs: -11_500_000_000n, boottimeNs: -1n }), "monotonic -12 500000000\nboottime -1 999999999\n");
});

test("what is written is read as the same", () => {
  const offset = fc.bigInt({ min: -(10n ** 18n), max: 10n ** 18n });
  fc.assert(
    fc.property(offset, offset, (monotonicNs, boottimeNs) => {
      assert.deepEqual(parseTimeOffsets(formatTimeOffsets({ monotonicNs, boottimeNs })), { monotonicNs, boottimeNs });
    }),
  );
});

test("this process has offsets where the kernel has time namespaces", () => {
  const offsets = readTimeOffsets("self");
  assert.ok(offsets === null || typeof offsets.monotonicNs === "bigint");
});

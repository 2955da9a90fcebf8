import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { AssertionError } from "./assert.ts";
import { SeededRandom } from "./random.ts";
import { fromWord, toWord } from "./words.ts";

test("every 64-bit word comes back from its text", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (value) => {
      assert.match(toWord(value), /^0x(0|[1-9a-f][0-9a-f]*)$/);
      assert.equal(fromWord(toWord(value)), value);
    }),
    { seed: new SeededRandom().seed },
  );
});

test("what is no 64-bit word is a mistake of the caller", () => {
  assert.throws(() => toWord(-1n), AssertionError);
  assert.throws(() => toWord(1n << 64n), AssertionError);
  for (const text of ["", "0x", "12", "0X1", "0xG", "0x12345678901234567", "-0x1", " 0x1"])
    assert.throws(() => fromWord(text), AssertionError, text);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "./random.ts";

test("the same seed gives the same numbers, and another seed others", () => {
  const draw = (seed: number) =>
    Array.from(
      { length: 8 },
      function (this: SeededRandom) {
        return this.nextUint32();
      },
      new SeededRandom(seed),
    );
  assert.deepEqual(draw(7), draw(7));
  assert.notDeepEqual(draw(7), draw(8));
  assert.notDeepEqual(draw(0), draw(1));
});

test("xoshiro128** gives the numbers of its reference for the state 1, 2, 3, 4", () => {
  assert.deepEqual(
    [0, 1, 2, 3].map(
      function (this: SeededRandom) {
        return this.nextUint32();
      },
      SeededRandom.fromState([1, 2, 3, 4]),
    ),
    [11520, 0, 5927040, 70819200],
  );
});

test("integers reach both ends of their range and stay inside", () => {
  const random = new SeededRandom(1);
  const drawn = Array.from({ length: 2000 }, () => random.integer(-2, 3));
  assert.deepEqual(
    [...new Set(drawn)].toSorted((a, b) => a - b),
    [-2, -1, 0, 1, 2, 3],
  );
  assert.equal(random.integer(5, 5), 5);
  assert.equal(random.bytes(5).length, 5);
  assert.equal(random.pick(["only"]), "only");
});

test("the seed is told in the words that replay it", () => {
  assert.equal(String(new SeededRandom(42)), "CAIRN_SEED=42");
});

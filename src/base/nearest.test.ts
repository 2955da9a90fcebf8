import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { editDistance, nearest } from "./nearest.ts";
import { SeededRandom } from "./random.ts";

test("a slip of the fingers finds the word that was meant", () => {
  const words = ["python3", "java", "lu-decomposition", "train", "a"];
  assert.equal(nearest("pyhton3", words), "python3");
  assert.equal(nearest("jaba", words), "java");
  assert.equal(nearest("lu-decompsition", words), "lu-decomposition");
  assert.equal(nearest("Train", words), "train");
});

test("a word unlike all others suggests nothing", () => {
  assert.equal(nearest("postgres", ["python3", "java"]), undefined);
  assert.equal(nearest("x", ["java"]), undefined);
  assert.equal(nearest("java", []), undefined);
});

test("a distance is counted alike in both directions, and a limit only cuts it off", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 8 });
  fc.assert(
    fc.property(word, word, fc.integer({ min: 1, max: 9 }), (from, to, limit) => {
      const distance = editDistance(from, to);
      assert.equal(distance, editDistance(to, from));
      assert.equal(distance === 0, from === to);
      assert.equal(editDistance(from, to, limit), Math.min(distance, limit));
    }),
    { seed: new SeededRandom().seed },
  );
  assert.equal(editDistance("abcd", "badc"), 2);
});

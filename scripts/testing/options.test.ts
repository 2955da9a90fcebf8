import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTestOptions, planTests } from "./options.ts";

const find = (_root: string, patterns: readonly string[]): string[] =>
  patterns.some((pattern) => pattern.startsWith("src/")) ? ["src/base/a.test.ts", "src/image/b.test.ts"] : ["test/run.test.ts"];

const plan = (...argv: string[]): { unit: readonly string[]; endToEnd: readonly string[]; namePattern: string | undefined } => {
  const { namePattern, ...files } = planTests("/", parseTestOptions(argv), find);
  return { ...files, namePattern: namePattern?.source };
};

test("everything runs unless something is chosen", () => {
  assert.deepEqual(plan(), { unit: ["src/base/a.test.ts", "src/image/b.test.ts"], endToEnd: ["test/run.test.ts"], namePattern: undefined });
  assert.deepEqual(plan("--unit", "--e2e"), plan());
  assert.deepEqual(plan("--e2e").unit, []);
  assert.deepEqual(plan("--unit").endToEnd, []);
});

test("a filter means files when it matches their paths, and names of tests otherwise", () => {
  assert.deepEqual(plan("--filter", "image"), { unit: ["src/image/b.test.ts"], endToEnd: [], namePattern: undefined });
  assert.deepEqual(plan("--filter", "keeps a pipe").namePattern, "keeps a pipe");
  assert.equal(plan("--filter", "keeps a pipe").unit.length, 2);
});

test("files can be named", () => {
  assert.deepEqual(plan("./test/run.test.ts"), { unit: [], endToEnd: ["test/run.test.ts"], namePattern: undefined });
});

test("an option that does not exist is an error", () => {
  assert.throws(() => parseTestOptions(["--fast"]));
});

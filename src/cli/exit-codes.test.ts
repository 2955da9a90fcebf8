import assert from "node:assert/strict";
import { test } from "node:test";
import { errorCodeOf, exitCodeOf, exitCodesHelp } from "./exit-codes.ts";

const codes = [
  "usage",
  "not-found",
  "conflict",
  "unsupported",
  "damaged",
  "incompatible",
  "changed",
  "permission",
  "syscall",
  "exited",
  "interrupted",
  "io",
] as const;

test("each kind of failure has an exit code of its own that programs rarely use", () => {
  const exits = codes.map(exitCodeOf);
  assert.equal(new Set(exits).size, codes.length);
  for (const exit of exits) assert.ok(exit >= 64 && exit <= 130);
});

test("every exit code is documented", () => {
  for (const code of codes) assert.match(exitCodesHelp(), new RegExp(`^ +${exitCodeOf(code)}  \\S`, "m"));
});

test("an exit code leads back to its error", () => {
  assert.equal(errorCodeOf(exitCodeOf("damaged")), "damaged");
  assert.equal(errorCodeOf(1), undefined);
});

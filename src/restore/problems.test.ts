import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { test } from "node:test";
import { CairnError } from "../base/errors.ts";
import { collect, eachFileOnce, joinProblems } from "./problems.ts";

const missing = (path: string): CairnError =>
  new CairnError("changed", `Cannot restart: ${path} is missing`, { data: { path }, hint: "Put it back" });

test("one problem is told as it is, several together with each hint once", () => {
  const one = missing("/a");
  assert.equal(joinProblems([one]), one);
  const other = new CairnError("conflict", "Cannot restart: pid 7 is taken by process 7 (sh)", { hint: "End it" });
  const all = joinProblems([one, missing("/b"), other]);
  assert.equal(all.code, "changed");
  assert.equal(
    all.message,
    "Cannot restart, for 3 reasons:\n       - /a is missing\n       - /b is missing\n       - pid 7 is taken by process 7 (sh)",
  );
  assert.equal(all.hint, "Put it back\n       End it");
});

test("a file that is missing in several ways is told once", () => {
  const other = new CairnError("conflict", "Cannot restart: no pids");
  assert.equal(eachFileOnce([missing("/a"), missing("/b"), missing("/a"), other, other]).length, 4);
});

test("comparing goes on behind what fails, and a defect is no problem of the machine", () => {
  const problems: CairnError[] = [];
  collect(problems, () => {
    throw missing("/a");
  });
  collect(problems, () => void statSync("/proc/self/exe/below"));
  assert.deepEqual(
    problems.map(({ code }) => code),
    ["changed", "io"],
  );
  assert.throws(() => collect(problems, () => assert.fail("a defect")), /a defect/);
});

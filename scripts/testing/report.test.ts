import assert from "node:assert/strict";
import { test } from "node:test";
import { isAllowedSkip, type AllowedSkip } from "./allowed-skips.ts";
import { closingLine, countOutcomes, printSummary } from "./report.ts";
import type { TestOutcome } from "./run-file.ts";

const outcome = (kind: TestOutcome["kind"], name = "a test", detail = ""): TestOutcome => ({
  file: "test/x.test.ts",
  name,
  kind,
  detail,
  durationMs: 1,
});

function summary(outcomes: readonly TestOutcome[], requireAll: boolean, log: (...words: unknown[]) => void = () => undefined): boolean {
  const before = console.log;
  console.log = log;
  try {
    return printSummary(outcomes, requireAll);
  } finally {
    console.log = before;
  }
}

test("the closing line counts, and speaks of skipped tests only if there are any", () => {
  assert.equal(closingLine(countOutcomes([outcome("passed"), outcome("passed")])), "2 passed, 0 failed");
  assert.equal(closingLine(countOutcomes([outcome("failed"), outcome("skipped")])), "0 passed, 1 failed, 1 skipped");
});

test("a run is good when something ran and nothing failed", () => {
  assert.equal(summary([outcome("passed")], true), true);
  assert.equal(summary([outcome("passed"), outcome("failed")], false), false);
  assert.equal(summary([], false), false);
  assert.equal(summary([outcome("skipped")], false), false);
});

test("a skipped test is named with its reason, and fails the run where every test is required", () => {
  const printed: string[] = [];
  const outcomes = [outcome("passed"), outcome("skipped", "a Rust program goes on", "no rustc on this machine")];
  assert.equal(
    summary(outcomes, false, (text) => printed.push(String(text))),
    true,
  );
  assert.match(printed.join("\n"), / {2}no rustc on this machine:\n {4}test\/x\.test\.ts: a Rust program goes on/);
  assert.equal(summary(outcomes, true), false);
});

test("a skip is excused only for the reason that is listed, and only while the machine bears it out", () => {
  let possible = false;
  const list: AllowedSkip[] = [{ said: /^no GPU$/, because: "there is none", cannotRun: () => !possible }];
  assert.equal(isAllowedSkip(outcome("skipped", "x", "no GPU"), list), true);
  assert.equal(isAllowedSkip(outcome("skipped", "x", "no gcc"), list), false);
  possible = true;
  assert.equal(isAllowedSkip(outcome("skipped", "x", "no GPU"), list), false);
});

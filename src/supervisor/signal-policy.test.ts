import assert from "node:assert/strict";
import { test } from "node:test";
import { onStop, passedSignals, passesOn } from "./signal-policy.ts";

const atTerminal = { foreground: true, hungUp: false, borrowed: false };
const elsewhere = { foreground: false, hungUp: false, borrowed: false };
const hungUp = { foreground: false, hungUp: true, borrowed: false };

const keys = ["SIGINT", "SIGQUIT", "SIGTSTP", "SIGWINCH"] as const;

test("Ctrl-C is not delivered twice", () => {
  for (const signal of keys) assert.equal(passesOn(signal, "kernel", atTerminal), false, signal);
});

test("kill -INT to cairn alone reaches the job, at a terminal too", () => {
  for (const signal of keys) assert.equal(passesOn(signal, "process", atTerminal), true, signal);
});

test("where the sender cannot be seen, the foreground decides", () => {
  for (const signal of keys) {
    assert.equal(passesOn(signal, "unknown", atTerminal), false, signal);
    assert.equal(passesOn(signal, "unknown", elsewhere), true, signal);
  }
});

test("a limit of cairn's own is not the job's", () => {
  assert.equal(passesOn("SIGXCPU", "kernel", elsewhere), false);
});

test("SIGTERM to cairn reaches the job wherever cairn runs", () => {
  assert.equal(passesOn("SIGTERM", "process", atTerminal), true);
  assert.equal(passesOn("SIGTERM", "unknown", elsewhere), true);
});

test("SIGHUP is passed on unless the terminal itself hung up", () => {
  assert.equal(passesOn("SIGHUP", "process", elsewhere), true);
  assert.equal(passesOn("SIGHUP", "process", atTerminal), true);
  assert.equal(passesOn("SIGHUP", "process", hungUp), false);
  assert.equal(passesOn("SIGHUP", "kernel", hungUp), false);
});

test("signals that cannot be caught are not in the list", () => {
  assert.ok(!passedSignals.includes("SIGKILL"));
  assert.ok(!passedSignals.includes("SIGSTOP"));
});

test("a key that went to cairn's group is passed on to a job that should have had the terminal", () => {
  const missed = { foreground: true, hungUp: false, borrowed: true };
  for (const signal of keys) {
    assert.equal(passesOn(signal, "kernel", missed), true, signal);
    assert.equal(passesOn(signal, "unknown", missed), true, signal);
    assert.equal(passesOn(signal, "kernel", { ...missed, foreground: false }), false, signal);
  }
  assert.equal(passesOn("SIGXCPU", "kernel", missed), false);
});

const together = { controllingTerminal: true, foreground: true, withJob: false, borrowed: false, canBeContinued: true };
const apart = { ...together, foreground: false, withJob: true, borrowed: true };
const background = { ...together, foreground: false };

test("Ctrl-Z stops cairn with its job", () => {
  assert.equal(onStop(20, together), "stop");
  assert.equal(onStop(20, apart), "stop");
});

test("a job that stops itself while its own group has the terminal stops cairn too", () => {
  assert.equal(onStop(19, apart), "stop");
});

test("a background job that reads the terminal stops cairn too", () => {
  assert.equal(onStop(21, background), "stop");
});

test("a job that wants the terminal which cairn has been given gets it", () => {
  assert.equal(onStop(21, { ...together, borrowed: true }), "lend");
  assert.equal(onStop(22, { ...together, borrowed: true }), "lend");
  assert.equal(onStop(21, { ...background, borrowed: true }), "stop");
});

test("cairn runs on where nobody would continue it, and so does a job that Ctrl-Z stopped there", () => {
  assert.equal(onStop(19, background), "stay");
  assert.equal(onStop(20, { ...together, controllingTerminal: false }), "stay");
  assert.equal(onStop(20, { ...together, canBeContinued: false }), "stay");
  assert.equal(onStop(20, { ...apart, canBeContinued: false }), "continue");
});

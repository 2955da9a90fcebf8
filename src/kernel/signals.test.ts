import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import {
  decodeWaitStatus,
  maskHas,
  maskOf,
  shellExitStatus,
  SIGNAL_COUNT,
  signalName,
  signalNumber,
  SIGNALS,
  signalsOf,
  stopsByDefault,
} from "./signals.ts";

test("every signal's name leads back to its number", () => {
  for (let signal = 1; signal <= SIGNAL_COUNT; signal++) assert.equal(signalNumber(signalName(signal)), signal);
});

test("a signal is found by name in any case, with or without SIG, and by number", () => {
  for (const text of ["SIGTERM", "TERM", "term", "SigTerm", "15", " 15 "]) assert.equal(signalNumber(text), 15);
  assert.equal(signalNumber("IOT"), SIGNALS.SIGABRT);
  assert.equal(signalNumber("RTMIN+3"), 37);
  assert.equal(signalNumber("SIGRTMAX-1"), 63);
});

test("what is no signal has no number", () => {
  for (const text of ["", "SIG", "0", "65", "-1", "999", "FOO", "RTMIN-1", "RTMAX+1", "RTMIN+31", "9; rm", "toString", "constructor"]) {
    assert.equal(signalNumber(text), null, text);
  }
});

test("the two signals that the C library keeps are named by number, the real-time ones from the ends of their range", () => {
  assert.deepEqual([32, 33, 34, 35, 63, 64].map(signalName), ["SIG32", "SIG33", "SIGRTMIN", "SIGRTMIN+1", "SIGRTMIN+29", "SIGRTMAX"]);
});

test("a mask holds bit n-1 for signal n, up to the last", () => {
  assert.equal(maskOf(1), 1n);
  assert.equal(maskOf(SIGNALS.SIGINT, 64), 0x8000000000000002n);
  assert.deepEqual(signalsOf(0x8000000000000002n), [2, 64]);
  assert.equal(maskHas(0x8000000000000002n, 64), true);
  assert.equal(maskHas(0x8000000000000002n, 63), false);
  assert.equal(maskOf(), 0n);
});

test("wait statuses decode as waitpid's macros do", () => {
  assert.deepEqual(decodeWaitStatus(0), { kind: "exited", code: 0 });
  assert.deepEqual(decodeWaitStatus(0xff00), { kind: "exited", code: 255 });
  assert.deepEqual(decodeWaitStatus(9), { kind: "signaled", signal: 9, coreDumped: false });
  assert.deepEqual(decodeWaitStatus(0x8b), { kind: "signaled", signal: 11, coreDumped: true });
  assert.deepEqual(decodeWaitStatus(0x40), { kind: "signaled", signal: 64, coreDumped: false });
  assert.deepEqual(decodeWaitStatus(0x137f), { kind: "stopped", signal: 19, event: 0 });
  assert.deepEqual(decodeWaitStatus(0x80057f), { kind: "stopped", signal: 5, event: 128 });
  assert.deepEqual(decodeWaitStatus(0x857f), { kind: "stopped", signal: 0x85, event: 0 });
  assert.deepEqual(decodeWaitStatus(0xffff), { kind: "continued" });
});

test("a wait status becomes the exit status that a shell gives", () => {
  assert.equal(shellExitStatus(0x0300), 3);
  for (const signal of ["TERM", "KILL", "SEGV"] as const) {
    const shell = spawnSync("sh", ["-c", `sh -c 'ulimit -c 0; kill -${signal} $$'; exit $?`]);
    assert.equal(shellExitStatus(SIGNALS[`SIG${signal}`]), shell.status);
  }
  assert.throws(() => shellExitStatus(0x137f), /lives/);
});

test("four signals stop a process by default", () => {
  const stopping = Array.from({ length: SIGNAL_COUNT }, (_, index) => index + 1).filter(stopsByDefault);
  assert.deepEqual(stopping.map(signalName), ["SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU"]);
});

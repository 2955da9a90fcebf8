import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSyscall } from "../kernel/procfs/mod.ts";
import { relativeWait } from "./losses.ts";

const wait = (raw: string): string | null => {
  const call = parseSyscall(raw);
  return call === null ? null : relativeWait(call);
};

test("a wait for a length of time starts anew, a wait until a time does not", () => {
  assert.equal(wait("35 0x7ffd0000 0x0 0x0 0x0 0x0 0x0 0x7ffd0000 0x7f0000\n"), "nanosleep");
  assert.equal(wait("230 0x0 0x0 0x7ffd0000 0x0 0x0 0x0 0x7ffd0000 0x7f0000\n"), "clock_nanosleep");
  assert.equal(wait("230 0x1 0x1 0x7ffd0000 0x0 0x0 0x0 0x7ffd0000 0x7f0000\n"), null);
  assert.equal(wait("7 0x7ffd0000 0x1 0x3e8 0x0 0x0 0x0 0x7ffd0000 0x7f0000\n"), "poll");
  assert.equal(wait("7 0x7ffd0000 0x1 0xffffffff 0x0 0x0 0x0 0x7ffd0000 0x7f0000\n"), null);
});

test("a thread that runs, or sleeps in no system call, waits for nothing", () => {
  assert.equal(wait("running\n"), null);
  assert.equal(wait("-1 0x7ffd0000 0x7f0000\n"), null);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { mayAskListener, verdictOf } from "./seccomp-verdict.ts";

const [ALLOW, LOG, ERRNO, TRACE, NOTIFY, TRAP, KILL] = [0x7fff0000, 0x7ffc0000, 0x50001, 0x7ff00000, 0x7fc00000, 0x30000, 0x80000000];
const [LOAD, LOAD_X_IMMEDIATE, IMMEDIATE, STORE, LOAD_MEMORY, RETURN, RETURN_A] = [0x20, 0x01, 0x00, 0x02, 0x60, 0x06, 0x16];
const [EQUAL, GREATER, SET, ALWAYS, AND, DIVIDE_BY_X, TO_X, TO_A] = [0x15, 0x25, 0x45, 0x05, 0x54, 0x3c, 0x07, 0x87];
const [NUMBER, ARCHITECTURE, FIRST_ARGUMENT, FIRST_ARGUMENT_HIGH] = [0, 4, 16, 20];

function program(...instructions: [code: number, k: number, jt?: number, jf?: number][]): Buffer {
  return Buffer.concat(
    instructions.map(([code, k, jt = 0, jf = 0]) => {
      const bytes = Buffer.alloc(8);
      bytes.writeUInt16LE(code, 0);
      bytes.writeUInt8(jt, 2);
      bytes.writeUInt8(jf, 3);
      bytes.writeUInt32LE(k, 4);
      return bytes;
    }),
  );
}

const call = { number: SYSCALLS.munmap, arguments: [0x1_0000_2000n, 0x1000n], instruction: 0x7000n };
const answer = (action: number) => program([RETURN, action]);

test("a filter's answer says what becomes of a thread that nobody traces", () => {
  const verdicts = [ALLOW, LOG, ERRNO, TRACE, NOTIFY, TRAP, KILL, 0, 0x12340000].map((action) => verdictOf([answer(action)], call));
  assert.deepEqual(verdicts, ["allowed", "allowed", "refused", "refused", "fatal", "fatal", "fatal", "fatal", "fatal"]);
  assert.equal(verdictOf([], call), "allowed");
});

test("of several filters the strictest counts, whichever it is", () => {
  assert.equal(verdictOf([answer(ALLOW), answer(ERRNO), answer(TRACE)], call), "refused");
  assert.equal(verdictOf([answer(KILL), answer(ALLOW)], call), "fatal");
  assert.equal(verdictOf([answer(TRAP), answer(ERRNO)], call), "fatal");
});

test("a filter sees number, architecture and arguments", () => {
  const only = (offset: number, value: number) =>
    verdictOf([program([LOAD, offset], [EQUAL, value, 0, 1], [RETURN, ALLOW], [RETURN, KILL])], call);
  assert.equal(only(NUMBER, SYSCALLS.munmap), "allowed");
  assert.equal(only(NUMBER, SYSCALLS.mmap), "fatal");
  assert.equal(only(ARCHITECTURE, 0xc000003e), "allowed");
  assert.equal(only(FIRST_ARGUMENT, 0x2000), "allowed");
  assert.equal(only(FIRST_ARGUMENT_HIGH, 1), "allowed");
});

test("a filter calculates, remembers and jumps as the kernel has it", () => {
  const verdict = (...instructions: Parameters<typeof program>) => verdictOf([program(...instructions)], call);
  const masked = [LOAD, FIRST_ARGUMENT] as [number, number];
  assert.equal(
    verdict(masked, [AND, 0xf000], [STORE, 3], [IMMEDIATE, 0], [LOAD_MEMORY, 3], [EQUAL, 0x2000, 0, 1], [RETURN, ALLOW], [RETURN, KILL]),
    "allowed",
  );
  assert.equal(verdict([IMMEDIATE, 0xffffffff], [GREATER, 0x7fffffff, 0, 1], [RETURN, ALLOW], [RETURN, KILL]), "allowed");
  assert.equal(verdict(masked, [SET, 0x2000, 1, 0], [RETURN, KILL], [ALWAYS, 1], [RETURN, KILL], [RETURN, ALLOW]), "allowed");
  assert.equal(verdict([IMMEDIATE, ALLOW], [TO_X, 0], [IMMEDIATE, 0], [TO_A, 0], [RETURN_A, 0]), "allowed");
  assert.equal(verdict([LOAD_X_IMMEDIATE, 0], [IMMEDIATE, 8], [DIVIDE_BY_X, 0], [RETURN, ALLOW]), "fatal");
});

test("a filter that may ask another process is known by its constants", () => {
  assert.ok(mayAskListener(program([LOAD, NUMBER], [EQUAL, 1, 0, 1], [RETURN, NOTIFY], [RETURN, ALLOW])));
  assert.ok(mayAskListener(program([IMMEDIATE, NOTIFY], [RETURN_A, 0])));
  assert.ok(!mayAskListener(program([LOAD, NUMBER], [EQUAL, NOTIFY, 0, 1], [RETURN, ERRNO], [RETURN, ALLOW])));
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { REGISTERS_BYTES, Registers } from "./registers.ts";
import { isRestartedCall, restartedCall } from "./restarted-call.ts";

const SYSCALL = [0x0f, 0x05];
const POINTER = 0x7f00_0000_1000n;

function waiting(rdi: bigint, rsi: bigint, r10 = 0n): Registers {
  const registers = new Registers(Buffer.alloc(REGISTERS_BYTES));
  for (const [name, value] of [
    ["rdi", rdi],
    ["rsi", rsi],
    ["r10", r10],
    ["orig_rax", 219n],
    ["rax", -516n],
  ] as const)
    registers.set(name, value);
  return registers;
}

test("only a wait that was stopped twice is a restarted call", () => {
  assert.ok(isRestartedCall(waiting(POINTER, 1n)));
  const first = waiting(POINTER, 1n);
  first.set("orig_rax", 7n);
  assert.ok(!isRestartedCall(first));
});

test("the number is the one that was loaded last before the system call", () => {
  const load = (number: number) => [0xb8, number & 0xff, number >> 8, 0, 0];
  const code = Buffer.from([...load(35), 0x90, ...load(202), 0x48, 0x89, 0xf7, ...SYSCALL]);
  assert.equal(restartedCall(waiting(POINTER, 1n), code), 202);
  assert.equal(restartedCall(waiting(POINTER, 1n), Buffer.from([...load(7), ...load(1), ...SYSCALL])), 7);
});

test("without such an instruction the arguments tell", () => {
  const code = Buffer.from(SYSCALL);
  assert.equal(restartedCall(waiting(1n, 0n), code), 230);
  assert.equal(restartedCall(waiting(POINTER, 0n), code), 35);
  assert.equal(restartedCall(waiting(POINTER, POINTER), code), 35);
  assert.equal(restartedCall(waiting(POINTER, 3n), code), 7);
  assert.equal(restartedCall(waiting(POINTER, 137n, POINTER), code), 202);
});

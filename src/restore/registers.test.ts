import assert from "node:assert/strict";
import { test } from "node:test";
import type { Thread } from "../image/mod.ts";
import { Registers } from "../tracee/x86-64/registers.ts";
import { finalRegisters, fitExtendedRegisters } from "./registers.ts";

function thread(syscall: bigint, result: bigint): Thread {
  const registers = new Registers(Buffer.alloc(216));
  registers.set("rip", 0x401234n);
  registers.set("rax", result);
  registers.set("orig_rax", syscall);
  return { tid: 7, registers: registers.bytes.toString("base64") } as unknown as Thread;
}

test("an interrupted call is issued again after a restart, a sleep from its start", () => {
  for (const [syscall, result] of [
    [0n, -512n],
    [7n, -516n],
    [35n, -516n],
    [232n, -514n],
  ] as const) {
    const final = finalRegisters(thread(syscall, result));
    assert.deepEqual([final.get("rip"), final.get("rax")], [0x401232n, syscall], `call ${syscall}`);
    assert.equal(final.syscall, -1, "the kernel must not restart it a second time");
  }
});

test("a finished call keeps its result", () => {
  const final = finalRegisters(thread(0n, 12n));
  assert.deepEqual([final.get("rip"), final.get("rax")], [0x401234n, 12n]);
});

function area(lengthBytes: number, inUse: bigint): Thread {
  const bytes = Buffer.alloc(lengthBytes);
  bytes.writeBigUInt64LE(inUse, 512);
  return { tid: 7, extendedRegisters: bytes.toString("base64") } as unknown as Thread;
}

test("vector registers fit a processor with a larger area", () => {
  assert.equal(fitExtendedRegisters(area(832, 7n), 2696, 0xe7n).length, 2696);
});

test("registers in use that this processor lacks are refused by name", () => {
  assert.throws(() => fitExtendedRegisters(area(2696, 0xe7n), 832, 7n), /features 0xe0\) that this machine lacks/);
});

test("a larger area of which nothing is in use fits a smaller one", () => {
  assert.equal(fitExtendedRegisters(area(2696, 3n), 832, 7n).length, 832);
});

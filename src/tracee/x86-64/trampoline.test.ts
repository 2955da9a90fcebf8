import assert from "node:assert/strict";
import { test } from "node:test";
import { Registers } from "./registers.ts";
import { TRAMPOLINE_BYTES, trampoline } from "./trampoline.ts";
import type { TrampolineVariant } from "./trampoline.ts";

const SYSCALL = [0x0f, 0x05];
const VARIANTS: readonly TrampolineVariant[] = [
  { kind: "call", scratch: null },
  { kind: "call", scratch: { address: 0x7f0000000000n, lengthBytes: 65536 } },
  { kind: "map", lengthBytes: 65536 },
  { kind: "clone", scratch: { address: 0x7f0000000000n, lengthBytes: 65536 } },
  { kind: "exit" },
];

function stopped(syscall: bigint, result: bigint): Registers {
  const registers = new Registers(Buffer.alloc(216));
  registers.set("rip", 0x401234n);
  registers.set("rsp", 0x7ffd00001000n);
  registers.set("rax", result);
  registers.set("orig_rax", syscall);
  return registers;
}

/** Where the trampoline jumps in the end, and what it loads into rax: the last `movabs rax` before `jmp [rip]`. */
function ending(code: Buffer): { readonly rip: bigint; readonly rax: bigint } {
  const jump = code.indexOf(Buffer.from([0xff, 0x25, 0, 0, 0, 0]));
  assert.ok(jump > 10, "it jumps back in the end");
  assert.deepEqual([...code.subarray(jump - 10, jump - 8)], [0x48, 0xb8], "rax is loaded last");
  return { rip: code.readBigUInt64LE(jump + 6), rax: code.readBigUInt64LE(jump - 8) };
}

test("every trampoline starts with a system call and fits its place", () => {
  for (const variant of VARIANTS) {
    const code = trampoline(stopped(-1n, 0n), 0n, variant);
    assert.deepEqual([...code.subarray(0, 2)], SYSCALL, variant.kind);
    assert.ok(code.length <= TRAMPOLINE_BYTES, `${variant.kind}: ${code.length} bytes`);
  }
});

test("a thread that was in no system call is brought back to where it was", () => {
  const own = stopped(-1n, 77n);
  assert.deepEqual(ending(trampoline(own, 0n, { kind: "call", scratch: null })), { rip: 0x401234n, rax: 77n });
});

test("an interrupted system call is issued again, as the kernel would", () => {
  for (const code of [-512n, -513n, -514n]) {
    assert.deepEqual(
      ending(trampoline(stopped(0n, code), 0n, { kind: "call", scratch: null })),
      { rip: 0x401232n, rax: 0n },
      `read interrupted with ${code}`,
    );
  }
});

test("a sleep goes on by restart_syscall, which knows what is left of it", () => {
  assert.deepEqual(ending(trampoline(stopped(35n, -516n), 0n, { kind: "call", scratch: null })), { rip: 0x401232n, rax: 219n });
});

test("a system call that has its result is left alone", () => {
  assert.deepEqual(ending(trampoline(stopped(0n, 5n), 0n, { kind: "call", scratch: null })), { rip: 0x401234n, rax: 5n });
  assert.deepEqual(ending(trampoline(stopped(0n, -11n), 0n, { kind: "call", scratch: null })), {
    rip: 0x401234n,
    rax: BigInt.asUintN(64, -11n),
  });
});

test("a helper's trampoline can only exit", () => {
  const code = trampoline(stopped(-1n, 0n), 0n, { kind: "exit" });
  assert.equal(code.toString("hex"), "0f0531ffb83c0000000f05");
});

test("the thread's own signal mask is carried along", () => {
  const mask = 0x1234_5678_9abc_def0n;
  const wanted = Buffer.alloc(8);
  wanted.writeBigUInt64LE(mask);
  assert.ok(trampoline(stopped(-1n, 0n), mask, { kind: "call", scratch: null }).includes(wanted));
});

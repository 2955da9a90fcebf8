import assert from "node:assert/strict";
import { test } from "node:test";
import { asPid, asRemoteAddress } from "../base/ids.ts";
import type { ImageReader, LiveProcessImage } from "../image/mod.ts";
import { readMaps } from "../kernel/procfs/mod.ts";
import { readRemoteExactly } from "../kernel/remote-memory.ts";
import { planVdso } from "./vdso.ts";

const maps = readMaps(asPid(process.pid)) ?? [];
const own = maps.find((entry) => entry.special === "vdso");
const data = maps.filter((entry) => entry.special === "vvar" || entry.special === "vvar_vclock");

/** An image of this process's vdso, with `change` made to its bytes. */
function image(change: (code: Buffer) => void): { reader: ImageReader; live: LiveProcessImage; code: Buffer } {
  assert.ok(own !== undefined, "this process has a vdso");
  const code = readRemoteExactly(asPid(process.pid), asRemoteAddress(own.start), Number(own.end - own.start));
  change(code);
  const mapping = (kind: string, entry: { start: bigint; end: bigint }, runs: unknown[]): unknown => ({
    kind,
    start: `0x${entry.start.toString(16)}`,
    end: `0x${entry.end.toString(16)}`,
    runs,
  });
  const live = { mappings: [...data.map((entry) => mapping("vvar", entry, [])), mapping("vdso", own, [[0, code.length / 4096, 0]])] };
  const reader = { readPages: (at: number, count: number) => code.subarray(at * 4096, (at + count) * 4096) };
  return { reader: reader as unknown as ImageReader, live: live as unknown as LiveProcessImage, code };
}

test("the same kernel's vdso is mapped where it was, its data before it", () => {
  const { reader, live } = image(() => {});
  assert.deepEqual(planVdso(reader, live), { kind: "same", start: data[0]?.start });
});

test("another kernel's vdso is replaced, each function by its system call", () => {
  const { reader, live } = image((code) => {
    code[code.length - 1] = 1; // Any other byte makes it another kernel's.
  });
  const plan = planVdso(reader, live);
  assert.equal(plan.kind, "replaced");
  if (plan.kind !== "replaced") return;
  const isStub = (number: number): boolean => plan.bytes.includes(Buffer.from([0xb8, number & 0xff, number >> 8, 0, 0, 0x0f, 0x05, 0xc3]));
  for (const [name, number] of [
    ["clock_gettime", 228],
    ["gettimeofday", 96],
    ["time", 201],
    ["getcpu", 309],
  ] as const) {
    assert.ok(isStub(number), `${name} is a system call now`);
  }
});

test("a process without a vdso gets none", () => {
  assert.deepEqual(planVdso({} as ImageReader, { mappings: [] } as unknown as LiveProcessImage), { kind: "none" });
});

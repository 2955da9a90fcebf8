import assert from "node:assert/strict";
import { test } from "node:test";
import type { RemoteAddress } from "../../base/ids.ts";
import type { RemoteMemoryFile } from "../../kernel/remote-memory.ts";
import { PLACE_MARK, findTrampolinePlace } from "./trampoline-place.ts";
import type { Standing } from "./trampoline-place.ts";

const ROOM = 768;
const CODE = 0x10000n;
const STACK = 0x20000n;

/** Memory of two mappings, read as /proc/PID/mem is. */
class Memory {
  readonly mappings = new Map<bigint, Buffer>([
    [CODE, Buffer.alloc(4096)],
    [STACK, Buffer.alloc(4096)],
  ]);

  read(address: bigint, lengthBytes: number): Buffer {
    for (const [start, bytes] of this.mappings) {
      const at = Number(address - start);
      if (at >= 0 && at < bytes.length) return bytes.subarray(at, at + lengthBytes);
    }
    return Buffer.alloc(0);
  }

  get code(): Buffer {
    return this.mappings.get(CODE) ?? Buffer.alloc(0);
  }

  get stack(): Buffer {
    return this.mappings.get(STACK) ?? Buffer.alloc(0);
  }
}

const elsewhere: Standing = { instruction: 0x400000n, stack: STACK };

function find(memory: Memory, threads: readonly Standing[] = [elsewhere]): RemoteAddress | null {
  const ranges = [{ start: CODE, end: CODE + 4096n, isVdso: true }];
  return findTrampolinePlace(memory as unknown as RemoteMemoryFile, ranges, ROOM, threads);
}

/** What a Cairn that is killed leaves. */
function leaveBehind(memory: Memory, place: bigint): void {
  const at = Number(place - CODE);
  memory.code.fill(0x90, at, at + ROOM);
  PLACE_MARK.copy(memory.code, at + ROOM);
}

function fillUp(memory: Memory): bigint[] {
  const places: bigint[] = [];
  memory.code.fill(0xcc, 0, 1000);
  for (;;) {
    const place = find(memory);
    assert.ok(place !== null);
    if (places.includes(place)) return places;
    places.push(place);
    leaveBehind(memory, place);
  }
}

test("what was left behind is not overwritten as long as there is room beside it", () => {
  const memory = new Memory();
  const places = fillUp(memory);
  assert.ok(places.length >= 3, `${places.length} places`);
  for (const [index, place] of places.entries()) {
    assert.equal(place % 16n, 0n);
    assert.ok(place >= CODE + 1000n && place + BigInt(ROOM + PLACE_MARK.length) <= CODE + 4096n);
    if (index > 0) assert.ok(place >= (places[index - 1] ?? 0n) + BigInt(ROOM + PLACE_MARK.length));
  }
});

test("without room the first place is taken that no thread stands in or comes back to", () => {
  const memory = new Memory();
  const [first = 0n, second = 0n, third = 0n] = fillUp(memory);
  assert.equal(find(memory), first);
  assert.equal(find(memory, [elsewhere, { instruction: first + 40n, stack: STACK }]), second);
  // A handler runs, and returns into the second.
  memory.stack.writeBigUInt64LE(second + 2n, 640);
  assert.equal(find(memory, [elsewhere, { instruction: first, stack: STACK + 3n }]), third);
  memory.stack.writeBigUInt64LE(first, 8);
  memory.stack.writeBigUInt64LE(third, 16);
  memory.stack.writeBigUInt64LE(second, 4088);
  assert.equal(find(memory), null);
});

test("bytes that are no place of ours are left alone", () => {
  const memory = new Memory();
  memory.code.fill(0xcc);
  assert.equal(find(memory), null);
  // A mark with too little before it, and one that stands where ours never do.
  PLACE_MARK.copy(memory.code, 16);
  PLACE_MARK.copy(memory.code, 2001);
  assert.equal(find(memory), null);
});

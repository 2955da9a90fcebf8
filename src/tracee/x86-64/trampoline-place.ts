/**
 * Where a trampoline can stand in a tracee: in unused bytes of memory that it can execute.
 *
 * The vdso's last page ends in padding that nothing reads. Where a process has no vdso (or one without room), the zero
 * bytes behind the end of another private executable mapping serve. All are written through /proc/PID/mem into a private
 * copy of the page, and are zeroes again afterwards. If we are killed in between they stay behind, with a mark at their end:
 * a thread may still be on its way through them, or come back to them from a signal handler. Where no other room is left, the
 * first place that no thread can come back to is used again.
 */
import type { RemoteAddress } from "../../base/ids.ts";
import { asRemoteAddress } from "../../base/ids.ts";
import type { RemoteMemoryFile } from "../../kernel/remote-memory.ts";

/** Room left between what is used and us: tools that read the vdso as an ELF file see zero bytes as before. */
const MARGIN_BYTES = 16;

/** Stands behind the trampolines of a place as long as they do. */
export const PLACE_MARK = Buffer.from("cairn trampoline");

/** How far up a thread's stack it is looked for a way back. */
const STACK_BYTES = 1 << 18;

/** Where a thread stands. */
export interface Standing {
  readonly instruction: bigint;
  readonly stack: bigint;
}

export interface ExecutableRange {
  readonly start: bigint;
  readonly end: bigint;
  readonly isVdso: boolean;
}

/** The start of `roomBytes` unused bytes and a mark behind them, 16-aligned; null when no range has room. `threads`: all of the process, stopped. */
export function findTrampolinePlace(
  memory: RemoteMemoryFile,
  ranges: readonly ExecutableRange[],
  roomBytes: number,
  threads: readonly Standing[],
): RemoteAddress | null {
  const vdsoFirst = [...ranges].sort((a, b) => Number(b.isVdso) - Number(a.isVdso));
  const pages = vdsoFirst.map(({ end }) => {
    const start = end - 4096n;
    return { start, bytes: memory.read(asRemoteAddress(start), 4096) };
  });
  const whole = pages.filter(({ bytes }) => bytes.length === 4096);
  for (const { start, bytes } of whole) {
    let used = 4096;
    while (used > 0 && bytes[used - 1] === 0) used -= 1;
    const at = Math.ceil((used + MARGIN_BYTES) / 16) * 16;
    if (at + roomBytes + PLACE_MARK.length <= 4096) return asRemoteAddress(start + BigInt(at));
  }
  for (const { start, bytes } of whole) {
    for (let mark = bytes.indexOf(PLACE_MARK); mark >= 0; mark = bytes.indexOf(PLACE_MARK, mark + 1)) {
      const place = start + BigInt(mark - roomBytes);
      if (mark >= roomBytes && mark % 16 === 0 && !isInUse(memory, place, BigInt(roomBytes), threads)) return asRemoteAddress(place);
    }
  }
  return null;
}

/** Whether a thread is in there, or has an address in there on its stack: that of a signal's frame, to which the handler returns. */
function isInUse(memory: RemoteMemoryFile, start: bigint, lengthBytes: bigint, threads: readonly Standing[]): boolean {
  const isInside = (address: bigint): boolean => address >= start && address < start + lengthBytes;
  return threads.some(({ instruction, stack }) => {
    if (isInside(instruction)) return true;
    const words = memory.read(asRemoteAddress(stack & ~7n), STACK_BYTES);
    for (let at = 0; at + 8 <= words.length; at += 8) if (isInside(words.readBigUInt64LE(at))) return true;
    return false;
  });
}

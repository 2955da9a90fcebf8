/** Sizes: alignment, and byte counts in words that people read. */
import { assert } from "./assert.ts";

/** Precondition: the alignment is a power of two. */
export function alignUp<T extends number | bigint>(value: T, alignment: T): T {
  if (typeof value === "bigint") {
    const step = alignment as bigint;
    assert(step > 0n && (step & (step - 1n)) === 0n, `${step} is no alignment`);
    return (((value + step - 1n) / step) * step) as T;
  }
  const step = alignment as number;
  assert(isPowerOfTwo(step), `${step} is no alignment`);
  return (Math.ceil(value / step) * step) as T;
}

/** Precondition: the alignment is a power of two. */
export function alignDown<T extends number | bigint>(value: T, alignment: T): T {
  if (typeof value === "bigint") {
    const step = alignment as bigint;
    assert(step > 0n && (step & (step - 1n)) === 0n, `${step} is no alignment`);
    return ((value / step) * step) as T;
  }
  const step = alignment as number;
  assert(isPowerOfTwo(step), `${step} is no alignment`);
  return (Math.floor(value / step) * step) as T;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && Number.isInteger(Math.log2(value));
}

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `0 bytes`, `1 byte`, `4.0 KiB`, `312 MiB`: three digits, binary units. */
export function formatBytes(count: number): string {
  if (count === 1) return "1 byte";
  let value = count;
  let unit = 0;
  // 999.5 would be printed as 1000: step up before that.
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  if (unit === 0) return `${count} bytes`;
  const digits = value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** 64-bit words of a tracee (addresses, masks, registers) as text: JSON numbers end at 2^53. */
import { AssertionError, assert } from "./assert.ts";

const WORD = /^0x[0-9a-f]{1,16}$/;
const WORD_END = 1n << 64n;

/** Lower-case hexadecimal with `0x` and no leading zeros: `0x7ffc0000`. */
export function toWord(value: bigint): string {
  assert(value >= 0n && value < WORD_END, `${value} is no 64-bit word`);
  return `0x${value.toString(16)}`;
}

/** Precondition: the text has the form of a word, as the image's schema checks. */
export function fromWord(word: string): bigint {
  // Not an assert(...): its message would be put together for every word of every image.
  if (!WORD.test(word)) throw new AssertionError(`"${word}" is no 64-bit word`);
  return BigInt(word);
}

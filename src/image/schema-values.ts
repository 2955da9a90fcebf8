/** The values of which an image's metadata are made: numbers as far as the kernel takes them, words, names, bytes, runs of pages. See schema.ts. */
import * as v from "valibot";

const MAX_TEXT = 1 << 20;
const MAX_LIST = 1 << 22;

export const wholeNumber = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export const integer = v.pipe(v.number(), v.safeInteger());
export const word = v.pipe(v.string(), v.regex(/^0x[0-9a-f]{1,16}$/));
export const text = v.pipe(v.string(), v.maxLength(MAX_TEXT));
export const base64 = v.pipe(
  v.string(),
  v.maxLength(1 << 26),
  v.regex(/^[A-Za-z0-9+/]*={0,2}$/),
  v.check((characters) => characters.length % 4 === 0, "Invalid base64"),
);
export const decimal = v.pipe(v.string(), v.regex(/^-?[0-9]{1,20}$/));
/** What the kernel holds in 32 or 64 bits, with and without sign, as far as its calls take it. */
export const unsigned32 = v.pipe(wholeNumber, v.maxValue(0xffff_ffff));
export const signed32 = v.pipe(integer, v.minValue(-0x8000_0000), v.maxValue(0x7fff_ffff));
export const positive32 = v.pipe(wholeNumber, v.maxValue(0x7fff_ffff));
export const unsigned64 = decimalUpTo((1n << 64n) - 1n);
export const positive64 = decimalUpTo((1n << 63n) - 1n);
/** 0 for none. */
export const signal = v.pipe(wholeNumber, v.maxValue(64));
export const fileMode = v.pipe(wholeNumber, v.maxValue(0xffff));
export const siginfo = base64Of(128);
/** struct termios2, of which an image may hold more than the kernel's 44 bytes, and struct winsize; empty where the terminal did not tell. */
export const terminalModes = v.union([v.literal(""), base64Of(44, 64)], "Not 44 bytes");
export const windowSize = v.union([v.literal(""), base64Of(8)], "Not 8 bytes");

export function decimalUpTo(largest: bigint) {
  return v.pipe(
    v.string(),
    v.regex(/^[0-9]{1,20}$/),
    v.check((digits) => BigInt(digits) <= largest, "Out of range"),
  );
}

export function base64Of(lengthBytes: number, largestBytes = lengthBytes) {
  return v.pipe(
    base64,
    v.check((characters) => {
      const length = Buffer.byteLength(characters, "base64");
      return length >= lengthBytes && length <= largestBytes;
    }, `Not ${lengthBytes} bytes`),
  );
}
export const id = wholeNumber;
export const pid = v.pipe(wholeNumber, v.maxValue(4194304));
export function list<const T extends v.GenericSchema>(item: T) {
  return v.pipe(v.array(item), v.maxLength(MAX_LIST));
}

/** A name as the kernel holds it: bytes without NUL. */
export const nameSchema = v.union([text, v.strictObject({ base64 })]);
export type Name = v.InferOutput<typeof nameSchema>;

/** [first page of the mapping, number of pages, offset in the data section], all in pages. */
export type PageRun = [number, number, number];
/** By hand, because a large job has a hundred thousand runs: a schema of tuples took most of the time of opening its image. */
export const pageRunsSchema = v.pipe(v.custom<PageRun[]>(isPageRuns, "Invalid page runs"), v.maxLength(MAX_LIST));

function isPageRuns(value: unknown): boolean {
  if (!Array.isArray(value)) return false;
  for (const run of value as unknown[]) {
    if (!Array.isArray(run) || run.length !== 3) return false;
    for (const part of run as unknown[]) if (!Number.isSafeInteger(part) || (part as number) < 0) return false;
  }
  return true;
}

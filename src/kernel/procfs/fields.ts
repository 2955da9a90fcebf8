/** What the parsers of this folder share: numbers out of raw text, and one error for text that they do not understand. */
import { CairnError } from "../../base/errors.ts";

/** A file of /proc that does not look as this version knows it: a newer kernel, or no kernel of Linux's at all. */
export function malformed(file: string, text: string): CairnError {
  const excerpt = text.length > 120 ? `${text.slice(0, 120)}...` : text;
  return new CairnError("incompatible", `Cannot understand ${file}: ${JSON.stringify(excerpt)}`, {
    data: { file, excerpt },
    hint: "This kernel formats the file in an unknown way; please report it together with `uname -r`",
  });
}

export function decimal(text: string | undefined, file: string): number {
  const value = text === undefined || text === "" ? Number.NaN : Number(text);
  if (!Number.isSafeInteger(value)) throw malformed(file, text ?? "");
  return value;
}

export function octal(text: string | undefined, file: string): number {
  const value = text === undefined ? Number.NaN : Number.parseInt(text, 8);
  if (!Number.isSafeInteger(value)) throw malformed(file, text ?? "");
  return value;
}

export function hexadecimal(text: string | undefined, file: string): number {
  const value = text === undefined ? Number.NaN : Number.parseInt(text, 16);
  if (!Number.isSafeInteger(value)) throw malformed(file, text ?? "");
  return value;
}

/** Decimal, maybe negative, beyond 2^53. */
export function bigDecimal(text: string | undefined, file: string): bigint {
  if (text === undefined || text === "") throw malformed(file, "");
  // Most of these words are small, and BigInt of a number is several times as fast as BigInt of a string.
  if (text.length <= 15) return BigInt(decimal(text, file));
  try {
    return BigInt(text);
  } catch {
    throw malformed(file, text);
  }
}

/** Hexadecimal without prefix, up to 64 bits. */
export function bigHexadecimal(text: string | undefined, file: string): bigint {
  if (text === undefined || text === "") throw malformed(file, "");
  if (text.length <= 13) return BigInt(hexadecimal(text, file));
  try {
    return BigInt(`0x${text}`);
  } catch {
    throw malformed(file, text);
  }
}

/** Words separated by any number of spaces or tabs, none of them empty. */
export function words(text: string): string[] {
  return text.split(/[ \t]+/).filter((word) => word !== "");
}

/** A device number as stat(2) and /proc/PID/stat give it to a 32-bit word (`new_encode_dev` of the kernel). */
export function decodeDevice(encoded: number): { major: number; minor: number } {
  const word = encoded >>> 0;
  return { major: (word >>> 8) & 0xfff, minor: (word & 0xff) | ((word >>> 12) & 0xfff00) };
}

/** A device number as fdinfo prints it: the kernel's own `dev_t`, 12 bits of major above 20 of minor. */
export function decodeKernelDevice(device: number): { major: number; minor: number } {
  const word = device >>> 0;
  return { major: word >>> 20, minor: word & 0xfffff };
}

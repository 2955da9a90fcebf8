/**
 * A Linux name (a path, a comm, the name of a mapping) is bytes without NUL. In memory and in JSON it is a string
 * when the bytes are valid UTF-8, else `{ base64 }`, so that nothing is lost and nearly all names stay readable.
 */
import { isUtf8 } from "node:buffer";

export type Name = string | { base64: string };

export function encodeName(bytes: Uint8Array): Name {
  const buffer = asBuffer(bytes);
  return isUtf8(buffer) ? buffer.toString("utf8") : { base64: buffer.toString("base64") };
}

export function nameToBuffer(name: Name): Buffer {
  return typeof name === "string" ? Buffer.from(name, "utf8") : Buffer.from(name.base64, "base64");
}

/** For system calls that take a C string: the bytes with the NUL that ends them. */
export function nameToCString(name: Name): Buffer {
  return Buffer.concat([nameToBuffer(name), Buffer.of(0)]);
}

export function namesEqual(a: Name, b: Name): boolean {
  return nameToBuffer(a).equals(nameToBuffer(b));
}

/**
 * For display, as one line that a terminal can't be tricked with: control characters, marks that turn the reading direction and
 * bytes that are no UTF-8 become `\xNN` or `\u{N}`, and a backslash is doubled so that the text can be read back.
 */
export function nameToText(name: Name): string {
  if (typeof name === "string") return name.replace(/[\\\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, escape);
  // Latin-1 makes one character of each byte, so that each byte that isn't ASCII is shown by itself.
  const bytes = nameToBuffer(name).toString("latin1");
  return bytes.replace(/[\\\p{Cc}]|[^\p{ASCII}]/gu, (character) => (character < "\x80" ? escape(character) : hexEscape(character)));
}

function escape(character: string): string {
  if (character === "\\") return "\\\\";
  if (character === "\n") return "\\n";
  if (character === "\t") return "\\t";
  if (character < "\x80") return hexEscape(character);
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

function hexEscape(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

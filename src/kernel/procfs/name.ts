/**
 * A **raw** string has one character per byte (latin1). Files of /proc are split as raw strings, which V8 keeps in one
 * byte per character, and only the names in them are decoded.
 */
import { encodeName, type Name } from "../../base/names.ts";

export type { Name };

export function nameFromRaw(raw: string): Name {
  for (let at = 0; at < raw.length; at++) {
    if (raw.charCodeAt(at) > 0x7f) return encodeName(Buffer.from(raw, "latin1"));
  }
  return raw;
}

/** Metadata to bytes and back, trusting neither direction: what is written was read again first, what is read is checked whole. */
import * as v from "valibot";
import { AssertionError, assert } from "../base/assert.ts";
import { CairnError } from "../base/errors.ts";
import { MAX_METADATA_BYTES } from "./header.ts";
import { metadataSchema } from "./schema.ts";
import type { ImageMetadata } from "./schema.ts";
import { validateMetadata } from "./validate.ts";

/**
 * Encodes, decodes and compares. Metadata that don't survive this are a mistake of whoever made them, so it is an
 * assertion that fails, before anything is committed that could not be restarted.
 */
export function encodeMetadata(metadata: ImageMetadata, dataPages: number): Buffer {
  const bytes = Buffer.from(JSON.stringify(metadata), "utf8");
  assert(bytes.length <= MAX_METADATA_BYTES, `the metadata have ${bytes.length} bytes`);
  let decoded: ImageMetadata;
  try {
    decoded = decodeMetadata(bytes, dataPages);
  } catch (cause) {
    if (!(cause instanceof CairnError)) throw cause;
    throw new AssertionError(`the metadata break their own rules: ${cause.message}`);
  }
  const difference = firstDifference(metadata, decoded);
  assert(difference === undefined, `the metadata don't come back from JSON as they were: ${difference}`);
  return bytes;
}

/** Throws `damaged` with the reason alone as its message; the reader adds which image it is. */
export function decodeMetadata(bytes: Uint8Array, dataPages: number): ImageMetadata {
  const result = v.safeParse(metadataSchema, parseJson(bytes), { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    throw new CairnError("damaged", `its metadata are not valid at ${v.getDotPath(issue) ?? "the top"}: ${issue.message}`);
  }
  validateMetadata(result.output, dataPages);
  return result.output;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (cause) {
    throw new CairnError("damaged", "its metadata are not JSON", { cause });
  }
}

/** Where two values of JSON differ, as a path; a property that is undefined counts as absent, as in JSON. */
function firstDifference(before: unknown, after: unknown): string | undefined {
  if (before === after) return undefined;
  if (typeof before !== "object" || typeof after !== "object" || before === null || after === null) return "";
  if (Array.isArray(before) !== Array.isArray(after)) return "";
  const left = before as Record<string, unknown>;
  const right = after as Record<string, unknown>;
  for (const key of Object.keys(left)) {
    // The path is put together on the way back: most values are equal, and there are many.
    const difference = firstDifference(left[key], right[key]);
    if (difference !== undefined) return `.${key}${difference}`;
  }
  for (const key of Object.keys(right)) {
    if (!Object.hasOwn(left, key)) return `.${key}`;
  }
  return undefined;
}

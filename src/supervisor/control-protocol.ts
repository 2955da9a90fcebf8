/**
 * What a command and a job's supervisor say to each other over the job's control socket: one JSON object per line, one request
 * and one answer per connection. A client that hangs up before the answer has given up.
 *
 *     {"version":1,"request":"checkpoint","stop":false}
 *     {"version":1,"ok":true,"number":7}
 *     {"version":1,"ok":false,"code":"io","message":"...","hint":"..."}
 *
 * The socket is 0600 in a folder that is 0700; what comes over it is checked all the same.
 */
import * as v from "valibot";
import { CairnError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";

/** A line longer than this is no message of ours. */
export const MAX_LINE_BYTES = 1 << 16;

const requestSchema = v.strictObject({
  version: v.literal(1),
  request: v.literal("checkpoint"),
  stop: v.boolean(),
  /** With `stop`: TCP connections that lead out of the job are held for its restart. */
  holdConnections: v.optional(v.boolean()),
});
export type ControlRequest = v.InferOutput<typeof requestSchema>;

const errorCodes = [
  "usage",
  "not-found",
  "conflict",
  "unsupported",
  "damaged",
  "incompatible",
  "changed",
  "permission",
  "syscall",
  "exited",
  "interrupted",
  "io",
] as const satisfies readonly ErrorCode[];

const responseSchema = v.variant("ok", [
  v.strictObject({ version: v.literal(1), ok: v.literal(true), number: v.pipe(v.number(), v.safeInteger(), v.minValue(1)) }),
  v.strictObject({
    version: v.literal(1),
    ok: v.literal(false),
    code: v.picklist(errorCodes),
    message: v.string(),
    hint: v.optional(v.string()),
  }),
]);
export type ControlResponse = v.InferOutput<typeof responseSchema>;

export function encodeLine(message: ControlRequest | ControlResponse): string {
  return `${JSON.stringify(message)}\n`;
}

/** Errors: `damaged`. */
export function decodeRequest(line: string): ControlRequest {
  return decode(requestSchema, line, "request");
}

/** Errors: `damaged`. */
export function decodeResponse(line: string): ControlResponse {
  return decode(responseSchema, line, "answer");
}

export function responseOfFailure(error: unknown): ControlResponse {
  if (!(error instanceof CairnError)) {
    const message = error instanceof Error ? error.message : String(error);
    return { version: 1, ok: false, code: "syscall", message: `The supervisor failed: ${message}` };
  }
  return { version: 1, ok: false, code: error.code, message: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) };
}

function decode<S extends v.GenericSchema>(schema: S, line: string, what: string): v.InferOutput<S> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new CairnError("damaged", `The control socket brought a ${what} that is not JSON`, { cause });
  }
  const result = v.safeParse(schema, value);
  if (!result.success)
    throw new CairnError("damaged", `The control socket brought a ${what} that is not understood`, { data: { line: line.slice(0, 200) } });
  return result.output;
}

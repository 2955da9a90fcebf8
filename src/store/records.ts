/** The small JSON files of the store: their shapes, and reading them without trusting them. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import * as v from "valibot";
import { assert } from "../base/assert.ts";
import { asPid } from "../base/ids.ts";
import { errnoOf } from "./durable.ts";

const wholeNumber = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const milliseconds = v.pipe(v.number(), v.finite(), v.minValue(0));
const timestamp = v.pipe(v.string(), v.isoTimestamp());
const pid = v.pipe(wholeNumber, v.maxValue(4194304), v.transform(asPid));

/** job.json: what the job is. */
export const jobSchema = v.object({
  name: v.string(),
  argv: v.array(v.string()),
  cwd: v.string(),
  createdAt: timestamp,
});

/** run.json: who runs the job. Start times are field 22 of /proc/PID/stat, so that a pid that was used again is not taken for the job. */
export const runSchema = v.object({
  keeperPid: pid,
  keeperStartTime: wholeNumber,
  rootPid: pid,
  rootStartTime: wholeNumber,
  supervisorPid: pid,
  supervisorStartTime: wholeNumber,
  bootId: v.string(),
  startedAt: timestamp,
});
export type RunRecord = v.InferOutput<typeof runSchema>;

/** held.json: the process that holds TCP connections of the job for its restart from one checkpoint, and which of its descriptors is which open file. */
export const heldSchema = v.object({
  pid,
  startTime: wholeNumber,
  bootId: v.string(),
  number: v.pipe(wholeNumber, v.minValue(1)),
  sockets: v.array(v.object({ openFile: wholeNumber, fd: wholeNumber })),
});
export type HeldRecord = v.InferOutput<typeof heldSchema>;

/** taken-up.json: checkpoints whose TCP connections a restart has gone on with, so that they are not any more what the image says. */
export const takenUpSchema = v.object({ numbers: v.array(v.pipe(wholeNumber, v.minValue(1))) });

/** manifest.json: what a listing tells of a checkpoint without opening its image. */
export const manifestSchema = v.object({
  number: v.pipe(wholeNumber, v.minValue(1)),
  takenAt: timestamp,
  trigger: v.picklist(["interval", "request", "stop"]),
  pauseMs: milliseconds,
  durationMs: milliseconds,
  imageBytes: wholeNumber,
  memoryBytes: wholeNumber,
  processes: wholeNumber,
  threads: wholeNumber,
  mappings: wholeNumber,
  descriptors: wholeNumber,
  host: v.object({ kernelRelease: v.string(), hostName: v.string(), machine: v.string() }),
  warnings: v.array(v.string()),
});
export type Manifest = v.InferOutput<typeof manifestSchema>;

/** An argument list and a working directory can have megabytes; nothing here has more. */
const MAX_RECORD_BYTES = 16 << 20;

export type RecordOutcome<T> =
  | { readonly kind: "read"; readonly value: T }
  | { readonly kind: "missing" }
  | { readonly kind: "broken"; readonly reason: string };

/** Never throws for what the file holds or doesn't: a listing must survive every damage. */
export function readRecord<const S extends v.GenericSchema>(path: string, schema: S): RecordOutcome<v.InferOutput<S>> {
  let text: string;
  try {
    text = readBounded(path);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT") return { kind: "missing" };
    return {
      kind: "broken",
      reason: errno === undefined && error instanceof Error ? error.message : `it cannot be read (${errno ?? String(error)})`,
    };
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: "broken", reason: text === "" ? "it is empty" : "it is not JSON" };
  }
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return { kind: "read", value: result.output };
  const [issue] = result.issues;
  return { kind: "broken", reason: `it is not valid at ${v.getDotPath(issue) ?? "the top"}: ${issue.message}` };
}

/** The text of a record. What is written must read back the same: anything else is our mistake. */
export function encodeRecord<const S extends v.GenericSchema>(schema: S, value: v.InferOutput<S>): string {
  const text = `${JSON.stringify(value, undefined, 2)}\n`;
  assert(Buffer.byteLength(text) <= MAX_RECORD_BYTES, "a record of the store is too long");
  const result = v.safeParse(schema, JSON.parse(text));
  assert(result.success && isDeepStrictEqual(result.output, value), `a record of the store doesn't read back: ${text}`);
  return text;
}

export function readBounded(path: string, limitBytes = MAX_RECORD_BYTES): string {
  const { O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
  // O_NONBLOCK: a FIFO that somebody put there must not make a listing wait.
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error("it is no regular file");
    if (stat.size > limitBytes) throw new Error(`it has ${stat.size} bytes`);
    const buffer = Buffer.alloc(stat.size);
    let done = 0;
    while (done < buffer.length) {
      const count = readSync(fd, buffer, done, buffer.length - done, done);
      if (count === 0) break;
      done += count;
    }
    return buffer.toString("utf8", 0, done);
  } finally {
    closeSync(fd);
  }
}

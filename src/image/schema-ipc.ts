/** What an image says of System V IPC. See schema.ts. */
import * as v from "valibot";
import { base64, decimal, integer, list, pageRunsSchema, pid, wholeNumber } from "./schema-values.ts";

/** What System V IPC objects have in common. Programs hold ids: a restart gives the same. */
const ipcCommon = {
  id: v.pipe(wholeNumber, v.maxValue(0x7fff_ffff)),
  /** 0 for IPC_PRIVATE. */
  key: v.pipe(integer, v.minValue(-0x8000_0000), v.maxValue(0x7fff_ffff)),
  mode: v.pipe(wholeNumber, v.maxValue(0o777)),
  owner: v.strictObject({ uid: wholeNumber, gid: wholeNumber }),
  creator: v.strictObject({ uid: wholeNumber, gid: wholeNumber }),
};

/** Pids here are of processes in the image; 0 stands for nobody, and for everybody else. */
export const sysvIpcSchema = v.strictObject({
  /** Inode of the namespace, on the boot that `host` names: there the job's objects may still be. */
  namespace: decimal,
  /** The namespace was the job's own, and so is all in it. */
  isOwn: v.boolean(),
  segments: list(
    v.strictObject({
      ...ipcCommon,
      sizeBytes: wholeNumber,
      /** Marked for destruction (IPC_RMID), and there as long as somebody has it attached. */
      destroyed: v.boolean(),
      locked: v.boolean(),
      maker: pid,
      runs: pageRunsSchema,
    }),
  ),
  semaphoreSets: list(
    v.strictObject({
      ...ipcCommon,
      /** Whether semop(2) was ever called on it. */
      operated: v.boolean(),
      /** Value, and who set it last. */
      semaphores: v.pipe(list(v.strictTuple([v.pipe(wholeNumber, v.maxValue(32767)), pid])), v.minLength(1)),
    }),
  ),
  queues: list(
    v.strictObject({
      ...ipcCommon,
      limitBytes: wholeNumber,
      sender: pid,
      receiver: pid,
      messages: list(v.strictObject({ type: decimal, content: base64 })),
    }),
  ),
});
export type SysvIpc = v.InferOutput<typeof sysvIpcSchema>;
export type IpcSegment = SysvIpc["segments"][number];
export type IpcSemaphoreSet = SysvIpc["semaphoreSets"][number];
export type IpcQueue = SysvIpc["queues"][number];

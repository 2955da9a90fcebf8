/**
 * Where the job's System V IPC can be again, before anything is made. Programs hold ids, so these stay the same:
 *
 *     every object is there still (a crash leaves them), or    in the namespace of this system
 *       its id and its key are free, and ids may be chosen
 *     an id or a key is another's, ids may not be chosen,      in a new IPC namespace, all of it made anew
 *       or the job had a namespace of its own
 *
 * An object is the job's own still if it is of the same boot and namespace, and has the same id, key and creator.
 */
import { accessSync, constants, readdirSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import type { Pid } from "../base/ids.ts";
import { asPid } from "../base/ids.ts";
import { nameToText } from "../base/names.ts";
import type { ImageMetadata, IpcQueue, IpcSegment, IpcSemaphoreSet, SysvIpc } from "../image/mod.ts";
import { ERRNO } from "../kernel/errno.ts";
import { readMaps, readNamespaces, readStatus, readSystemFacts } from "../kernel/procfs/mod.ts";
import { IPC_KINDS, ownIpcCalls, statByKind } from "../kernel/sysv-ipc.ts";
import type { IpcKind } from "../kernel/sysv-ipc.ts";

export interface IpcPlan {
  readonly place: "none" | "host" | "namespace";
  /** `kind id` of what is there still and is taken back. */
  readonly reused: ReadonlySet<string>;
  readonly warnings: readonly string[];
}

export type IpcObject =
  | { readonly kind: "segment"; readonly image: IpcSegment }
  | { readonly kind: "semaphores"; readonly image: IpcSemaphoreSet }
  | { readonly kind: "queue"; readonly image: IpcQueue };

/** An id or a key that was free when we looked is taken: try again in a namespace. */
export class IpcTaken extends CairnError {}

const MOST_NAMED = 5;
const NO_IPC: IpcPlan = { place: "none", reused: new Set(), warnings: [] };

export function objectsOf(ipc: SysvIpc): IpcObject[] {
  return [
    ...ipc.segments.map((image): IpcObject => ({ kind: "segment", image })),
    ...ipc.semaphoreSets.map((image): IpcObject => ({ kind: "semaphores", image })),
    ...ipc.queues.map((image): IpcObject => ({ kind: "queue", image })),
  ];
}

export function objectKey({ kind, image }: IpcObject): string {
  return `${kind} ${image.id}`;
}

/**
 * `mayChooseIds`: whether this user may where ids are chosen at all. Throws a CairnError (`conflict`) when somebody outside
 * has a segment attached that the job needs.
 */
export function planIpc(metadata: ImageMetadata, mayChooseIds: boolean): IpcPlan {
  const ipc = metadata.sysvIpc;
  if (ipc === undefined) return NO_IPC;
  if (ipc.isOwn) return inNamespace("the job had an IPC namespace of its own before", []);
  const isSameKernel = readSystemFacts().bootId === metadata.host.bootId;
  const mayBeThere = isSameKernel && readNamespaces(asPid(process.pid))?.ipc?.toString() === ipc.namespace;
  const reused = new Set<string>();
  const left: IpcObject[] = [];
  let problem: string | null = null;
  for (const object of objectsOf(ipc)) {
    const state = stateOf(object, mayBeThere);
    if (state.kind === "same") {
      reused.add(objectKey(object));
      left.push(object);
    } else if (state.kind === "taken") problem ??= state.by;
    else if (!mayChooseIds || !canChooseIds(object.kind)) problem ??= "this user may not choose ids on this system";
  }
  if (problem !== null) return inNamespace(problem, left);
  for (const object of left) if (object.kind === "segment") refuseIfAttached(object.image);
  return {
    place: "host",
    reused,
    warnings: each(left, (what) => `${what} is still there; it is taken back to the checkpoint`),
  };
}

export function inNamespace(reason: string, left: readonly IpcObject[]): IpcPlan {
  const warnings = [
    `The job's System V IPC is made anew in an IPC namespace of its own (${reason}): programs outside the job do not see it`,
    ...each(left, (what, remedy) => `${what} of the job's former run is left as it is; ${remedy} removes it`),
  ];
  return { place: "namespace", reused: new Set(), warnings };
}

/** A line each, as far as somebody would read them. */
function each(objects: readonly IpcObject[], say: (what: string, remedy: string) => string): string[] {
  const lines = objects
    .slice(0, MOST_NAMED)
    .map((object) => say(describe(object), `${IPC_KINDS[object.kind].removedBy} ${object.image.id}`));
  const more = objects.length - lines.length;
  return more > 0 ? [...lines, `The same goes for ${more} more System V objects`] : lines;
}

export function describe({ kind, image }: IpcObject): string {
  const key = image.key === 0 ? "" : ` (key 0x${(image.key >>> 0).toString(16).padStart(8, "0")})`;
  return `System V ${IPC_KINDS[kind].name} ${image.id}${key}`;
}

type ObjectState = { readonly kind: "free" | "same" } | { readonly kind: "taken"; readonly by: string };

function stateOf(object: IpcObject, mayBeThere: boolean): ObjectState {
  const { kind, image } = object;
  const now = statByKind(ownIpcCalls, kind, image.id);
  if (typeof now === "number") {
    if (now !== -ERRNO.EINVAL) return { kind: "taken", by: `the id of ${describe(object)} is another's now` };
    return keyIsTaken(object) ? { kind: "taken", by: `the key of ${describe(object)} is another's now` } : { kind: "free" };
  }
  const isSame =
    mayBeThere &&
    now.key === image.key &&
    now.creator.uid === image.creator.uid &&
    now.creator.gid === image.creator.gid &&
    sizeOf(object) === ("sizeBytes" in now ? now.sizeBytes : "count" in now ? now.count : 0);
  return isSame ? { kind: "same" } : { kind: "taken", by: `the id of ${describe(object)} is another's now, of user ${now.owner.uid}` };
}

function sizeOf(object: IpcObject): number {
  if (object.kind === "segment") return object.image.sizeBytes;
  return object.kind === "semaphores" ? object.image.semaphores.length : 0;
}

/** Precondition: no object has the id. Whoever may not see the object that has the key gets another error than ENOENT. */
function keyIsTaken({ kind, image }: IpcObject): boolean {
  if (image.key === 0) return false;
  const { get } = IPC_KINDS[kind];
  const key = BigInt.asUintN(32, BigInt(image.key));
  return (kind === "queue" ? ownIpcCalls.call(get, key, 0) : ownIpcCalls.call(get, key, 0, 0)) !== -ERRNO.ENOENT;
}

function canChooseIds(kind: IpcKind): boolean {
  try {
    accessSync(IPC_KINDS[kind].nextId, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function refuseIfAttached(segment: IpcSegment): void {
  const now = statByKind(ownIpcCalls, "segment", segment.id);
  if (typeof now === "number" || !("attachments" in now) || now.attachments === 0) return;
  const users = attachersOf(segment.id);
  const named = users.map(({ pid, name }) => `process ${pid} (${name})`).join(", ");
  const whom =
    users.length > 0 ? named : `${now.attachments} mappings of processes that this user may not see (last by process ${now.lastPid})`;
  throw new CairnError(
    "conflict",
    `Cannot restart: System V shared memory segment ${segment.id} of user ${now.owner.uid}, which would be taken back to the checkpoint, is attached by ${whom}`,
    {
      data: { id: segment.id, uid: now.owner.uid, pids: users.map(({ pid }) => pid) },
      hint: "End whoever uses the segment, and try again",
    },
  );
}

function attachersOf(id: number): { readonly pid: Pid; readonly name: string }[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => asPid(Number(name)))
    .filter((pid) => hasAttached(pid, id))
    .map((pid) => ({ pid, name: nameToText(readStatus(pid)?.name ?? "") }));
}

function hasAttached(pid: Pid, id: number): boolean {
  try {
    return (readMaps(pid) ?? []).some(({ inode, name }) => Number(inode) === id && name !== null && nameToText(name).startsWith("/SYSV"));
  } catch {
    return false; // Another user's process.
  }
}

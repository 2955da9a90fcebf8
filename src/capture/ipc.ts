/**
 * System V IPC of the job: shared memory segments, semaphore sets, message queues.
 *
 * They belong to a namespace, not to processes. In a namespace of the job's own (made by a restart) all are the job's. In
 * one that it shares with us the job's are
 * - segments that a process of the tree has attached;
 * - segments that one has made, or that nobody has attached and one had attached last;
 * - semaphore sets of which one has changed a semaphore last;
 * - message queues to which one has sent, or from which one has received, last.
 * The kernel does not tell more. The keeper counts as one of the tree, for a restart acts by it where no process may, and so do
 * we: to read a segment is to attach it, and that makes us the last who did.
 *
 * Not to be seen from outside, and lost: what SEM_UNDO would take back at a process's end.
 */
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Pid } from "../base/ids.ts";
import { asPid } from "../base/ids.ts";
import type { ImageWriter, IpcQueue, IpcSegment, IpcSemaphoreSet, Mapping, SysvIpc } from "../image/mod.ts";
import { ERRNO, errnoName } from "../kernel/errno.ts";
import { readNamespaces } from "../kernel/procfs/mod.ts";
import {
  IPC_KINDS,
  copyMessage,
  listQueues,
  listSegments,
  listSemaphoreSets,
  ownIpcCalls,
  semaphoreUser,
  semaphoreValues,
} from "../kernel/sysv-ipc.ts";
import type { IpcCalls, IpcKind, QueueStatus, SegmentStatus, SemaphoreSetStatus } from "../kernel/sysv-ipc.ts";
import { IpcHelper } from "../tracee/ipc-calls.ts";
import type { JobPids } from "./job-pids.ts";
import { beyondSegment } from "./mappings.ts";
import type { MemoryPlan } from "./memory-plan.ts";
import { saveSegment } from "./segments.ts";

const PAGE_BYTES = 4096;
/** A message that is looked at has to fit into a puppet's data; the kernel's own limit is 8 KiB if nobody raised it. */
const LARGEST_MESSAGE_BYTES = 131072;

export interface IpcOfJob {
  readonly pids: JobPids;
  /** Null for a tree that no keeper keeps. */
  readonly keeperPid: Pid | null;
  readonly memory: ReadonlyMap<Pid, MemoryPlan>;
}

interface Attached {
  /** One of the processes, for messages. */
  readonly pid: Pid;
  readonly mappings: Mapping[];
}

/** Undefined where the job has none. Precondition: the job is frozen. Errors: `unsupported`, `permission`. */
export async function captureIpc(writer: ImageWriter, job: IpcOfJob, warnings: string[]): Promise<SysvIpc | undefined> {
  const [member] = job.memory.keys();
  if (member === undefined) return undefined;
  const namespace = readNamespaces(member)?.ipc;
  if (namespace === undefined) return undefined;
  const isOwn = namespace !== readNamespaces(asPid(process.pid))?.ipc;
  using helper = isOwn ? new IpcHelper(member) : null;
  const calls = helper?.calls ?? ownIpcCalls;
  const attached = attachedSegments(job.memory);
  const others = [job.keeperPid, process.pid];
  const belongs = (...candidates: Pid[]): boolean => isOwn || candidates.some((pid) => job.pids.has(pid) || others.includes(pid));

  const segments: IpcSegment[] = [];
  for (const status of listSegments(calls)) {
    const here = attached.get(status.id);
    attached.delete(status.id);
    const users = status.attachments === 0 ? [status.makerPid, status.lastPid] : [status.makerPid];
    if (here === undefined && !belongs(...users)) continue;
    segments.push(await captureSegment(writer, calls, status, here, job, warnings));
  }
  for (const [id, { pid }] of attached) {
    throw unsupported("segment", id, pid, "is not in its IPC namespace");
  }
  const semaphoreSets = listSemaphoreSets(calls).flatMap((status) => captureSemaphores(calls, status, job.pids, belongs));
  const queues = listQueues(calls)
    .filter((status) => belongs(status.senderPid, status.receiverPid))
    .map((status) => captureQueue(calls, status, job.pids));
  if (segments.length + semaphoreSets.length + queues.length === 0) return undefined;
  return { namespace: namespace.toString(), isOwn, segments, semaphoreSets, queues };
}

function attachedSegments(memory: IpcOfJob["memory"]): Map<number, Attached> {
  const attached = new Map<number, Attached>();
  for (const [pid, { planned }] of memory) {
    for (const { mapping } of planned) {
      if (mapping.segment === undefined) continue;
      const known = attached.get(mapping.segment.id);
      if (known === undefined) attached.set(mapping.segment.id, { pid, mappings: [mapping] });
      else known.mappings.push(mapping);
    }
  }
  return attached;
}

async function captureSegment(
  writer: ImageWriter,
  calls: IpcCalls,
  status: SegmentStatus,
  here: Attached | undefined,
  job: IpcOfJob,
  warnings: string[],
): Promise<IpcSegment> {
  const { id, key, mode, owner, creator, sizeBytes, isDestroyed, isLocked, makerPid, attachments } = status;
  const end = Math.ceil(sizeBytes / PAGE_BYTES) * PAGE_BYTES;
  for (const mapping of here?.mappings ?? []) {
    const length = Number(BigInt(mapping.end) - BigInt(mapping.start));
    if ((mapping.segment?.offsetBytes ?? 0) + length > end) throw beyondSegment(here?.pid ?? makerPid, mapping);
  }
  // The kernel counts mappings, not processes.
  if (attachments > (here?.mappings.length ?? 0)) {
    warnings.push(
      `Shared memory segment ${id} is attached by processes outside the job, too: a restart takes its content back, or makes the job one of its own`,
    );
  }
  try {
    const runs = await saveSegment(writer, calls, status);
    const common = { id, key, mode, owner, creator };
    return { ...common, sizeBytes, destroyed: isDestroyed, locked: isLocked, maker: job.pids.of(makerPid), runs };
  } catch (error) {
    if (!(error instanceof SyscallError) || error.call !== "shmat") throw error;
    throw unreadable("segment", id, error.errno, here?.pid ?? makerPid);
  }
}

/** None, or the one. */
function captureSemaphores(
  calls: IpcCalls,
  status: SemaphoreSetStatus,
  pids: JobPids,
  belongs: (...candidates: Pid[]) => boolean,
): IpcSemaphoreSet[] {
  const { id, key, mode, owner, creator, count, wasOperated } = status;
  const users = Array.from({ length: count }, (_, index) => semaphoreUser(calls, id, index));
  if (!belongs(...users)) return [];
  const values = semaphoreValues(calls, status);
  if (typeof values === "number") throw unreadable("semaphores", id, -values, users.find((pid) => pid > 0) ?? asPid(0));
  const semaphores = values.map((value, index): [number, number] => [value, pids.of(users[index] ?? asPid(0))]);
  return [{ id, key, mode, owner, creator, operated: wasOperated, semaphores }];
}

function captureQueue(calls: IpcCalls, status: QueueStatus, pids: JobPids): IpcQueue {
  const { id, key, mode, owner, creator, limitBytes, senderPid, receiverPid, contentBytes } = status;
  const messages: IpcQueue["messages"] = [];
  const largest = Math.min(contentBytes, LARGEST_MESSAGE_BYTES);
  for (let index = 0; index < status.messages; index += 1) {
    const message = copyMessage(calls, id, index, largest);
    if (message === null) break;
    if (message === -ERRNO.ENOSYS) {
      throw unsupported("queue", id, senderPid, "holds messages, and this kernel can't show them (it lacks CONFIG_CHECKPOINT_RESTORE)");
    }
    if (message === -ERRNO.EINVAL) throw unsupported("queue", id, senderPid, `holds a message of more than ${largest} bytes`);
    if (typeof message === "number") throw unreadable("queue", id, -message, senderPid);
    messages.push({ type: message.type.toString(), content: message.content.toString("base64") });
  }
  return { id, key, mode, owner, creator, limitBytes, sender: pids.of(senderPid), receiver: pids.of(receiverPid), messages };
}

function unsupported(kind: IpcKind, id: number, pid: Pid, what: string): CairnError {
  return new CairnError("unsupported", `Cannot save process ${pid}: its System V ${IPC_KINDS[kind].name} ${id} ${what}`, {
    data: { pid, id, kind: `System V ${IPC_KINDS[kind].name}` },
    hint: "Not carried over yet. The job was not changed",
  });
}

function unreadable(kind: IpcKind, id: number, errno: number, pid: Pid): CairnError {
  return new CairnError(
    "permission",
    `Cannot save process ${pid}: this user may not read its System V ${IPC_KINDS[kind].name} ${id} (${errnoName(errno)})`,
    {
      data: { pid, id, kind: `System V ${IPC_KINDS[kind].name}` },
      hint: "Run as the owner of the object, or as root. The job was not changed",
    },
  );
}

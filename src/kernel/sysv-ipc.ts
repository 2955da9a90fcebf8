/**
 * System V shared memory, semaphores and message queues: what the kernel tells of them. They belong to an IPC namespace
 * and not to a process, so every question goes through an `IpcCalls`: calls of our own, or of a process in that namespace.
 */
import { SyscallError } from "../base/errors.ts";
import type { Pid } from "../base/ids.ts";
import { asPid } from "../base/ids.ts";
import {
  GETALL,
  GETPID,
  IPC_NOWAIT,
  IPC_STAT,
  MSG_COPY,
  MSG_INFO,
  MSG_STAT_ANY,
  SEM_INFO,
  SEM_STAT_ANY,
  SHM_INFO,
  SHM_RDONLY,
  SHM_STAT_ANY,
} from "./abi/constants.ts";
import { IPC_PERMISSIONS, QUEUE_STATUS, SEGMENT_STATUS, SEGMENT_TOTALS, SEMAPHORE_STATUS } from "./abi/x86-64/structs.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { ERRNO, errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { systemCall } from "./syscall-ffi.ts";

/** Bits of a segment's mode that are no permissions (the kernel's include/linux/shm.h). */
const SHM_DEST = 0o1000;
const SHM_LOCKED = 0o2000;
const PERMISSIONS = 0o777;
/** Larger than any structure that a control call fills; Buffers of this size do not move. */
const RECORD_BYTES = 128;
const MESSAGE_TYPE_BYTES = 8;

export type CallArgument = number | bigint | Buffer;

/** System calls in one IPC namespace. A Buffer is handed over by address, and holds afterwards what the kernel wrote into it. */
export interface IpcCalls {
  /** The process that makes them: in its memory lies what they attach. */
  readonly pid: Pid;
  /** The result, or a negated errno. */
  call(number: number, ...args: CallArgument[]): number;
}

/** Calls of this process itself. */
export const ownIpcCalls: IpcCalls = {
  pid: asPid(process.pid),
  call: (number, ...args) => systemCall(number, ...args.map((one) => (typeof one === "object" ? addressOf(one) : one))),
};

export interface IpcOwner {
  readonly uid: number;
  readonly gid: number;
}

interface IpcStatus {
  readonly id: number;
  /** 0 is IPC_PRIVATE. */
  readonly key: number;
  readonly mode: number;
  readonly owner: IpcOwner;
  readonly creator: IpcOwner;
}

export interface SegmentStatus extends IpcStatus {
  readonly sizeBytes: number;
  /** Marked for destruction when nobody has it attached any more. */
  readonly isDestroyed: boolean;
  readonly isLocked: boolean;
  readonly makerPid: Pid;
  /** Who attached or detached it last. */
  readonly lastPid: Pid;
  readonly attachments: number;
}

export interface SemaphoreSetStatus extends IpcStatus {
  readonly count: number;
  /** Whether semop(2) was ever called: programs wait for it, to know that a set is initialized. */
  readonly wasOperated: boolean;
}

export interface QueueStatus extends IpcStatus {
  readonly contentBytes: number;
  readonly limitBytes: number;
  readonly messages: number;
  readonly senderPid: Pid;
  readonly receiverPid: Pid;
}

export interface Message {
  readonly type: bigint;
  readonly content: Buffer;
}

function decodeStatus(id: number, record: Buffer): IpcStatus {
  const { at } = IPC_PERMISSIONS;
  return {
    id,
    key: record.readInt32LE(at.key),
    mode: record.readUInt32LE(at.mode) & PERMISSIONS,
    owner: { uid: record.readUInt32LE(at.uid), gid: record.readUInt32LE(at.gid) },
    creator: { uid: record.readUInt32LE(at.cuid), gid: record.readUInt32LE(at.cgid) },
  };
}

function decodeSegment(id: number, record: Buffer): SegmentStatus {
  const { at } = SEGMENT_STATUS;
  const mode = record.readUInt32LE(IPC_PERMISSIONS.at.mode);
  return {
    ...decodeStatus(id, record),
    sizeBytes: Number(record.readBigUInt64LE(at.shm_segsz)),
    isDestroyed: (mode & SHM_DEST) !== 0,
    isLocked: (mode & SHM_LOCKED) !== 0,
    makerPid: asPid(record.readInt32LE(at.shm_cpid)),
    lastPid: asPid(record.readInt32LE(at.shm_lpid)),
    attachments: Number(record.readBigUInt64LE(at.shm_nattch)),
  };
}

function decodeSemaphores(id: number, record: Buffer): SemaphoreSetStatus {
  const { at } = SEMAPHORE_STATUS;
  return {
    ...decodeStatus(id, record),
    count: Number(record.readBigUInt64LE(at.sem_nsems)),
    wasOperated: record.readBigInt64LE(at.sem_otime) !== 0n,
  };
}

function decodeQueue(id: number, record: Buffer): QueueStatus {
  const { at } = QUEUE_STATUS;
  return {
    ...decodeStatus(id, record),
    contentBytes: Number(record.readBigUInt64LE(at.msg_cbytes)),
    limitBytes: Number(record.readBigUInt64LE(at.msg_qbytes)),
    messages: Number(record.readBigUInt64LE(at.msg_qnum)),
    senderPid: asPid(record.readInt32LE(at.msg_lspid)),
    receiverPid: asPid(record.readInt32LE(at.msg_lrpid)),
  };
}

/** The three kinds, and by which calls each is handled. */
export const IPC_KINDS = {
  segment: {
    name: "shared memory segment",
    removedBy: "ipcrm -m",
    get: SYSCALLS.shmget,
    statArguments: [IPC_STAT] as readonly number[],
    control: SYSCALLS.shmctl,
    nextId: "/proc/sys/kernel/shm_next_id",
  },
  semaphores: {
    name: "semaphore set",
    removedBy: "ipcrm -s",
    get: SYSCALLS.semget,
    // semctl(2) has the semaphore's number before the command.
    statArguments: [0, IPC_STAT] as readonly number[],
    control: SYSCALLS.semctl,
    nextId: "/proc/sys/kernel/sem_next_id",
  },
  queue: {
    name: "message queue",
    removedBy: "ipcrm -q",
    get: SYSCALLS.msgget,
    statArguments: [IPC_STAT] as readonly number[],
    control: SYSCALLS.msgctl,
    nextId: "/proc/sys/kernel/msg_next_id",
  },
} as const;
export type IpcKind = keyof typeof IPC_KINDS;

/** Every object of one kind in the namespace. Empty on a kernel without System V IPC. */
function listAll<T>(
  calls: IpcCalls,
  info: (record: Buffer) => number,
  stat: (index: number, record: Buffer) => number,
  decode: (id: number, record: Buffer) => T,
): T[] {
  const record = Buffer.alloc(RECORD_BYTES);
  const highest = info(record);
  const found: T[] = [];
  for (let index = 0; index <= highest; index += 1) {
    const id = stat(index, record);
    if (id >= 0) found.push(decode(id, record));
  }
  return found;
}

export function listSegments(calls: IpcCalls): SegmentStatus[] {
  return listAll(
    calls,
    (record) => calls.call(SYSCALLS.shmctl, 0, SHM_INFO, record),
    (index, record) => calls.call(SYSCALLS.shmctl, index, SHM_STAT_ANY, record),
    decodeSegment,
  );
}

export function listSemaphoreSets(calls: IpcCalls): SemaphoreSetStatus[] {
  return listAll(
    calls,
    (record) => calls.call(SYSCALLS.semctl, 0, 0, SEM_INFO, record),
    (index, record) => calls.call(SYSCALLS.semctl, index, 0, SEM_STAT_ANY, record),
    decodeSemaphores,
  );
}

export function listQueues(calls: IpcCalls): QueueStatus[] {
  return listAll(
    calls,
    (record) => calls.call(SYSCALLS.msgctl, 0, MSG_INFO, record),
    (index, record) => calls.call(SYSCALLS.msgctl, index, MSG_STAT_ANY, record),
    decodeQueue,
  );
}

/** One object by its id, or a negated errno: EINVAL none has it, EIDRM its place in the table is another's, EACCES it is not ours to see. */
export function statByKind(calls: IpcCalls, kind: IpcKind, id: number): SegmentStatus | SemaphoreSetStatus | QueueStatus | number {
  const record = Buffer.alloc(RECORD_BYTES);
  const { control, statArguments } = IPC_KINDS[kind];
  const result = calls.call(control, id, ...statArguments, record);
  if (result < 0) return result;
  if (kind === "segment") return decodeSegment(id, record);
  return kind === "semaphores" ? decodeSemaphores(id, record) : decodeQueue(id, record);
}

/** The values of a set, or a negated errno. */
export function semaphoreValues(calls: IpcCalls, { id, count }: Pick<SemaphoreSetStatus, "id" | "count">): number[] | number {
  const values = Buffer.alloc(Math.max(RECORD_BYTES, 2 * count));
  const result = calls.call(SYSCALLS.semctl, id, 0, GETALL, values);
  return result < 0 ? result : Array.from({ length: count }, (_, index) => values.readUInt16LE(2 * index));
}

/** Who changed a semaphore last; 0 for nobody, a negated errno where we may not ask. */
export function semaphoreUser(calls: IpcCalls, id: number, index: number): Pid {
  return asPid(calls.call(SYSCALLS.semctl, id, index, GETPID, 0));
}

/** How many pages of all segments of the namespace lie in swap. */
export function swappedPages(calls: IpcCalls): bigint {
  const record = Buffer.alloc(RECORD_BYTES);
  return calls.call(SYSCALLS.shmctl, 0, SHM_INFO, record) < 0 ? 1n : record.readBigUInt64LE(SEGMENT_TOTALS.at.shm_swp);
}

/** The message at `index`, which stays in the queue; null behind the last one, a negated errno otherwise. */
export function copyMessage(calls: IpcCalls, id: number, index: number, largestBytes: number): Message | null | number {
  const record = Buffer.alloc(Math.max(RECORD_BYTES, MESSAGE_TYPE_BYTES + largestBytes));
  const result = calls.call(SYSCALLS.msgrcv, id, record, largestBytes, index, MSG_COPY | IPC_NOWAIT);
  if (result === -ERRNO.ENOMSG) return null;
  if (result < 0) return result;
  return { type: record.readBigInt64LE(0), content: record.subarray(MESSAGE_TYPE_BYTES, MESSAGE_TYPE_BYTES + result) };
}

/** struct msgbuf. */
export function encodeMessage(type: bigint, content: Uint8Array): Buffer {
  const record = Buffer.alloc(MESSAGE_TYPE_BYTES + content.length);
  record.writeBigInt64LE(type, 0);
  record.set(content, MESSAGE_TYPE_BYTES);
  return record;
}

/** A segment attached for reading in the process of `calls`, detached when the scope ends. */
export class AttachedSegment implements Disposable {
  readonly address: bigint;
  readonly #calls: IpcCalls;

  constructor(calls: IpcCalls, id: number) {
    const result = calls.call(SYSCALLS.shmat, id, 0, SHM_RDONLY);
    if (result < 0) throw new SyscallError("shmat", -result, errnoName(-result), { arguments: `segment ${id}` });
    this.address = BigInt(result);
    this.#calls = calls;
  }

  [Symbol.dispose](): void {
    this.#calls.call(SYSCALLS.shmdt, this.address);
  }
}

/**
 * System V IPC of the job, made again: shared memory segments, semaphore sets, message queues.
 *
 *   1. make: what is missing, with its id, before any process attaches it; filled at once, for nobody else has it yet
 *   2. takeBack: what was there still gets its content of the checkpoint, everything its owner and mode, and segments that
 *      are to vanish with their last user are marked so, when all have attached them
 *   3. undo: what was made is removed
 *
 * Each step is done by the process that had done it, where it lives: it is what the kernel tells of an object (shm_cpid,
 * GETPID, msg_lspid), and by what a later checkpoint knows whose it is.
 */
import { readFileSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import type { ImageReader, IpcQueue, IpcSegment, IpcSemaphoreSet } from "../image/mod.ts";
import {
  AT_FDCWD,
  IPC_CREAT,
  IPC_EXCL,
  IPC_NOWAIT,
  IPC_RMID,
  IPC_SET,
  MADV_REMOVE,
  MSG_NOERROR,
  O_WRONLY,
  SETVAL,
  SHM_LOCK,
} from "../kernel/abi/constants.ts";
import { IPC_PERMISSIONS, QUEUE_STATUS } from "../kernel/abi/x86-64/structs.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { ERRNO, errnoName } from "../kernel/errno.ts";
import { IPC_KINDS, copyMessage, encodeMessage, ownIpcCalls, semaphoreValues, statByKind } from "../kernel/sysv-ipc.ts";
import type { IpcKind } from "../kernel/sysv-ipc.ts";
import { PuppetCalls } from "../tracee/ipc-calls.ts";
import { call, purposed, tolerant } from "../tracee/puppet.ts";
import type { Call, Puppet } from "../tracee/puppet.ts";
import { IpcTaken, describe, objectKey, objectsOf } from "./ipc-plan.ts";
import type { IpcObject, IpcPlan } from "./ipc-plan.ts";
import { fill } from "./memory.ts";

const LIMITS = ["shmmax", "shmall", "shmmni", "msgmax", "msgmnb", "msgmni", "sem"] as const;
const PAGE_BYTES = 4096;
const PRIVATE_MODE = 0o600;
const UNCHANGED = 0xffff_ffffn;
const RECORD_BYTES = 128;
/** What /proc/sys/kernel/shm_next_id and its kin hold when the kernel is to choose. */
const NO_CHOICE = -1;
/** The kernel's own limit of a queue, if nobody changed it: what fits in before more is asked for. */
const QUEUE_BYTES = 16384;
/** A message being drained is cut to this: it is thrown away. */
const DRAIN_BYTES = 128;
const LARGEST_COMPARED_BYTES = 65536;
const MOST_DRAINED = 1 << 22;

export interface IpcActors {
  /** Alive in all of the restart, and no process of the job. */
  readonly keeper: Puppet;
  /** The process of that pid, or else the root. */
  of(pid: number): Puppet;
  /** The image's number in the keeper. */
  readonly image: number;
  /** Whether processes are to make things as the users who made them. */
  readonly asOthers: boolean;
}

export class IpcObjects {
  readonly #reader: ImageReader;
  readonly #plan: IpcPlan;
  readonly #actors: IpcActors;
  readonly #objects: readonly IpcObject[];
  readonly #made: IpcObject[] = [];
  /** Where the keeper has segments attached: until all others have them, or kernel.shm_rmid_forced would take them away. */
  readonly #attached: bigint[] = [];
  readonly #warnings: string[] = [];

  constructor(reader: ImageReader, plan: IpcPlan, actors: IpcActors) {
    const ipc = reader.metadata.sysvIpc;
    this.#reader = reader;
    this.#plan = plan;
    this.#actors = actors;
    this.#objects = ipc === undefined ? [] : objectsOf(ipc);
  }

  segmentBytes(id: number): number {
    const found = this.#reader.metadata.sysvIpc?.segments.find((one) => one.id === id);
    if (found === undefined) throw new CairnError("damaged", `The image has no System V segment ${id}`);
    return found.sizeBytes;
  }

  /** Throws IpcTaken when an id or a key is another's by now. */
  make(): void {
    if (this.#plan.place === "namespace" && this.#objects.length > 0) this.#copyLimits();
    for (const object of this.#objects) {
      if (this.#plan.reused.has(objectKey(object))) continue;
      this.#makeOne(object);
      this.#made.push(object);
      if (object.kind === "segment") this.#fillSegment(object.image, false);
      else if (object.kind === "semaphores") this.#setSemaphores(object.image, false);
      else this.#fillQueue(object.image);
    }
  }

  /** Gives what could not be set as it was, in words. */
  takeBack(): readonly string[] {
    for (const object of this.#objects) {
      if (this.#plan.reused.has(objectKey(object))) {
        if (object.kind === "segment") this.#fillSegment(object.image, true);
        else if (object.kind === "semaphores") this.#setSemaphores(object.image, true);
        else if (!this.#isAsItWas(object.image)) {
          this.#drainQueue(object.image);
          this.#fillQueue(object.image);
        }
      }
      this.#setOwner(object);
      if (object.kind !== "segment") continue;
      const id = BigInt(object.image.id);
      if (object.image.locked) this.#tolerate(object, "its lock", call(SYSCALLS.shmctl, id, BigInt(SHM_LOCK), 0n));
      if (object.image.destroyed) this.#actors.keeper.run([purposed("removing a segment", SYSCALLS.shmctl, id, BigInt(IPC_RMID), 0n)]);
    }
    this.#actors.keeper.run(this.#attached.splice(0).map((start) => call(SYSCALLS.shmdt, start)));
    return this.#warnings;
  }

  /** In a namespace of the job's own everything goes with its processes. */
  undo(): void {
    if (this.#plan.place !== "host") return;
    for (const { kind, image } of this.#made.splice(0)) removeById(kind, image.id);
  }

  /** A new namespace begins with the kernel's own limits: what the job had made under higher ones might not fit. */
  #copyLimits(): void {
    const { keeper } = this.#actors;
    for (const name of LIMITS) {
      const path = `/proc/sys/kernel/${name}`;
      const data = keeper.data();
      const text = readFileSync(path);
      const address = data.put(text);
      const [fd] = keeper.run(
        [tolerant(SYSCALLS.openat, BigInt(AT_FDCWD), data.put(Buffer.from(`${path}\0`)), BigInt(O_WRONLY), 0n)],
        data,
      );
      // An ordinary user may not; where that matters, what does not fit says so.
      if ((fd as bigint) < 0n) continue;
      keeper.run([tolerant(SYSCALLS.write, fd as bigint, address, BigInt(text.length)), call(SYSCALLS.close, fd as bigint)]);
    }
  }

  #makeOne(object: IpcObject): void {
    const { kind, image } = object;
    const maker = this.#actors.of(object.kind === "segment" ? object.image.maker : 0);
    this.#chooseId(kind, image.id);
    const flags = BigInt(IPC_CREAT | IPC_EXCL | PRIVATE_MODE);
    const key = BigInt.asUintN(32, BigInt(image.key));
    const { get } = IPC_KINDS[kind];
    const made =
      object.kind === "segment"
        ? tolerant(get, key, BigInt(object.image.sizeBytes), flags)
        : object.kind === "semaphores"
          ? tolerant(get, key, BigInt(object.image.semaphores.length), flags)
          : tolerant(get, key, flags);
    const result = Number(this.#asCreator(maker, object, made));
    if (result === image.id) return;
    // Where nothing was made the choice still stands, and would be somebody else's.
    if (result < 0) this.#chooseId(kind, NO_CHOICE);
    if (result >= 0) removeById(kind, result, new PuppetCalls(this.#actors.keeper));
    else if (result !== -ERRNO.EEXIST) {
      throw new CairnError("io", `Cannot restart: ${describe(object)} can't be made: ${errnoName(-result)}`, {
        data: { id: image.id, errno: errnoName(-result) },
        hint: "The limits of this system (`ipcs -l`) may be lower than those under which the job ran",
      });
    }
    throw new IpcTaken("conflict", `Cannot restart: the id or the key of ${describe(object)} is taken`, {
      data: { id: image.id, key: image.key },
      hint: "Remove the object that has it (`ipcs` lists them), and try again",
    });
  }

  /** What the next object of this kind is to be called. */
  #chooseId(kind: IpcKind, id: number): void {
    const { keeper } = this.#actors;
    const { nextId } = IPC_KINDS[kind];
    const data = keeper.data();
    const path = data.put(Buffer.from(`${nextId}\0`));
    const text = Buffer.from(id.toString());
    const address = data.put(text);
    const [opened] = keeper.run([tolerant(SYSCALLS.openat, BigInt(AT_FDCWD), path, BigInt(O_WRONLY), 0n)], data);
    const fd = opened as bigint;
    const [written] = fd < 0n ? [fd] : keeper.run([tolerant(SYSCALLS.write, fd, address, BigInt(text.length)), call(SYSCALLS.close, fd)]);
    if (written === BigInt(text.length)) return;
    throw new CairnError(
      "permission",
      `Cannot restart: the job has System V IPC objects, and their ids can't be chosen (${errnoName(-Number(written))})`,
      {
        data: { path: nextId },
        hint: `The kernel needs CONFIG_CHECKPOINT_RESTORE, and ${nextId} has to be writable; restart as root`,
      },
    );
  }

  /** cuid and cgid of an object are those of whoever makes it, and never change. */
  #asCreator(maker: Puppet, { image: { creator } }: IpcObject, make: Call): bigint {
    const uid = process.geteuid?.() ?? 0;
    const gid = process.getegid?.() ?? 0;
    if (!this.#actors.asOthers || (creator.uid === uid && creator.gid === gid)) return maker.run([make])[0] as bigint;
    const group = (id: number): Call => tolerant(SYSCALLS.setresgid, UNCHANGED, BigInt(id), UNCHANGED);
    const user = (id: number): Call => tolerant(SYSCALLS.setresuid, UNCHANGED, BigInt(id), UNCHANGED);
    return maker.run([group(creator.gid), user(creator.uid), make, user(uid), group(gid)])[2] as bigint;
  }

  #fillSegment({ id, sizeBytes, runs }: IpcSegment, isOld: boolean): void {
    if (runs.length === 0 && !isOld) return;
    const { keeper, image } = this.#actors;
    const [attached] = keeper.run([purposed(`attaching System V segment ${id}`, SYSCALLS.shmat, BigInt(id), 0n, 0n)]);
    const start = attached as bigint;
    const length = BigInt(Math.ceil(sizeBytes / PAGE_BYTES) * PAGE_BYTES);
    if (isOld) keeper.run([purposed(`emptying System V segment ${id}`, SYSCALLS.madvise, start, length, BigInt(MADV_REMOVE))]);
    fill(keeper, this.#reader, [{ start: `0x${start.toString(16)}`, runs }], image);
    this.#attached.push(start);
  }

  #setSemaphores({ id, semaphores, operated }: IpcSemaphoreSet, isOld: boolean): void {
    const isNobodys = semaphores.every(([, pid]) => pid === 0);
    const now = isOld ? semaphoreValues(new PuppetCalls(this.#actors.keeper), { id, count: semaphores.length }) : [];
    semaphores.forEach(([value, pid], index) => {
      // To set a semaphore is to be known as its last user: one that nobody had used stays nobody's where it can.
      const valueNow = isOld && typeof now === "object" ? now[index] : 0;
      if (value === valueNow && pid === 0 && !(isNobodys && index === 0)) return;
      const set = purposed(
        `setting semaphore ${index} of set ${id}`,
        SYSCALLS.semctl,
        BigInt(id),
        BigInt(index),
        BigInt(SETVAL),
        BigInt(value),
      );
      this.#orKeeper(pid, set);
    });
    if (!operated) return;
    // Up and down in one call: nothing changes but sem_otime, by which programs know that a set is initialized.
    const index = Math.max(
      0,
      semaphores.findIndex(([, pid]) => pid !== 0),
    );
    const [value, pid] = semaphores[index] as [number, number];
    const first = value > 0 ? -1 : 1;
    const operations = Buffer.alloc(12);
    [first, -first].forEach((change, at) => {
      operations.writeUInt16LE(index, 6 * at);
      operations.writeInt16LE(change, 6 * at + 2);
      operations.writeInt16LE(IPC_NOWAIT, 6 * at + 4);
    });
    new PuppetCalls(this.#actors.of(pid)).call(SYSCALLS.semop, id, operations, 2);
  }

  /** Nobody has sent or received since, and a later checkpoint will know the queue by its last users. */
  #isAsItWas({ id, messages, sender, receiver }: IpcQueue): boolean {
    const calls = new PuppetCalls(this.#actors.keeper);
    const now = statByKind(calls, "queue", id);
    if (typeof now === "number" || !("senderPid" in now) || now.messages !== messages.length || sender + receiver === 0) return false;
    const isUser = (pid: number, known: number): boolean => pid === 0 || this.#actors.of(pid).pid === known;
    if (!isUser(sender, now.senderPid) || !isUser(receiver, now.receiverPid)) return false;
    return messages.every(({ type, content }, index) => {
      const message = copyMessage(calls, id, index, LARGEST_COMPARED_BYTES);
      return (
        message !== null && typeof message !== "number" && message.type === BigInt(type) && message.content.toString("base64") === content
      );
    });
  }

  #drainQueue({ id, receiver }: IpcQueue): void {
    const calls = new PuppetCalls(this.#actors.of(receiver));
    const message = Buffer.alloc(RECORD_BYTES + DRAIN_BYTES);
    for (let drained = 0; drained < MOST_DRAINED; drained += 1) {
      if (calls.call(SYSCALLS.msgrcv, id, message, DRAIN_BYTES, 0, IPC_NOWAIT | MSG_NOERROR) < 0) return;
    }
  }

  #fillQueue(queue: IpcQueue): void {
    const { id, messages, sender, receiver } = queue;
    const contents = messages.map(({ type, content }) => ({ type: BigInt(type), content: Buffer.from(content, "base64") }));
    const contentBytes = contents.reduce((sum, { content }) => sum + content.length, 0);
    if (contentBytes > QUEUE_BYTES) this.#setQueue({ ...queue, limitBytes: Math.max(contentBytes, queue.limitBytes) });
    // A message to and fro: the queue is to know who received last.
    if (receiver !== 0 || (sender === 0 && messages.length === 0)) {
      this.#send(id, sender, 1n, Buffer.alloc(0));
      new PuppetCalls(this.#actors.of(receiver)).call(SYSCALLS.msgrcv, id, Buffer.alloc(RECORD_BYTES), 0, 0, IPC_NOWAIT);
    }
    for (const { type, content } of contents) this.#send(id, sender, type, content);
  }

  #send(id: number, sender: number, type: bigint, content: Buffer): void {
    const message = encodeMessage(type, content);
    const send = (puppet: Puppet): number => new PuppetCalls(puppet).call(SYSCALLS.msgsnd, id, message, content.length, IPC_NOWAIT);
    let result = send(this.#actors.of(sender));
    if (result === -ERRNO.EACCES) result = send(this.#actors.keeper);
    if (result >= 0) return;
    throw new CairnError(
      "io",
      `Cannot restart: a message of ${content.length} bytes can't be put back into message queue ${id}: ${errnoName(-result)}`,
      {
        data: { id, errno: errnoName(-result) },
        hint: "The limits of this system (kernel.msgmax, kernel.msgmnb) may be lower than those under which the job ran",
      },
    );
  }

  /** By the process itself, or where it may not any more by the keeper. */
  #orKeeper(pid: number, wanted: Call): void {
    const [result] = this.#actors.of(pid).run([{ ...wanted, mayFail: true }]);
    if ((result as bigint) < 0n) this.#actors.keeper.run([wanted]);
  }

  #setOwner(object: IpcObject): void {
    if (object.kind === "queue") {
      this.#setQueue(object.image);
      return;
    }
    const { kind, image } = object;
    const data = this.#actors.keeper.data();
    const address = data.put(permissionRecord(object));
    const id = BigInt(image.id);
    const set =
      kind === "segment"
        ? tolerant(SYSCALLS.shmctl, id, BigInt(IPC_SET), address)
        : tolerant(SYSCALLS.semctl, id, 0n, BigInt(IPC_SET), address);
    if ((this.#actors.keeper.run([set], data)[0] as bigint) < 0n) this.#warn(object, "its owner and mode");
  }

  #setQueue(image: IpcQueue): void {
    const record = permissionRecord({ kind: "queue", image });
    record.writeBigUInt64LE(BigInt(image.limitBytes), QUEUE_STATUS.at.msg_qbytes);
    const result = new PuppetCalls(this.#actors.keeper).call(SYSCALLS.msgctl, image.id, IPC_SET, record);
    if (result < 0) this.#warn({ kind: "queue", image }, "its owner, mode and size");
  }

  #tolerate(object: IpcObject, what: string, wanted: Call): void {
    if ((this.#actors.keeper.run([{ ...wanted, mayFail: true }])[0] as bigint) < 0n) this.#warn(object, what);
  }

  #warn(object: IpcObject, what: string): void {
    this.#warnings.push(`${describe(object)}: ${what} could not be set as it was; this user is not allowed to`);
  }
}

/** What IPC_SET reads: the structures of all three kinds begin with it. */
function permissionRecord({ image: { owner, mode } }: IpcObject): Buffer {
  const record = Buffer.alloc(RECORD_BYTES);
  record.writeUInt32LE(owner.uid, IPC_PERMISSIONS.at.uid);
  record.writeUInt32LE(owner.gid, IPC_PERMISSIONS.at.gid);
  record.writeUInt32LE(mode, IPC_PERMISSIONS.at.mode);
  return record;
}

function removeById(kind: IpcKind, id: number, calls = ownIpcCalls): void {
  const { control } = IPC_KINDS[kind];
  if (kind === "semaphores") calls.call(control, id, 0, IPC_RMID, 0);
  else calls.call(control, id, IPC_RMID, 0);
}

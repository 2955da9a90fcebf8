/** POSIX message queues: attributes, messages with priorities, and whether the name is there still. */
import { fstatSync, openSync } from "node:fs";
import { basename } from "node:path";
import { CairnError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { encodeName, nameToBuffer, nameToText } from "../base/names.ts";
import type { MessageQueue, Name } from "../image/mod.ts";
import { O_ACCMODE, O_NONBLOCK, O_RDWR, O_WRONLY } from "../kernel/abi/constants.ts";
import { OwnedFd } from "../kernel/descriptors.ts";
import { notifiedBy, queueAttributes } from "../kernel/message-queues.ts";
import { lookAtMessages } from "../tracee/turn.ts";
import type { DescriptorReference } from "./descriptors.ts";

/** What an image's metadata bear, encoded. */
const LARGEST_CONTENT_BYTES = 64 * 1024 * 1024;

export interface FoundQueue {
  readonly key: string;
  readonly name: Name;
  readonly removed: boolean;
}

/** The queue's own name, however it was opened: by mq_open(3) or under the place where the queues are mounted. */
export function queueName(path: Name): Name {
  return encodeName(Buffer.from(basename(nameToBuffer(path).toString("latin1")), "latin1"));
}

/** Throws a CairnError (`unsupported`) for a queue that cannot be looked into. Changes nothing. */
export function inspectQueue(reference: DescriptorReference): void {
  if (!mayReceive(reference)) return;
  using queue = open(reference, O_NONBLOCK);
  refuseNotified(reference, queue.fd);
}

function mayReceive({ info }: DescriptorReference): boolean {
  return (info.flags & O_ACCMODE) !== O_WRONLY;
}

/** A description of our own, so that nothing is set on the job's. */
function open({ pid, fd, target }: DescriptorReference, flags: number): OwnedFd {
  try {
    return new OwnedFd(openSync(`/proc/${pid}/fd/${fd}`, O_RDWR | flags));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EACCES" && code !== "EPERM") throw error;
    const name = target.kind === "path" ? nameToText(target.name) : "";
    throw new CairnError(
      "unsupported",
      `Cannot save process ${pid}: descriptor ${fd} is the POSIX message queue ${name}, which this user may not open`,
      {
        data: { pid, fd, kind: "message queue" },
        hint: "To be looked at, messages have to be received and sent again: the queue has to let its owner read and write (mode 0600), or take the checkpoint as root. The job was not changed",
      },
    );
  }
}

/** The kernel tells who is to be notified and by which signal, not with which value; and to take the messages out would use it up. */
function refuseNotified({ pid, fd }: DescriptorReference, queue: Fd): void {
  const who = notifiedBy(queue);
  if (who === 0) return;
  throw new CairnError(
    "unsupported",
    `Cannot save process ${pid}: descriptor ${fd} is a POSIX message queue of which process ${who} is to be notified (mq_notify)`,
    {
      data: { pid, fd, kind: "message queue notification", notified: who },
      hint: "The kernel does not tell all of a notification; try again when a message has arrived, or have the program wait in mq_receive or poll. The job was not changed",
    },
  );
}

/** The queues of a frozen job, each once however often it is open. */
export class JobQueues {
  readonly queues: MessageQueue[] = [];
  readonly #ids = new Map<string, number>();
  readonly #receivers = new Map<string, DescriptorReference>();

  /** `found`: every description of the job that is open on a queue. */
  constructor(found: readonly { readonly key: string; readonly reference: DescriptorReference }[]) {
    for (const { key, reference } of found) if (mayReceive(reference) && !this.#receivers.has(key)) this.#receivers.set(key, reference);
  }

  idOf({ key, name, removed }: FoundQueue, reference: DescriptorReference): number {
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = this.queues.length;
    this.#ids.set(key, id);
    const receiver = this.#receivers.get(key);
    // Messages of a queue into which the job only writes are those of whoever reads it; with the name gone that is nobody who could come back.
    using queue = receiver === undefined && !removed ? openToLook(reference) : open(receiver ?? reference, 0);
    const { uid, gid, mode } = fstatSync(queue.fd);
    const { maxMessages, messageBytes, messages } = queueAttributes(queue.fd);
    const common = { id, name, removed, access: { mode: mode & 0o7777, uid, gid }, maxMessages, messageBytes };
    if (receiver === undefined && !removed) {
      this.queues.push(common);
      return id;
    }
    refuseNotified(reference, queue.fd);
    if (maxMessages * messageBytes > LARGEST_CONTENT_BYTES) throw tooLarge(reference, maxMessages * messageBytes);
    const content = messages === 0 ? [] : lookAtMessages(queue.fd, { maxMessages, messageBytes, messages });
    this.queues.push({ ...common, messages: content.map((one) => ({ priority: one.priority, content: one.content.toString("base64") })) });
    return id;
  }
}

function openToLook({ pid, fd }: DescriptorReference): OwnedFd {
  return new OwnedFd(openSync(`/proc/${pid}/fd/${fd}`, O_WRONLY | O_NONBLOCK));
}

function tooLarge({ pid, fd }: DescriptorReference, bytes: number): CairnError {
  return new CairnError(
    "unsupported",
    `Cannot save process ${pid}: descriptor ${fd} is a POSIX message queue that may hold ${bytes} bytes`,
    {
      data: { pid, fd, kind: "message queue" },
      hint: `Queues of up to ${LARGEST_CONTENT_BYTES} bytes are carried over. The job was not changed`,
    },
  );
}

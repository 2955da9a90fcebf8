/**
 * POSIX message queues, made again by this process: under their names where those are free, with the messages in them. A queue whose name is
 * there still, because queues outlive processes, is taken back to what the checkpoint saw when files are.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fstatSync } from "node:fs";
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { nameToBuffer, nameToText } from "../base/names.ts";
import type { ImageMetadata, MessageQueue, OpenFile } from "../image/mod.ts";
import { O_ACCMODE, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR } from "../kernel/abi/constants.ts";
import { makeQueue, openQueue, putMessages, queueAttributes, removeQueue, takeMessages } from "../kernel/message-queues.ts";
import { reopen } from "../kernel/open.ts";
import { giveAccess } from "./file-access.ts";

const PRIVATE_MODE = 0o600;

interface RestoredQueue {
  /** Open for both and not blocking where the queue has content. */
  readonly fd: Fd;
  readonly made: boolean;
}

/** A queue of the name that is there, and cannot be the job's. Only looks. */
export function compareQueues({ messageQueues = [] }: ImageMetadata): CairnError[] {
  return messageQueues.flatMap((queue) => {
    if (queue.removed) return [];
    try {
      const fd = tryOpen(queue, accessTo(queue));
      if (fd === null) return [];
      try {
        const { maxMessages, messageBytes } = queueAttributes(fd);
        return maxMessages === queue.maxMessages && messageBytes === queue.messageBytes ? [] : [isAnother(queue)];
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      if (error instanceof CairnError) return [error];
      throw error;
    }
  });
}

function isAnother(queue: MessageQueue): CairnError {
  const text = nameToText(queue.name);
  return new CairnError(
    "changed",
    `Cannot restart: the POSIX message queue /${text} is another than the job's: it has room for other messages`,
    {
      data: { queue: text },
      hint: `Remove it (rm /dev/mqueue/${text}) or end whoever uses it, then try again`,
    },
  );
}

function accessTo({ messages }: MessageQueue): number {
  return messages === undefined ? O_RDONLY : O_RDWR;
}

/** Null when there is none of the name. */
function tryOpen(queue: MessageQueue, access: number): Fd | null {
  try {
    return openQueue(nameToBuffer(queue.name), access | O_NONBLOCK);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (error.errnoName === "ENOENT") return null;
    const text = nameToText(queue.name);
    throw new CairnError("permission", `Cannot restart: the POSIX message queue /${text} cannot be opened (${error.errnoName})`, {
      data: { queue: text },
      hint: "Restart as the user that the job ran as, or as root",
      cause: error,
    });
  }
}

export class RestoredQueues {
  readonly #images: ReadonlyMap<number, MessageQueue>;
  readonly #queues = new Map<number, RestoredQueue>();
  readonly #keep: (fd: Fd) => Fd;
  readonly #warn: (warning: string) => void;
  readonly #undoing: (() => void)[] = [];

  /** `keep` closes a descriptor when the restart is over. */
  constructor({ messageQueues = [] }: ImageMetadata, keep: (fd: Fd) => Fd, warn: (warning: string) => void) {
    this.#images = new Map(messageQueues.map((queue) => [queue.id, queue]));
    this.#keep = keep;
    this.#warn = warn;
  }

  /** A description of the queue as the job had it. */
  open(file: Extract<OpenFile, { kind: "message-queue" }>): Fd {
    const image = this.#images.get(file.queue);
    if (image === undefined) throw new CairnError("damaged", `The image has no message queue ${file.queue}`);
    let queue = this.#queues.get(file.queue);
    if (queue === undefined) {
      queue = this.#find(image);
      this.#keep(queue.fd);
      this.#queues.set(file.queue, queue);
    }
    return reopen(queue.fd, file.flags & (O_ACCMODE | O_NONBLOCK));
  }

  /** Once all descriptions are opened: the queue's mode may forbid it. */
  giveAccess(): void {
    for (const [id, { fd, made }] of this.#queues) if (made) giveAccess(fd, (this.#images.get(id) as MessageQueue).access);
  }

  /** Queues that were there still get their messages of the checkpoint. */
  takeBack(): void {
    for (const [id, { fd, made }] of this.#queues) {
      const { messages, name, access } = this.#images.get(id) as MessageQueue;
      if (made || messages === undefined) continue;
      // A restart that was killed has left it private.
      if ((fstatSync(fd).mode & 0o7777) !== access.mode) giveAccess(fd, access);
      const since = takeMessages(fd);
      // By its name: what the restart had open is closed by then.
      this.#undoing.push(() => {
        const again = openQueue(nameToBuffer(name), O_RDWR | O_NONBLOCK);
        takeMessages(again);
        putMessages(again, since);
        closeSync(again);
      });
      putMessages(fd, decode(messages));
      const isSame = JSON.stringify(messages) === JSON.stringify(since.map(encode));
      if (!isSame)
        this.#warn(`The POSIX message queue /${nameToText(name)} was taken back to the ${messages.length} messages of the checkpoint`);
    }
  }

  undo(): void {
    for (const undo of this.#undoing.splice(0).reverse()) undo();
  }

  #find(image: MessageQueue): RestoredQueue {
    const present = image.removed ? null : tryOpen(image, accessTo(image));
    if (present === null) return { fd: this.#make(image), made: true };
    const { maxMessages, messageBytes } = queueAttributes(present);
    if (maxMessages === image.maxMessages && messageBytes === image.messageBytes) return { fd: present, made: false };
    closeSync(present);
    throw isAnother(image);
  }

  #make(image: MessageQueue): Fd {
    const name = image.removed ? Buffer.from(`cairn-${randomBytes(8).toString("hex")}`) : nameToBuffer(image.name);
    let fd: Fd;
    try {
      fd = makeQueue(name, O_RDWR | O_NONBLOCK | O_CREAT | O_EXCL, PRIVATE_MODE, image);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      throw cannotMake(image, error);
    }
    if (image.removed) removeQueue(name);
    else this.#undoing.push(() => removeQueue(name));
    putMessages(fd, decode(image.messages ?? []));
    return fd;
  }
}

function cannotMake(image: MessageQueue, cause: SyscallError): CairnError {
  const text = nameToText(image.name);
  const hints: Record<string, string> = {
    EINVAL: "Raise fs.mqueue.msg_max and fs.mqueue.msgsize_max (sysctl) to what the queue has, or restart as root",
    EMFILE: "Raise the limit of bytes in message queues (ulimit -q), or remove queues that nobody uses (/dev/mqueue)",
    ENOSPC: "Raise fs.mqueue.queues_max (sysctl), or remove queues that nobody uses (/dev/mqueue)",
  };
  const hint = hints[cause.errnoName];
  return new CairnError(
    "io",
    `Cannot restart: the POSIX message queue /${text} of ${image.maxMessages} messages of ${image.messageBytes} bytes cannot be made (${cause.errnoName})`,
    { data: { queue: text }, ...(hint === undefined ? {} : { hint }), cause },
  );
}

type ImageMessages = NonNullable<MessageQueue["messages"]>;

function decode(messages: ImageMessages): { priority: number; content: Buffer }[] {
  return messages.map(({ priority, content }) => ({ priority, content: Buffer.from(content, "base64") }));
}

function encode({ priority, content }: { readonly priority: number; readonly content: Buffer }): ImageMessages[number] {
  return { priority, content: content.toString("base64") };
}

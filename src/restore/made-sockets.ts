/**
 * Sockets on their way to being what they were: made and connected, then filled with what nobody had read, then shut down as they
 * were, and last given their options. A connection whose other end is not in the image has one of ours, which goes when all is in.
 */
import { closeSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import type { SocketFile, SocketMessage } from "../image/mod.ts";
import { isForBinding, lockBuffers, withLargestBuffer, writeOptions } from "../kernel/socket-options.ts";
import type { SocketOption } from "../kernel/socket-options.ts";
import { SO_SNDBUF, trySend } from "../kernel/sockets.ts";

const EAGAIN = 11;

export class MadeSockets {
  readonly #byId = new Map<number, Fd>();
  readonly #others = new Map<number, Fd>();
  readonly #taken = new Set<number>();
  readonly #paired = new Set<number>();
  readonly #warn: (warning: string) => void;

  constructor(warn: (warning: string) => void) {
    this.#warn = warn;
  }

  warn(warning: string): void {
    this.#warn(warning);
  }

  has(id: number): boolean {
    return this.#byId.has(id);
  }

  of(id: number): Fd {
    const fd = this.#byId.get(id);
    if (fd === undefined) throw new CairnError("damaged", `The image's socket ${id} was not made`);
    return fd;
  }

  add(id: number, fd: Fd): void {
    this.#byId.set(id, fd);
  }

  /** The other end of a connection, where it is not in the image. */
  addOther(id: number, fd: Fd): void {
    this.#others.set(id, fd);
  }

  otherOf(id: number): Fd | undefined {
    return this.#others.get(id);
  }

  markPaired(...ids: readonly number[]): void {
    for (const id of ids) this.#paired.add(id);
  }

  isPaired(id: number): boolean {
    return this.#paired.has(id);
  }

  /** Options without which a socket can't be bound, or would be bound otherwise. */
  prepare(fd: Fd, socket: SocketFile): void {
    writeOptions(fd, optionsOf(socket).filter(isForBinding));
  }

  /** Every option as it was. */
  finish(socket: SocketFile, fd = this.of(socket.id)): void {
    const failed = writeOptions(fd, optionsOf(socket));
    for (const [level, name] of failed) this.#warn(`An option of a socket (level ${level}, number ${name}) could not be set as it was`);
  }

  /** For one that has been taken, and whose buffers are as large as they were, whoever had made them so. */
  finishKept(socket: SocketFile, fd: Fd): void {
    this.finish(socket, fd);
    lockBuffers(fd, optionsOf(socket));
  }

  /** The socket goes to the caller, who closes it. */
  take(id: number): Fd {
    const fd = this.of(id);
    this.#taken.add(id);
    return fd;
  }

  closeOther(id: number): void {
    const other = this.#others.get(id);
    if (other === undefined) return;
    this.#others.delete(id);
    closeSync(other);
  }

  /** All that nobody has taken. */
  closeAll(): void {
    for (const [id, fd] of this.#byId) if (!this.#taken.has(id)) closeSync(fd);
    for (const fd of this.#others.values()) closeSync(fd);
    this.#byId.clear();
    this.#others.clear();
  }
}

function optionsOf(socket: SocketFile): SocketOption[] {
  return socket.options.map(([level, name, value]) => [level, name, Buffer.from(value, "base64")]);
}

/** Puts messages into the queue of whoever is at the other end of `sender`. Throws a CairnError (`io`) when they find no room. */
export function sendAll(
  sender: Fd,
  messages: readonly SocketMessage[],
  rightsOf: (ids: readonly number[]) => readonly Fd[],
  to?: Uint8Array,
): void {
  withLargestBuffer(sender, SO_SNDBUF, () => {
    for (const { content, rights } of messages) sendWhole(sender, Buffer.from(content, "base64"), rightsOf(rights ?? []), to);
  });
}

function sendWhole(sender: Fd, bytes: Buffer, rights: readonly Fd[], to: Uint8Array | undefined): void {
  const address = to === undefined ? {} : { to };
  let sent = 0;
  do {
    const result = trySend(sender, bytes.subarray(sent), { ...address, ...(sent === 0 ? { rights } : {}) });
    if (result < 0) {
      throw new CairnError(
        "io",
        `Cannot put back ${bytes.length - sent} bytes that waited in a socket: ${result === -EAGAIN ? "there is no room" : `errno ${-result}`}`,
        {
          hint: "Restart as root, who may make sockets' buffers larger",
        },
      );
    }
    sent += result;
  } while (sent < bytes.length);
}

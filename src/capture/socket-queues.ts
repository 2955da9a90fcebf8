/**
 * What waits unread in the job's sockets, looked at where it is.
 *
 * A look beyond the first message needs SO_PEEK_OFF, which is the socket's own and would change how the job's looks go. So a
 * guard stands by (tracee/guard.ts) that takes it back should we be killed while it is set.
 *
 * Descriptors that were sent along and not received yet (SCM_RIGHTS) may be the only ones on what they are open on: looking gives
 * us duplicates, which count as references like any process's own, until this is disposed of. A socket among them has a queue, too.
 */
import { closeSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import type { Fd, Pid } from "../base/ids.ts";
import { asPid } from "../base/ids.ts";
import { FIONREAD } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { POLLIN, duplicateFrom, openProcess, pollNow, tryIoctlBuffer } from "../kernel/descriptors.ts";
import type { OwnedFd } from "../kernel/descriptors.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_PEEK_OFF,
  SO_TYPE,
  bytesBeforeLastPiece,
  numberOption,
  peekMessage,
  setOption,
} from "../kernel/sockets.ts";
import type { Peeked } from "../kernel/sockets.ts";
import { countStep } from "../kernel/syscall-ffi.ts";
import { Guard } from "../tracee/guard.ts";
import { referenceTo } from "./descriptors.ts";
import type { DescriptorReference } from "./descriptors.ts";

/** Larger than any datagram that the kernel's own limits let anybody send, but for root. */
const LARGEST_MESSAGE_BYTES = 4 << 20;
const MOST_MESSAGES = 100_000;
/** A guard holds as many sockets, and so do we. */
const GUARDED_AT_ONCE = 64;
const PEEK_OFF = -1;

export interface QueuedMessage {
  readonly bytes: Buffer;
  readonly from: Buffer;
  /** What was sent along. */
  readonly rights: readonly DescriptorReference[];
}

interface Held {
  readonly reference: DescriptorReference;
  readonly own: OwnedFd;
  readonly type: number;
}

export class SocketQueues implements Disposable {
  readonly #byInode = new Map<bigint, QueuedMessage[]>();
  readonly #held: Fd[] = [];
  /** References of ours, on what was sent and not received. */
  readonly inFlight: DescriptorReference[] = [];

  /** Precondition: the processes are frozen. Throws a CairnError (`unsupported`), or a SyscallError. */
  constructor(references: readonly DescriptorReference[]) {
    try {
      let fresh = references;
      while (fresh.length > 0) {
        const before = this.inFlight.length;
        this.#look(fresh);
        fresh = this.inFlight.slice(before);
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  of(inode: bigint): readonly QueuedMessage[] {
    return this.#byInode.get(inode) ?? [];
  }

  [Symbol.dispose](): void {
    for (const fd of this.#held.splice(0)) closeSync(fd);
  }

  #look(references: readonly DescriptorReference[]): void {
    // Of a stream everything can be seen at once, as long as nothing was sent along.
    const closer: DescriptorReference[] = [];
    for (const reference of references) {
      if (reference.target.kind !== "socket" || this.#byInode.has(inodeOf(reference))) continue;
      this.#byInode.set(inodeOf(reference), []);
      using own = duplicateOf(reference);
      if (needsCloserLook(own.fd, (bytes) => this.#byInode.set(inodeOf(reference), [{ bytes, from: Buffer.alloc(0), rights: [] }])))
        closer.push(reference);
    }
    for (let from = 0; from < closer.length; from += GUARDED_AT_ONCE) {
      using sockets = new HeldSockets(closer.slice(from, from + GUARDED_AT_ONCE));
      using _guard = new Guard(
        sockets.list.map(({ own }) => own.fd),
        sockets.list.map(({ own }) => ({ number: SYSCALLS.setsockopt, arguments: [own.fd, SOL_SOCKET, SO_PEEK_OFF, word(PEEK_OFF), 4] })),
      );
      for (const held of sockets.list) this.#lookCloser(held);
    }
  }

  #lookCloser({ reference, own, type }: Held): void {
    const before = numberOption(own.fd, SOL_SOCKET, SO_PEEK_OFF) ?? PEEK_OFF;
    const messages: QueuedMessage[] = [];
    try {
      let offset = 0;
      for (; messages.length < MOST_MESSAGES;) {
        const found = peekAt(own.fd, offset, LARGEST_MESSAGE_BYTES);
        if (found === null || (type === SOCK_STREAM && found.bytes.length === 0)) break;
        if (found.truncated) throw tooLong(reference);
        if (type === SOCK_STREAM && found.rights.length > 0) {
          // What was sent with descriptors is the last piece of what is shown at once.
          setOption(own.fd, SOL_SOCKET, SO_PEEK_OFF, offset);
          const plain = bytesBeforeLastPiece(own.fd, found.bytes.length);
          if (plain > 0) messages.push({ bytes: found.bytes.subarray(0, plain), from: found.from, rights: [] });
          messages.push({ bytes: found.bytes.subarray(plain), from: found.from, rights: this.#keep(found.rights) });
        } else {
          messages.push({ bytes: found.bytes, from: found.from, rights: this.#keep(found.rights) });
        }
        offset += found.bytes.length;
        // The kernel goes by bytes: behind an empty datagram at the start nothing more can be told apart.
        if (found.bytes.length === 0) break;
      }
    } finally {
      countStep("socket");
      setOption(own.fd, SOL_SOCKET, SO_PEEK_OFF, before);
    }
    this.#byInode.set(inodeOf(reference), messages);
  }

  #keep(rights: readonly Fd[]): DescriptorReference[] {
    this.#held.push(...rights);
    const references = rights.flatMap((fd) => referenceTo(asPid(process.pid), fd) ?? []);
    this.inFlight.push(...references);
    return references;
  }
}

/** Whether one look can't tell all. What it tells is given to `found`. */
function needsCloserLook(fd: Fd, found: (bytes: Buffer) => void): boolean {
  const domain = numberOption(fd, SOL_SOCKET, SO_DOMAIN);
  if ((domain !== AF_UNIX && domain !== AF_INET && domain !== AF_INET6) || numberOption(fd, SOL_SOCKET, SO_ACCEPTCONN) === 1) return false;
  if (numberOption(fd, SOL_SOCKET, SO_TYPE) !== SOCK_STREAM) return (pollNow(fd, POLLIN) & POLLIN) !== 0;
  const unread = unreadBytes(fd);
  const all = unread === 0 ? null : peekMessage(fd, unread);
  if (all === null) return false;
  for (const right of all.rights) closeSync(right);
  if (all.rights.length > 0 || (domain === AF_UNIX && all.bytes.length < unread)) return true;
  if (all.bytes.length > 0) found(all.bytes);
  return false;
}

/** Duplicates, closed when the scope ends. */
class HeldSockets implements Disposable {
  readonly list: Held[] = [];

  constructor(references: readonly DescriptorReference[]) {
    try {
      for (const reference of references) {
        const own = duplicateOf(reference);
        this.list.push({ reference, own, type: numberOption(own.fd, SOL_SOCKET, SO_TYPE) ?? 0 });
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const { own } of this.list) own[Symbol.dispose]();
  }
}

export function duplicateOf({ pid, fd }: { readonly pid: Pid; readonly fd: number }): OwnedFd {
  using process = openProcess(pid);
  return duplicateFrom(process, pid, fd);
}

export function inodeOf({ target }: DescriptorReference): bigint {
  return target.kind === "socket" ? target.inode : -1n;
}

function unreadBytes(fd: Fd): number {
  const count = word(0);
  return tryIoctlBuffer(fd, FIONREAD, count) < 0 ? 0 : count.readInt32LE(0);
}

function peekAt(fd: Fd, offset: number, mostBytes: number): Peeked | null {
  countStep("socket");
  setOption(fd, SOL_SOCKET, SO_PEEK_OFF, offset);
  return peekMessage(fd, mostBytes);
}

function tooLong({ pid, fd }: DescriptorReference): CairnError {
  return new CairnError(
    "unsupported",
    `Cannot save process ${pid}: descriptor ${fd} is a socket with an unread message of more than ${LARGEST_MESSAGE_BYTES} bytes`,
    {
      data: { pid, fd, kind: "socket message" },
      hint: "Try again when the program has read it. The job was not changed",
    },
  );
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeInt32LE(value, 0);
  return bytes;
}

/**
 * Every socket of the image, in the order in which that is possible:
 * made and connected; then, once all else that is open is open again, filled with what nobody had read; then shut down as they were.
 */
import { CairnError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import type { ImageMetadata, SocketFile, SocketMessage } from "../image/mod.ts";
import { withLargestBuffer } from "../kernel/socket-options.ts";
import {
  AF_NETLINK,
  AF_UNIX,
  IPPROTO_TCP,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SOCK_DGRAM,
  SOL_SOCKET,
  SO_LINGER,
  SO_RCVBUF,
  bindSocket,
  openSocket,
  setOption,
  shutDown,
  trySend,
  trySetOption,
} from "../kernel/sockets.ts";
import { closeSync } from "node:fs";
import { makeInternetSockets } from "./internet-sockets.ts";
import { latePairs } from "./late-sockets.ts";
import type { KeptConnections } from "./kept-connections.ts";
import { MadeSockets, sendAll } from "./made-sockets.ts";
import { SocketNames, unixAddress } from "./socket-names.ts";
import { makeUnixSockets } from "./unix-sockets.ts";

type UnixSocket = Extract<SocketFile, { kind: "unix-socket" }>;
type InternetSocket = Extract<SocketFile, { kind: "internet-socket" }>;

const SHUT_FOR_READING = 1;
const SHUT_FOR_WRITING = 2;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;

export class RestoredSockets {
  readonly #sockets: readonly SocketFile[];
  readonly #made: MadeSockets;
  readonly #names = new SocketNames();
  readonly #late: ReadonlySet<number>;
  readonly #kept: KeptConnections;

  constructor(metadata: ImageMetadata, kept: KeptConnections, warn: (warning: string) => void) {
    this.#sockets = metadata.openFiles.filter(isSocket);
    this.#late = new Set(latePairs(metadata).flatMap((pair) => pair.map(({ id }) => id)));
    this.#kept = kept;
    this.#made = new MadeSockets(warn);
  }

  /** Throws a CairnError (`conflict`, `changed`, `permission`, `io`); then `undo` is to be called. */
  make(): void {
    // First: what stands against a connection that is to be kept is found before anything else is made.
    this.#kept.make(this.#made);
    makeUnixSockets(
      this.#ofKind("unix-socket").filter(({ id }) => !this.isLate(id)),
      this.#made,
      this.#names,
    );
    makeInternetSockets(this.#ofKind("internet-socket"), this.#made);
    for (const socket of this.#ofKind("netlink-socket")) this.#made.add(socket.id, makeNetlink(socket));
  }

  /** Whether it is made by a process of the job, and comes by `add`. */
  isLate(id: number): boolean {
    return this.#late.has(id);
  }

  add(id: number, fd: Fd): void {
    this.#made.add(id, fd);
    this.#made.markPaired(id);
  }

  /** The socket, which is the caller's to close from here on. */
  take(id: number): Fd {
    return this.#made.take(id);
  }

  /** Precondition: everything that is open is open again, and `fdOf` knows it. */
  fill(fdOf: (id: number) => Fd | undefined): void {
    const rightsOf = (ids: readonly number[]): Fd[] =>
      ids.map((id) => {
        const fd = fdOf(id);
        if (fd === undefined)
          throw new CairnError("unsupported", `Cannot restart: open file ${id}, which is on its way through a socket, can't be sent again`);
        return fd;
      });
    for (const socket of this.#ofKind("unix-socket")) this.#fillUnix(socket, rightsOf);
    for (const socket of this.#ofKind("internet-socket")) if (socket.protocol === IPPROTO_TCP) this.#fillTcp(socket);
    const others = this.#sockets.filter(({ id }) => !this.#kept.has(id));
    for (const socket of others) if (socket.kind !== "netlink-socket") this.#shutDown(socket);
    for (const socket of others) this.#made.finish(socket);
  }

  /** Connections that are kept are the job's from here on. */
  release(): void {
    this.#kept.release(this.#made);
  }

  /** For a restart that is given up: names as they were. */
  undo(): void {
    this.#names.undo();
  }

  /** Those that nobody has taken. */
  closeRest(): void {
    this.#made.closeAll();
  }

  #ofKind<K extends SocketFile["kind"]>(kind: K): Extract<SocketFile, { kind: K }>[] {
    return this.#sockets.filter((socket): socket is Extract<SocketFile, { kind: K }> => socket.kind === kind);
  }

  #fillUnix(socket: UnixSocket, rightsOf: (ids: readonly number[]) => readonly Fd[]): void {
    if (socket.unread.length === 0) return;
    const other = socket.peer === undefined ? this.#made.otherOf(socket.id) : this.#made.of(socket.peer);
    if (socket.type !== SOCK_DGRAM || this.#made.isPaired(socket.id) || (other !== undefined && socket.peer === undefined)) {
      if (other !== undefined) sendAll(other, socket.unread, rightsOf);
      return;
    }
    const name = Buffer.from(socket.local ?? "", "base64");
    if (name.length === 0) return;
    for (const message of socket.unread) this.#sendTo(socket, unixAddress(name), message, rightsOf);
    this.#names.settle(socket);
  }

  #sendTo(socket: UnixSocket, to: Buffer, message: SocketMessage, rightsOf: (ids: readonly number[]) => readonly Fd[]): void {
    const from =
      message.from === undefined
        ? null
        : Buffer.from(message.from, "base64")
            .subarray(2)
            .toString("latin1")
            .replace(/(?<=.)\0.*$/s, "");
    const sender = this.#ofKind("unix-socket").find(
      ({ local }) => from !== null && local !== undefined && Buffer.from(local, "base64").toString("latin1") === from,
    );
    const nameless = this.#ofKind("unix-socket").find(({ peer, local }) => from === null && peer === socket.id && local === undefined);
    const known = sender ?? nameless;
    const fd = known === undefined ? openSocket(AF_UNIX, SOCK_DGRAM, 0) : this.#made.of(known.id);
    try {
      this.#names.inDirectoryOf(socket, () => sendAll(fd, [message], rightsOf, to));
    } finally {
      if (known === undefined) closeSync(fd);
    }
  }

  /** What this end has not read, and behind it what the other end had sent and this one had no room for. */
  #fillTcp(socket: InternetSocket): void {
    const sender = socket.peer === undefined ? this.#made.otherOf(socket.id) : this.#made.of(socket.peer);
    if (sender === undefined) return;
    const peer = this.#ofKind("internet-socket").find(({ id }) => id === socket.peer);
    const unsent = peer?.unsent === undefined ? [] : [{ content: peer.unsent }];
    const messages = [...socket.unread, ...unsent];
    if (messages.length === 0) return;
    withLargestBuffer(this.#made.of(socket.id), SO_RCVBUF, () => sendAll(sender, messages, () => []));
  }

  #shutDown(socket: UnixSocket | InternetSocket): void {
    const fd = this.#made.of(socket.id);
    const other = this.#made.otherOf(socket.id);
    if (other !== undefined) this.#endOther(socket, fd, other);
    const peer = this.#sockets.find(({ id }) => id === socket.peer);
    if (peer === undefined && socket.backlog !== undefined) return;
    const peerShut = peer !== undefined && "shutdown" in peer ? peer.shutdown : 0;
    const reads =
      (socket.shutdown & SHUT_FOR_READING) !== 0 &&
      (socket.kind === "unix-socket" || (peerShut & SHUT_FOR_WRITING) === 0) &&
      socket.lost === undefined;
    const writes = (socket.shutdown & SHUT_FOR_WRITING) !== 0 && (socket.lost === undefined || socket.lost === "closed");
    if (reads || writes) shutDown(fd, reads && writes ? SHUT_RDWR : reads ? SHUT_RD : SHUT_WR);
  }

  /** The other end goes: in peace, or so that this end finds the connection broken. */
  #endOther(socket: UnixSocket | InternetSocket, fd: Fd, other: Fd): void {
    if (socket.kind === "unix-socket") {
      // Whoever goes without having read everything leaves an error behind.
      if (socket.lost === "reset") trySend(fd, Buffer.of(0));
    } else if (socket.lost !== "closed") {
      // struct linger: on, and no seconds: a reset.
      const linger = Buffer.alloc(8);
      linger.writeInt32LE(1, 0);
      setOption(other, SOL_SOCKET, SO_LINGER, linger);
    }
    this.#made.closeOther(socket.id);
  }
}

function isSocket(file: ImageMetadata["openFiles"][number]): file is SocketFile {
  return file.kind === "unix-socket" || file.kind === "internet-socket" || file.kind === "netlink-socket";
}

/** With the port it had, where that is free; the kernel chooses another one otherwise, as it does for any program. */
function makeNetlink(socket: Extract<SocketFile, { kind: "netlink-socket" }>): Fd {
  const fd = openSocket(AF_NETLINK, socket.type, socket.protocol);
  if (socket.port !== 0) {
    // struct sockaddr_nl: family, padding, port, groups.
    const address = Buffer.alloc(12);
    address.writeUInt16LE(AF_NETLINK, 0);
    address.writeUInt32LE(socket.port, 4);
    try {
      bindSocket(fd, address);
    } catch {
      address.writeUInt32LE(0, 4);
      bindSocket(fd, address);
    }
  }
  for (const group of socket.groups) trySetOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
  return fd;
}

/**
 * Unix sockets made again: pairs, names, listening sockets, connections that wait to be accepted.
 *
 * The name of an accepted socket is its listener's, so a connection with a name goes through a listener that is there for it alone.
 * Whoever connects by a name does so right after it is bound: two sockets may have had the same name one after the other.
 */
import { closeSync } from "node:fs";
import { assert } from "../base/assert.ts";
import { CairnError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import type { SocketFile } from "../image/mod.ts";
import { AF_UNIX, SOCK_DGRAM, acceptFrom, connectSocket, listenOn, openSocket, openSocketPair } from "../kernel/sockets.ts";
import type { MadeSockets } from "./made-sockets.ts";
import { unixAddress } from "./socket-names.ts";
import type { SocketNames } from "./socket-names.ts";

type UnixSocket = Extract<SocketFile, { kind: "unix-socket" }>;

export function makeUnixSockets(sockets: readonly UnixSocket[], made: MadeSockets, names: SocketNames): void {
  new Maker(sockets, made, names).makeAll();
}

class Maker {
  readonly #sockets: readonly UnixSocket[];
  readonly #byId: ReadonlyMap<number, UnixSocket>;
  readonly #made: MadeSockets;
  readonly #names: SocketNames;

  constructor(sockets: readonly UnixSocket[], made: MadeSockets, names: SocketNames) {
    this.#sockets = sockets;
    this.#byId = new Map(sockets.map((socket) => [socket.id, socket]));
    this.#made = made;
    this.#names = names;
  }

  makeAll(): void {
    const connections = this.#sockets.filter(
      (socket) => socket.type !== SOCK_DGRAM && (socket.peer !== undefined || socket.lost !== undefined),
    );
    for (const socket of connections) if (!this.#made.has(socket.id)) this.#connect(socket);
    for (const socket of this.#sockets) if (socket.type === SOCK_DGRAM && !this.#made.has(socket.id)) this.#pairUp(socket);
    // Names that still lead to their socket come last: they stay.
    const rest = this.#sockets
      .filter(({ id }) => !this.#made.has(id))
      .toSorted((a, b) => Number(a.file?.isPresent === true) - Number(b.file?.isPresent === true));
    const waiting = new Set(rest.filter(({ waitsAt }) => waitsAt !== undefined).map(({ id }) => id));
    for (const socket of rest) if (socket.local === undefined) this.#made.add(socket.id, openSocket(AF_UNIX, socket.type, 0));
    for (const socket of rest) {
      if (socket.local === undefined) continue;
      const fd = openSocket(AF_UNIX, socket.type, 0);
      this.#made.add(socket.id, fd);
      this.#made.prepare(fd, socket);
      this.#names.bind(fd, socket);
      if (socket.backlog !== undefined) listenOn(fd, socket.backlog);
      if (waiting.has(socket.id)) this.#names.settle(socket);
    }
    for (const socket of rest) {
      if (socket.local === undefined || waiting.has(socket.id)) continue;
      for (const client of this.#sockets) {
        const connects =
          client.waitsAt === socket.id || (client.type === SOCK_DGRAM && client.peer === socket.id && !this.#made.isPaired(client.id));
        if (connects) this.#names.connect(this.#made.of(client.id), socket);
      }
      // Datagrams that wait are sent by the name, once everything else is open.
      if (socket.type !== SOCK_DGRAM || socket.unread.length === 0) this.#names.settle(socket);
    }
    for (const socket of rest)
      if (socket.type === SOCK_DGRAM && socket.peer === undefined && socket.remote !== undefined) this.#connectOutside(socket);
  }

  /** A connection of streams or packets, with its other end, whether that is in the image or gone. */
  #connect(socket: UnixSocket): void {
    const peer = socket.peer === undefined ? undefined : this.#byId.get(socket.peer);
    if (socket.peer !== undefined && peer === undefined)
      throw new CairnError("damaged", `The image's Unix socket ${socket.id} is connected with what is none`);
    const [own, other] = this.#pairOf(socket, peer);
    this.#made.add(socket.id, own);
    if (peer === undefined) this.#made.addOther(socket.id, other);
    else this.#made.add(peer.id, other);
  }

  #pairOf(socket: UnixSocket, peer: UnixSocket | undefined): readonly [Fd, Fd] {
    if (socket.local === undefined && peer?.local === undefined) return openSocketPair(AF_UNIX, socket.type);
    const listens = (one: UnixSocket | undefined): boolean =>
      one?.local !== undefined && this.#sockets.some((other) => other.backlog !== undefined && other.local === one.local);
    // The accepted end has the listener's name; of two names without a listener either may be.
    const isServer = socket.local !== undefined && (peer?.local === undefined || listens(socket) || !listens(peer));
    const [server, client] = isServer ? [socket, peer] : [peer as UnixSocket, socket];
    const listener = openSocket(AF_UNIX, server.type, 0);
    try {
      this.#names.bind(listener, server);
      listenOn(listener, 1);
      const connecting = openSocket(AF_UNIX, server.type, 0);
      if (client?.local !== undefined) this.#bindBriefly(connecting, client);
      this.#names.connect(connecting, server);
      const accepted = acceptFrom(listener);
      assert(accepted !== null, "a Unix connection that was just made does not wait at its listener");
      return isServer ? [accepted, connecting] : [connecting, accepted];
    } finally {
      closeSync(listener);
      this.#names.settle({ ...server, ...(server.file === undefined ? {} : { file: { ...server.file, isPresent: false } }) });
    }
  }

  #bindBriefly(fd: Fd, socket: UnixSocket): void {
    this.#names.bind(fd, socket);
    this.#names.settle(socket);
  }

  /** Datagram sockets without names that send to each other: they came from socketpair(2). */
  #pairUp(socket: UnixSocket): void {
    if (socket.local !== undefined) return;
    const peer = socket.peer === undefined ? undefined : this.#byId.get(socket.peer);
    if (peer === undefined ? socket.lost !== "closed" || socket.remote !== undefined : peer.local !== undefined || this.#made.has(peer.id))
      return;
    const [own, other] = openSocketPair(AF_UNIX, SOCK_DGRAM);
    this.#made.add(socket.id, own);
    if (peer === undefined) this.#made.addOther(socket.id, other);
    else {
      this.#made.add(peer.id, other);
      this.#made.markPaired(socket.id, peer.id);
    }
  }

  /** A datagram socket that sends to a server of the machine (syslog): it is there again, or the program finds that it is not. */
  #connectOutside(socket: UnixSocket): void {
    try {
      connectSocket(this.#made.of(socket.id), unixAddress(Buffer.from(socket.remote ?? "", "base64")));
    } catch {
      this.#made.warn(
        `A Unix datagram socket of the job could not be connected again with ${Buffer.from(socket.remote ?? "", "base64")
          .toString("latin1")
          .replace(/^\0/, "@")}`,
      );
    }
  }
}

/**
 * TCP and UDP sockets made again, with the addresses and ports that they had. Needs no privilege: a connection inside the job is
 * made by connecting, through a listener that is there for it alone.
 *
 * What the kernel keeps of the job's own connections for a minute after they have ended (TIME_WAIT) is in the way of their ports. root
 * has it forgotten; others go by SO_REUSEADDR, set here for the time of the restart, which helps where the program had it set, too.
 * Where it had not, a connection gets another port, and a listening socket, whose port is known to others, is waited for.
 */
import { closeSync } from "node:fs";
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import type { SocketFile } from "../image/mod.ts";
import { pauseMicroseconds } from "../kernel/pause.ts";
import { TCP_TIME_WAIT, destroySocket, listInternetSockets } from "../kernel/socket-diagnostics.ts";
import {
  AF_INET,
  AF_INET6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_REUSEADDR,
  acceptFrom,
  bindSocket,
  connectSocket,
  listenOn,
  localAddress,
  openSocket,
  setOption,
  trySend,
  trySetOption,
} from "../kernel/sockets.ts";
import type { MadeSockets } from "./made-sockets.ts";

type InternetSocket = Extract<SocketFile, { kind: "internet-socket" }>;

const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const IP_ADD_MEMBERSHIP = 35;
const IPV6_ADD_MEMBERSHIP = 20;
/** Some five seconds: an address pair of the job's own that is in TIME_WAIT can be taken again after one. */
const CONNECT_ATTEMPTS = 250;
const ATTEMPT_MICROSECONDS = 20_000;
/** A little more than the minute for which the kernel remembers ended connections. */
const BIND_ATTEMPTS = 650;
const BIND_MICROSECONDS = 100_000;
const ACCEPT_POLLS = 2000;
const ACCEPT_MICROSECONDS = 500;

/** `made` has those connections already that are kept. */
export function makeInternetSockets(sockets: readonly InternetSocket[], made: MadeSockets): void {
  const tcp = sockets.filter(({ protocol }) => protocol === IPPROTO_TCP);
  forgetEnded(tcp);
  const maker = new TcpMaker(tcp, made);
  for (const socket of tcp) if (!made.has(socket.id) && (socket.peer !== undefined || socket.lost !== undefined)) maker.connect(socket);
  for (const socket of tcp) if (!made.has(socket.id) && socket.waitsAt === undefined) maker.open(socket);
  for (const socket of tcp) if (socket.waitsAt !== undefined) maker.wait(socket);
  const udp = sockets.filter(({ protocol }) => protocol === IPPROTO_UDP);
  for (const socket of udp) made.add(socket.id, openDatagram(socket, made));
  for (const socket of udp) fillDatagrams(socket, udp, made);
  for (const socket of udp) if (socket.remote !== undefined) connectSocket(made.of(socket.id), bytesOf(socket.remote));
}

/** What is left of connections of the job that had the same addresses, or stood at a port at which it listens. */
function forgetEnded(sockets: readonly InternetSocket[]): void {
  const ports = new Set(sockets.filter(({ local }) => local !== undefined).map(({ local }) => portOf(local)));
  if (ports.size === 0) return;
  for (const socket of listInternetSockets())
    if (socket.state === TCP_TIME_WAIT && ports.has(socket.localPort) && !destroySocket(socket)) return;
}

/** Whether nothing but ended connections holds a port. */
function isOnlyEnded(port: number): boolean {
  const holders = listInternetSockets().filter((one) => one.protocol === IPPROTO_TCP && one.localPort === port);
  return holders.length > 0 && holders.every(({ state }) => state === TCP_TIME_WAIT);
}

function bytesOf(base64: string | undefined): Buffer {
  return Buffer.from(base64 ?? "", "base64");
}

class TcpMaker {
  readonly #sockets: readonly InternetSocket[];
  readonly #made: MadeSockets;

  constructor(sockets: readonly InternetSocket[], made: MadeSockets) {
    this.#sockets = sockets;
    this.#made = made;
  }

  /** A connection with both its ends, or with one end of ours. */
  connect(socket: InternetSocket): void {
    if (socket.peer === undefined) {
      const [own, other] = this.#connectLost(socket);
      this.#made.add(socket.id, own);
      this.#made.addOther(socket.id, other);
      return;
    }
    const peer = this.#sockets.find(({ id }) => id === socket.peer);
    if (peer === undefined) throw new CairnError("damaged", `The image's TCP socket ${socket.id} is connected with what is none`);
    const listens = (one: InternetSocket): boolean =>
      this.#sockets.some(({ backlog, local }) => backlog !== undefined && portOf(local) === portOf(one.local));
    const isServer = listens(socket) || !listens(peer);
    const [server, client] = isServer ? [socket, peer] : [peer, socket];
    const listener = this.#opened(server);
    try {
      this.#bindHere(listener, server);
      listenOn(listener, 1);
      const connecting = this.#opened(client);
      this.#made.add(client.id, connecting);
      this.#bindHere(connecting, client);
      connectPatiently(connecting, addressFor(listener, client.family));
      this.#made.add(server.id, accepted(listener));
    } finally {
      closeSync(listener);
    }
  }

  /** Listening, bound, or fresh. */
  open(socket: InternetSocket): void {
    const fd = this.#opened(socket);
    this.#made.add(socket.id, fd);
    if (socket.local === undefined) return;
    explain(socket, () => bindPatiently(fd, bytesOf(socket.local), true));
    if (socket.backlog !== undefined) explain(socket, () => listenOn(fd, socket.backlog ?? 0));
  }

  /** Connected, and not accepted yet. */
  wait(socket: InternetSocket): void {
    const fd = this.#opened(socket);
    this.#made.add(socket.id, fd);
    this.#bindHere(fd, socket);
    connectPatiently(fd, addressFor(this.#made.of(socket.waitsAt ?? -1), socket.family, bytesOf(socket.remote)));
  }

  #opened(socket: InternetSocket): Fd {
    const fd = openSocket(socket.family, SOCK_STREAM, IPPROTO_TCP);
    this.#made.prepare(fd, socket);
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    return fd;
  }

  /** Both ends are on this machine; an address that it has no longer (the job has moved) is replaced by its own. */
  #bindHere(fd: Fd, socket: InternetSocket): void {
    const address = bytesOf(socket.local);
    const port = address.readUInt16BE(2);
    const listens = this.#sockets.some(({ backlog, local }) => backlog !== undefined && portOf(local) === port);
    try {
      bindPatiently(fd, address, listens);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (error.errnoName === "EADDRNOTAVAIL") {
        explain(socket, () => bindPatiently(fd, loopback(socket.family, port), listens));
        this.#made.warn(`A TCP connection inside the job goes over the loopback address: this machine does not have its address`);
      } else if (error.errnoName === "EADDRINUSE" && !listens) {
        const anyPort = Buffer.from(address);
        anyPort.writeUInt16BE(0, 2);
        explain(socket, () => bindSocket(fd, anyPort));
        this.#made.warn(`A TCP connection inside the job has another port than ${port}, which is taken`);
      } else throw explained(socket, error);
    }
  }

  #connectLost(socket: InternetSocket): readonly [Fd, Fd] {
    const listener = openSocket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    try {
      bindSocket(listener, loopback(AF_INET, 0));
      listenOn(listener, 1);
      const own = this.#opened(socket);
      // For whoever asks: the port it had. Where that can't be had any port will do, for nothing comes through it any more.
      if (socket.local !== undefined) tryBind(own, bytesOf(socket.local));
      try {
        connectSocket(own, addressFor(listener, socket.family));
      } catch {
        closeSync(own);
        const unbound = this.#opened(socket);
        trySetOption(unbound, IPPROTO_IPV6, 26, 0);
        connectSocket(unbound, addressFor(listener, socket.family));
        return [unbound, accepted(listener)];
      }
      return [own, accepted(listener)];
    } finally {
      closeSync(listener);
    }
  }
}

/** `isKnown`: others know the port, so that it is worth to wait for. */
function bindPatiently(fd: Fd, address: Buffer, isKnown: boolean): void {
  for (let attempt = 1; ; attempt += 1) {
    try {
      bindSocket(fd, address);
      return;
    } catch (error) {
      const isTaken = error instanceof SyscallError && error.errnoName === "EADDRINUSE";
      if (!isTaken || !isKnown || attempt === BIND_ATTEMPTS || !isOnlyEnded(address.readUInt16BE(2))) throw error;
      pauseMicroseconds(BIND_MICROSECONDS);
    }
  }
}

function tryBind(fd: Fd, address: Buffer): void {
  try {
    bindSocket(fd, address);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
  }
}

function accepted(listener: Fd): Fd {
  for (let poll = 0; poll < ACCEPT_POLLS; poll += 1) {
    const fd = acceptFrom(listener);
    if (fd !== null) return fd;
    pauseMicroseconds(ACCEPT_MICROSECONDS);
  }
  throw new CairnError("io", "Cannot restart: a TCP connection over this machine's own address does not come about", {
    hint: "See whether a firewall stands between the machine and itself",
  });
}

function connectPatiently(fd: Fd, address: Buffer): void {
  for (let attempt = 1; ; attempt += 1) {
    try {
      connectSocket(fd, address);
      return;
    } catch (error) {
      if (!(error instanceof SyscallError) || error.errnoName !== "EADDRNOTAVAIL" || attempt === CONNECT_ATTEMPTS) throw error;
      pauseMicroseconds(ATTEMPT_MICROSECONDS);
    }
  }
}

/** The address of a listener, as a socket of `family` has to write it; a listener on all addresses is reached at `wanted`, or by loopback. */
function addressFor(listener: Fd, family: number, wanted?: Buffer): Buffer {
  if (wanted !== undefined && wanted.length > 0) return wanted;
  const address = localAddress(listener);
  const domain = address.readUInt16LE(0);
  if (domain === family) return address;
  const port = address.readUInt16BE(2);
  if (domain === AF_INET) {
    const mapped = loopback(AF_INET6, port);
    mapped.fill(0, 8, 24);
    mapped.writeUInt16BE(0xffff, 18);
    mapped.set(address.subarray(4, 8), 20);
    return mapped;
  }
  const plain = loopback(AF_INET, port);
  plain.set(address.subarray(20, 24), 4);
  return plain;
}

/** struct sockaddr_in: family, port (big-endian), address. struct sockaddr_in6: family, port, flow label, address at 8, scope. */
function loopback(family: number, port: number): Buffer {
  const address = Buffer.alloc(family === AF_INET ? 16 : 28);
  address.writeUInt16LE(family, 0);
  address.writeUInt16BE(port, 2);
  if (family === AF_INET) address.writeUInt32BE(0x7f000001, 4);
  else address.writeUInt8(1, 23);
  return address;
}

function portOf(base64: string | undefined): number {
  return base64 === undefined ? 0 : bytesOf(base64).readUInt16BE(2);
}

function explain(socket: InternetSocket, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw explained(socket, error);
  }
}

function explained(socket: InternetSocket, error: unknown): unknown {
  if (!(error instanceof SyscallError)) return error;
  const kind = socket.protocol === IPPROTO_TCP ? "TCP" : "UDP";
  const port = portOf(socket.local);
  if (error.errnoName === "EADDRINUSE") {
    return new CairnError("conflict", `Cannot restart: ${kind} port ${port}, which the job had, is taken by another program`, {
      data: { port },
      hint: `End that program (ss -anp "sport = ${port}" shows which it is), then try again`,
      cause: error,
    });
  }
  if (error.errnoName === "EADDRNOTAVAIL") {
    return new CairnError("changed", `Cannot restart: the job has a ${kind} socket at an address that this machine does not have`, {
      data: { port },
      hint: "Restart on the machine, or in the network namespace, that has the address",
      cause: error,
    });
  }
  return new CairnError(error.code, `Cannot restart: cannot make the job's ${kind} socket at port ${port} again: ${error.errnoName}`, {
    data: { port },
    cause: error,
  });
}

function openDatagram(socket: InternetSocket, made: MadeSockets): Fd {
  const fd = openSocket(socket.family, SOCK_DGRAM, IPPROTO_UDP);
  made.prepare(fd, socket);
  if (socket.local !== undefined) explain(socket, () => bindSocket(fd, bytesOf(socket.local)));
  for (const [group, index] of socket.memberships ?? []) {
    const joined = join(fd, bytesOf(group), index);
    if (joined < 0) made.warn(`A UDP socket of the job could not join its multicast group again on interface ${index}`);
  }
  return fd;
}

function join(fd: Fd, group: Buffer, index: number): number {
  const request = Buffer.alloc(group.length === 4 ? 12 : 20);
  request.set(group, 0);
  // struct ip_mreqn: group, address of the interface, its index. struct ipv6_mreq: group, index.
  request.writeInt32LE(index, group.length === 4 ? 8 : 16);
  return trySetOption(
    fd,
    group.length === 4 ? IPPROTO_IP : IPPROTO_IPV6,
    group.length === 4 ? IP_ADD_MEMBERSHIP : IPV6_ADD_MEMBERSHIP,
    request,
  );
}

/** Datagrams are sent again by whoever had sent them, if that is in the job; a stranger's can't be, and UDP promises nobody that they arrive. */
function fillDatagrams(socket: InternetSocket, all: readonly InternetSocket[], made: MadeSockets): void {
  if (socket.local === undefined) return;
  const to = reachable(bytesOf(socket.local), socket.family);
  let lost = 0;
  for (const { content, from } of socket.unread) {
    const sender = all.find((one) => from !== undefined && isFrom(one, bytesOf(from)));
    const address = sender === undefined ? to : addressForFamily(to, sender.family);
    if (sender === undefined || trySend(made.of(sender.id), bytesOf(content), { to: address }) < 0) lost += 1;
  }
  if (lost > 0)
    made.warn(`${lost} UDP datagrams that waited at port ${portOf(socket.local)} came from outside the job and are not there any more`);
}

function isFrom(sender: InternetSocket, from: Buffer): boolean {
  if (sender.local === undefined || portOf(sender.local) !== from.readUInt16BE(2)) return false;
  const own = addressBytes(bytesOf(sender.local));
  return own.every((byte) => byte === 0) || own.equals(addressBytes(from));
}

/** The IPv4 address, also of a mapped one, or the IPv6 address. */
function addressBytes(address: Buffer): Buffer {
  if (address.readUInt16LE(0) === AF_INET) return address.subarray(4, 8);
  const bytes = address.subarray(8, 24);
  return bytes.readUInt32BE(8) === 0xffff && bytes.subarray(0, 8).every((byte) => byte === 0) ? bytes.subarray(12) : bytes;
}

function reachable(local: Buffer, family: number): Buffer {
  return addressBytes(local).every((byte) => byte === 0) ? loopback(family, local.readUInt16BE(2)) : local;
}

function addressForFamily(address: Buffer, family: number): Buffer {
  const domain = address.readUInt16LE(0);
  if (domain === family) return address;
  const port = address.readUInt16BE(2);
  const bytes = addressBytes(address);
  if (family === AF_INET) {
    const plain = loopback(AF_INET, port);
    if (bytes.length === 4) plain.set(bytes, 4);
    return plain;
  }
  const mapped = loopback(AF_INET6, port);
  mapped.fill(0, 8, 24);
  mapped.writeUInt16BE(0xffff, 18);
  mapped.set(bytes, 20);
  return mapped;
}

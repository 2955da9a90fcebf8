/** socket(7): the calls that Node has no function for, on descriptors of ours and on duplicates of the job's. */
import { SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { systemCall } from "./syscall-ffi.ts";

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;

export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_TYPE = 3;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_ACCEPTCONN = 30;
export const SO_PROTOCOL = 38;
export const SO_DOMAIN = 39;
export const SO_PEEK_OFF = 42;

export const SHUT_RD = 0;
export const SHUT_WR = 1;
export const SHUT_RDWR = 2;

const MSG_PEEK = 2;
const MSG_DONTWAIT = 0x40;
const MSG_TRUNC = 0x20;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SCM_RIGHTS = 1;
/** struct sockaddr_storage. */
const ADDRESS_BYTES = 128;
const CONTROL_BYTES = 8192;
const OPTION_BYTES = 256;
const EAGAIN = 11;
const EINPROGRESS = 115;
const ENOTCONN = 107;

function check(call: string, result: number, args?: string): number {
  if (result < 0) throw new SyscallError(call, -result, errnoName(-result), args === undefined ? {} : { arguments: args });
  return result;
}

/** A buffer whose address the kernel can be given: see addressOf. */
function kernelBuffer(bytes: Uint8Array): Buffer {
  const buffer = Buffer.alloc(Math.max(64, bytes.length));
  buffer.set(bytes);
  return buffer;
}

/** Never blocks, close-on-exec. Throws a SyscallError. */
export function openSocket(domain: number, type: number, protocol: number): Fd {
  return check("socket", systemCall(SYSCALLS.socket, domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol), `${domain}, ${type}`) as Fd;
}

export function openSocketPair(domain: number, type: number): readonly [Fd, Fd] {
  const pair = Buffer.alloc(64);
  check("socketpair", systemCall(SYSCALLS.socketpair, domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, addressOf(pair)));
  return [pair.readInt32LE(0) as Fd, pair.readInt32LE(4) as Fd];
}

/** `address` is a struct sockaddr of exactly its length. */
export function bindSocket(fd: Fd, address: Uint8Array): void {
  check("bind", systemCall(SYSCALLS.bind, fd, addressOf(kernelBuffer(address)), address.length));
}

/** A connection that is under way counts as made. */
export function connectSocket(fd: Fd, address: Uint8Array): void {
  const result = systemCall(SYSCALLS.connect, fd, addressOf(kernelBuffer(address)), address.length);
  if (result !== -EINPROGRESS) check("connect", result);
}

export function listenOn(fd: Fd, backlog: number): void {
  check("listen", systemCall(SYSCALLS.listen, fd, backlog));
}

/** Null when no connection waits. */
export function acceptFrom(fd: Fd): Fd | null {
  const result = systemCall(SYSCALLS.accept4, fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return result === -EAGAIN ? null : (check("accept4", result) as Fd);
}

export function shutDown(fd: Fd, how: number): void {
  const result = systemCall(SYSCALLS.shutdown, fd, how);
  if (result !== -ENOTCONN) check("shutdown", result);
}

/** The struct sockaddr to which it is bound; of an unbound Unix socket, two bytes. */
export function localAddress(fd: Fd): Buffer {
  return addressFrom("getsockname", SYSCALLS.getsockname, fd) ?? Buffer.alloc(0);
}

/** Null when it is not connected. */
export function remoteAddress(fd: Fd): Buffer | null {
  return addressFrom("getpeername", SYSCALLS.getpeername, fd);
}

function addressFrom(call: string, number: number, fd: Fd): Buffer | null {
  const name = Buffer.alloc(ADDRESS_BYTES);
  const length = kernelBuffer(Buffer.alloc(4));
  length.writeUInt32LE(ADDRESS_BYTES, 0);
  const result = systemCall(number, fd, addressOf(name), addressOf(length));
  if (result === -ENOTCONN) return null;
  check(call, result);
  return name.subarray(0, Math.min(ADDRESS_BYTES, length.readUInt32LE(0)));
}

/** The value as the kernel gives it; null where there is no such option for this socket. `start` is for options that are asked with a question. */
export function socketOption(fd: Fd, level: number, name: number, start?: Uint8Array): Buffer | null {
  const value = Buffer.alloc(OPTION_BYTES);
  if (start !== undefined) value.set(start);
  const length = Buffer.alloc(64);
  length.writeUInt32LE(start?.length ?? OPTION_BYTES, 0);
  const result = systemCall(SYSCALLS.getsockopt, fd, level, name, addressOf(value), addressOf(length));
  return result < 0 ? null : value.subarray(0, Math.min(OPTION_BYTES, length.readUInt32LE(0)));
}

export function numberOption(fd: Fd, level: number, name: number): number | null {
  const value = socketOption(fd, level, name);
  if (value === null || value.length === 0) return null;
  return value.length >= 4 ? value.readInt32LE(0) : value.readUInt8(0);
}

/** 0, or a negated errno. */
export function trySetOption(fd: Fd, level: number, name: number, value: Uint8Array | number): number {
  const bytes = typeof value === "number" ? Buffer.alloc(4) : value;
  if (typeof value === "number") (bytes as Buffer).writeInt32LE(value, 0);
  return systemCall(SYSCALLS.setsockopt, fd, level, name, addressOf(kernelBuffer(bytes)), bytes.length);
}

export function setOption(fd: Fd, level: number, name: number, value: Uint8Array | number): void {
  check("setsockopt", trySetOption(fd, level, name, value), `${level}, ${name}`);
}

/** struct msghdr and what it points at: the address, one run of bytes, control messages. */
class Message {
  readonly header = Buffer.alloc(64);
  readonly #parts: Buffer[] = [];

  constructor(to: Uint8Array | null, bytes: Uint8Array, control: Uint8Array | null) {
    const vector = this.#keep(Buffer.alloc(64));
    const held = this.#keep(bytes.length >= 64 ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) : kernelBuffer(bytes));
    vector.writeBigUInt64LE(addressOf(held), 0);
    vector.writeBigUInt64LE(BigInt(bytes.length), 8);
    this.header.writeBigUInt64LE(addressOf(vector), 16);
    this.header.writeBigUInt64LE(1n, 24);
    if (to !== null) {
      this.header.writeBigUInt64LE(addressOf(this.#keep(kernelBuffer(to))), 0);
      this.header.writeUInt32LE(to.length, 8);
    }
    if (control !== null) {
      this.header.writeBigUInt64LE(addressOf(this.#keep(kernelBuffer(control))), 32);
      this.header.writeBigUInt64LE(BigInt(control.length), 40);
    }
  }

  #keep(part: Buffer): Buffer {
    this.#parts.push(part);
    return part;
  }

  /** The address, the bytes, the control messages, as the kernel has filled them in. */
  part(index: 0 | 1 | 2): Buffer {
    // In the order of the constructor: vector, bytes, address, control.
    return this.#parts[[2, 1, 3][index] as number] ?? Buffer.alloc(0);
  }
}

/** Sends what fits; the bytes sent, or a negated errno. `rights` are descriptors that go with it. */
export function trySend(fd: Fd, bytes: Uint8Array, options: { readonly to?: Uint8Array; readonly rights?: readonly Fd[] } = {}): number {
  const rights = options.rights ?? [];
  const message = new Message(options.to ?? null, bytes, rights.length > 0 ? controlOf(rights) : null);
  return systemCall(SYSCALLS.sendmsg, fd, addressOf(message.header), MSG_DONTWAIT | MSG_NOSIGNAL);
}

function controlOf(rights: readonly Fd[]): Buffer {
  // struct cmsghdr: length (u64), level, type (s32), then the descriptors.
  const control = Buffer.alloc(16 + 8 * Math.ceil((4 * rights.length) / 8));
  control.writeBigUInt64LE(BigInt(16 + 4 * rights.length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  rights.forEach((fd, index) => control.writeInt32LE(fd, 16 + 4 * index));
  return control;
}

export interface Peeked {
  readonly bytes: Buffer;
  /** Descriptors of ours, on what was sent along. */
  readonly rights: readonly Fd[];
  /** The sender's address; empty when it has none. */
  readonly from: Buffer;
  /** The message is longer than `mostBytes`. */
  readonly truncated: boolean;
}

const ENOENT = 2;
const MOST_TRIES = 3;

/** Looks at the next unread message, or the next bytes of a stream, without taking them out; null when there is nothing. */
export function peekMessage(fd: Fd, mostBytes: number): Peeked | null {
  return receive(fd, mostBytes, MSG_PEEK);
}

/** Takes the next message; null when there is none. */
export function receiveNow(fd: Fd, mostBytes: number): Peeked | null {
  return receive(fd, mostBytes, 0);
}

function receive(fd: Fd, mostBytes: number, flags: number): Peeked | null {
  const message = new Message(Buffer.alloc(ADDRESS_BYTES), Buffer.alloc(Math.max(64, mostBytes)), Buffer.alloc(CONTROL_BYTES));
  const once = (): number => systemCall(SYSCALLS.recvmsg, fd, addressOf(message.header), flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  let result = once();
  // The errno is asked for by a second call into C, before which Node may have made calls of its own: this one recvmsg never gives.
  for (let tries = 0; result === -ENOENT && tries < MOST_TRIES; tries += 1) result = once();
  if (result === -EAGAIN || result === -ENOTCONN) return null;
  check("recvmsg", result);
  const { header } = message;
  return {
    bytes: message.part(1).subarray(0, result),
    rights: rightsIn(message.part(2).subarray(0, Number(header.readBigUInt64LE(40)))),
    from: message.part(0).subarray(0, header.readUInt32LE(8)),
    truncated: (header.readInt32LE(48) & MSG_TRUNC) !== 0,
  };
}

const PROT_NONE = 0;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const EFAULT = 14;
const PAGE_BYTES = 4096;

/**
 * How many of the next `lengthBytes` of a stream lie before the piece that ends them. The kernel copies piece by piece, as they were
 * sent, and goes back by the one that does not fit where it is to go: the last byte has no place in memory.
 */
export function bytesBeforeLastPiece(fd: Fd, lengthBytes: number): number {
  const room = PAGE_BYTES * Math.ceil(lengthBytes / PAGE_BYTES);
  const start = check("mmap", systemCall(SYSCALLS.mmap, 0, room + PAGE_BYTES, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0));
  try {
    check("mprotect", systemCall(SYSCALLS.mprotect, start + room, PAGE_BYTES, PROT_NONE));
    const vector = Buffer.alloc(64);
    vector.writeBigUInt64LE(BigInt(start + room - (lengthBytes - 1)), 0);
    vector.writeBigUInt64LE(BigInt(lengthBytes), 8);
    const header = Buffer.alloc(64);
    header.writeBigUInt64LE(addressOf(vector), 16);
    header.writeBigUInt64LE(1n, 24);
    const result = systemCall(SYSCALLS.recvmsg, fd, addressOf(header), MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    return result === -EFAULT ? 0 : check("recvmsg", result);
  } finally {
    systemCall(SYSCALLS.munmap, start, room + PAGE_BYTES);
  }
}

function rightsIn(control: Buffer): Fd[] {
  const rights: Fd[] = [];
  for (let at = 0; at + 16 <= control.length;) {
    const length = Number(control.readBigUInt64LE(at));
    if (length < 16) break;
    if (control.readInt32LE(at + 8) === SOL_SOCKET && control.readInt32LE(at + 12) === SCM_RIGHTS) {
      for (let fd = at + 16; fd + 4 <= at + length; fd += 4) rights.push(control.readInt32LE(fd) as Fd);
    }
    at += 8 * Math.ceil(length / 8);
  }
  return rights;
}

const DOMAINS: Readonly<Record<number, string>> = {
  1: "Unix",
  2: "IPv4",
  10: "IPv6",
  16: "netlink",
  17: "packet",
  31: "Bluetooth",
  38: "crypto (AF_ALG)",
  40: "vsock",
  44: "XDP",
};
const TYPES: Readonly<Record<number, string>> = { 1: "stream", 2: "datagram", 3: "raw", 5: "seqpacket" };
const PROTOCOLS: Readonly<Record<number, string>> = {
  1: "ICMP",
  6: "TCP",
  17: "UDP",
  58: "ICMPv6",
  132: "SCTP",
  136: "UDP-Lite",
  262: "MPTCP",
};

/** In words: `a listening TCP socket (IPv4)`, `a Unix stream socket`, `a netlink socket`. */
export function describeSocket(fd: Fd): string {
  const domain = numberOption(fd, SOL_SOCKET, SO_DOMAIN) ?? -1;
  const type = numberOption(fd, SOL_SOCKET, SO_TYPE) ?? -1;
  const family = DOMAINS[domain] ?? `family ${domain}`;
  const listening = numberOption(fd, SOL_SOCKET, SO_ACCEPTCONN) === 1 ? "listening " : "";
  if (domain === AF_INET || domain === AF_INET6) {
    const protocol = PROTOCOLS[numberOption(fd, SOL_SOCKET, SO_PROTOCOL) ?? -1] ?? "Internet";
    return `a ${type === 3 ? "raw " : listening}${protocol} socket (${family})`;
  }
  if (domain === AF_UNIX) return `a ${listening}${family} ${TYPES[type] ?? ""} socket`;
  return `a ${family} socket`;
}

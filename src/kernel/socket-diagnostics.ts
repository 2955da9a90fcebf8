/**
 * What the kernel tells of all sockets of a network namespace: sock_diag(7), over a netlink socket. No privilege is needed.
 *
 *     request    struct nlmsghdr (16 bytes), then unix_diag_req (24) or inet_diag_req_v2 (56)
 *     answer     messages of nlmsghdr, then unix_diag_msg (16) or inet_diag_msg (72), then attributes:
 *                length (u16), type (u16), bytes, filled up to a multiple of 4
 */
import { closeSync } from "node:fs";
import { SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, IPPROTO_TCP, IPPROTO_UDP } from "./sockets.ts";
import { systemCall } from "./syscall-ffi.ts";

const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const HEADER_BYTES = 16;
const RECEIVE_BYTES = 256 * 1024;

const UDIAG_SHOW = 0x1 | 0x2 | 0x4 | 0x8 | 0x10; // name, file, peer, waiting connections, queue lengths
const UNIX_DIAG_VFS = 1;
const UNIX_DIAG_PEER = 2;
const UNIX_DIAG_ICONS = 3;
const UNIX_DIAG_RQLEN = 4;
const UNIX_DIAG_SHUTDOWN = 6;
const INET_DIAG_SHUTDOWN = 8;

export interface UnixSocketFacts {
  readonly inode: number;
  readonly type: number;
  readonly isListening: boolean;
  /** The file to which it is bound; null when it is not bound to one. */
  readonly file: { readonly inode: number; readonly major: number; readonly minor: number } | null;
  readonly peerInode: number | null;
  /** Of a listening socket: the clients that wait to be accepted, in order. */
  readonly waitingInodes: readonly number[];
  /** Of a listening socket: connections that wait; otherwise bytes. */
  readonly received: number;
  /** Of a listening socket: its backlog. */
  readonly sent: number;
  /** 1: shut down for reading, 2: for writing. */
  readonly shutdown: number;
}

export interface InternetSocketFacts {
  /** 0 for one that waits to be accepted, or that nobody has open any more. */
  readonly inode: number;
  readonly family: number;
  readonly protocol: number;
  readonly state: number;
  readonly localPort: number;
  readonly remotePort: number;
  /** 4 or 16 bytes. */
  readonly localAddress: Buffer;
  readonly remoteAddress: Buffer;
  readonly received: number;
  readonly sent: number;
  readonly shutdown: number;
  /** The kernel's own number for it. */
  readonly cookie: Buffer;
  readonly interfaceIndex: number;
}

/** By inode. Throws a SyscallError where the kernel was built without it. */
export function listUnixSockets(): Map<number, UnixSocketFacts> {
  const request = Buffer.alloc(24);
  request.writeUInt8(AF_UNIX, 0);
  request.writeUInt32LE(0xffff_ffff, 4);
  request.writeUInt32LE(UDIAG_SHOW, 12);
  request.writeUInt32LE(0xffff_ffff, 16);
  request.writeUInt32LE(0xffff_ffff, 20);
  const sockets = new Map<number, UnixSocketFacts>();
  for (const answer of dump(request)) {
    const facts = unixFacts(answer);
    sockets.set(facts.inode, facts);
  }
  return sockets;
}

function unixFacts(answer: Buffer): UnixSocketFacts {
  const attributes = attributesOf(answer, 16);
  const file = attributes.get(UNIX_DIAG_VFS);
  const lengths = attributes.get(UNIX_DIAG_RQLEN);
  const waiting = attributes.get(UNIX_DIAG_ICONS) ?? Buffer.alloc(0);
  // The device as the kernel has it inside: 12 bits of major number, 20 of minor.
  const device = file?.readUInt32LE(4) ?? 0;
  return {
    inode: answer.readUInt32LE(4),
    type: answer.readUInt8(1),
    isListening: answer.readUInt8(2) === TCP_LISTEN,
    file: file === undefined ? null : { inode: file.readUInt32LE(0), major: device >>> 20, minor: device & 0xfffff },
    peerInode: attributes.get(UNIX_DIAG_PEER)?.readUInt32LE(0) ?? null,
    waitingInodes: Array.from({ length: waiting.length >> 2 }, (_, index) => waiting.readUInt32LE(4 * index)),
    received: lengths?.readUInt32LE(0) ?? 0,
    sent: lengths?.readUInt32LE(4) ?? 0,
    shutdown: attributes.get(UNIX_DIAG_SHUTDOWN)?.readUInt8(0) ?? 0,
  };
}

/** include/net/tcp_states.h; UDP sockets are TCP_ESTABLISHED when connected, else TCP_CLOSE. */
export const TCP_ESTABLISHED = 1;
export const TCP_SYN_SENT = 2;
export const TCP_FIN_WAIT1 = 4;
export const TCP_FIN_WAIT2 = 5;
export const TCP_TIME_WAIT = 6;
export const TCP_CLOSE = 7;
export const TCP_CLOSE_WAIT = 8;
export const TCP_LAST_ACK = 9;
export const TCP_LISTEN = 10;
export const TCP_CLOSING = 11;

/** TCP and UDP sockets of IPv4 and IPv6, also what is left of closed connections (TIME_WAIT). */
export function listInternetSockets(): InternetSocketFacts[] {
  const sockets: InternetSocketFacts[] = [];
  for (const protocol of [IPPROTO_TCP, IPPROTO_UDP]) {
    for (const family of [AF_INET, AF_INET6]) {
      const request = Buffer.alloc(56);
      request.writeUInt8(family, 0);
      request.writeUInt8(protocol, 1);
      request.writeUInt32LE(0xffff_ffff, 4);
      for (const answer of dump(request)) sockets.push(internetFacts(answer, protocol));
    }
  }
  return sockets;
}

/** Makes the kernel forget a connection; whether it did. Needs CAP_NET_ADMIN, and a kernel with CONFIG_INET_DIAG_DESTROY. */
export function destroySocket(socket: InternetSocketFacts): boolean {
  const request = Buffer.alloc(56);
  request.writeUInt8(socket.family, 0);
  request.writeUInt8(socket.protocol, 1);
  request.writeUInt32LE(0xffff_ffff, 4);
  request.writeUInt16BE(socket.localPort, 8);
  request.writeUInt16BE(socket.remotePort, 10);
  request.set(socket.localAddress, 12);
  request.set(socket.remoteAddress, 28);
  request.writeUInt32LE(socket.interfaceIndex, 44);
  request.set(socket.cookie, 48);
  try {
    ask(request, SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK);
    return true;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return false;
  }
}

function internetFacts(answer: Buffer, protocol: number): InternetSocketFacts {
  const family = answer.readUInt8(0);
  const bytes = family === AF_INET ? 4 : 16;
  return {
    family,
    protocol,
    state: answer.readUInt8(1),
    localPort: answer.readUInt16BE(4),
    remotePort: answer.readUInt16BE(6),
    localAddress: Buffer.from(answer.subarray(8, 8 + bytes)),
    remoteAddress: Buffer.from(answer.subarray(24, 24 + bytes)),
    received: answer.readUInt32LE(56),
    sent: answer.readUInt32LE(60),
    inode: answer.readUInt32LE(68),
    interfaceIndex: answer.readUInt32LE(40),
    cookie: Buffer.from(answer.subarray(44, 52)),
    shutdown: attributesOf(answer, 72).get(INET_DIAG_SHUTDOWN)?.readUInt8(0) ?? 0,
  };
}

function attributesOf(answer: Buffer, start: number): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (let at = start; at + 4 <= answer.length;) {
    const length = answer.readUInt16LE(at);
    if (length < 4 || at + length > answer.length) break;
    attributes.set(answer.readUInt16LE(at + 2), answer.subarray(at + 4, at + length));
    at += 4 * Math.ceil(length / 4);
  }
  return attributes;
}

function dump(request: Buffer): Buffer[] {
  return ask(request, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP);
}

/** The answers to one request, without their headers. */
function ask(request: Buffer, type: number, flags: number): Buffer[] {
  const fd = check("socket", systemCall(SYSCALLS.socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)) as Fd;
  try {
    const message = Buffer.alloc(HEADER_BYTES + request.length + 64);
    message.writeUInt32LE(HEADER_BYTES + request.length, 0);
    message.writeUInt16LE(type, 4);
    message.writeUInt16LE(flags, 6);
    message.set(request, HEADER_BYTES);
    check("sendto", systemCall(SYSCALLS.sendto, fd, addressOf(message), HEADER_BYTES + request.length, 0));
    const answers: Buffer[] = [];
    for (;;) {
      const received = Buffer.alloc(RECEIVE_BYTES);
      const length = check("recvfrom", systemCall(SYSCALLS.recvfrom, fd, addressOf(received), RECEIVE_BYTES, 0));
      if (!takeAnswers(received.subarray(0, length), answers)) return answers;
    }
  } finally {
    closeSync(fd);
  }
}

/** Whether more is to come. */
function takeAnswers(received: Buffer, answers: Buffer[]): boolean {
  for (let at = 0; at + HEADER_BYTES <= received.length;) {
    const length = received.readUInt32LE(at);
    const type = received.readUInt16LE(at + 4);
    if (type === NLMSG_DONE || length < HEADER_BYTES) return false;
    if (type === NLMSG_ERROR) {
      const errno = -received.readInt32LE(at + HEADER_BYTES);
      if (errno === 0) return false;
      throw new SyscallError("sock_diag", errno, errnoName(errno));
    }
    answers.push(received.subarray(at + HEADER_BYTES, at + length));
    at += 4 * Math.ceil(length / 4);
  }
  return received.length > 0;
}

function check(call: string, result: number): number {
  if (result < 0) throw new SyscallError(call, -result, errnoName(-result));
  return result;
}

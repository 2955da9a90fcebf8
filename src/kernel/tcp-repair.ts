/**
 * TCP_REPAIR: the state of a connection, looked at and set from outside. Needs CAP_NET_ADMIN. A socket in this mode still answers its
 * peer; closed in it, it goes without a word.
 *
 * Entering and leaving the mode changes one thing besides: SO_REUSEADDR, which is the caller's to set back.
 */
import type { Fd } from "../base/ids.ts";
import { SyscallError } from "../base/errors.ts";
import { FIONREAD } from "./abi/constants.ts";
import { tryIoctlBuffer } from "./descriptors.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { IPPROTO_TCP, SOL_SOCKET, setOption, socketOption, trySetOption } from "./sockets.ts";

export const TCP_REPAIR = 19;
export const TCP_REPAIR_QUEUE = 20;
export const TCP_RECEIVE_QUEUE = 1;
export const TCP_SEND_QUEUE = 2;
export const TCP_NO_QUEUE = 0;
export const REPAIR_ON = 1;
/** Sends a window probe, which the peer answers. */
export const REPAIR_OFF = 0;
/** Without a window probe: nothing is sent on account of a look. */
export const REPAIR_OFF_QUIETLY = -1;
const TCP_MAXSEG = 2;
const TCP_INFO = 11;
const TCP_QUEUE_SEQ = 21;
const TCP_REPAIR_OPTIONS = 22;
export const TCP_USER_TIMEOUT = 18;
const TCP_TIMESTAMP = 24;
const TCP_REPAIR_WINDOW = 29;
const TCP_ULP = 31;
export const SO_ATTACH_FILTER = 26;
export const SO_DETACH_FILTER = 27;
const SIOCOUTQ = 0x5411;
const SIOCOUTQNSD = 0x894b;

/** struct tcp_repair_window: snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup. */
const REPAIR_WINDOW_BYTES = 20;
/** Bits of tcpi_options. */
export const HAS_TIMESTAMPS = 1;
const HAS_SELECTIVE_ACKNOWLEDGEMENTS = 2;
const HAS_WINDOW_SCALE = 4;
/** Kinds of TCP options, as struct tcp_repair_opt has them. */
const OPTION_MSS = 2;
const OPTION_WINDOW = 3;
const OPTION_SACK_PERMITTED = 4;
const OPTION_TIMESTAMP = 8;

/** What both sides agreed upon when they connected. */
export interface AgreedOptions {
  readonly mss: number;
  /** Bits of tcpi_options. */
  readonly options: number;
  readonly sendScale: number;
  readonly receiveScale: number;
}

export interface TcpInfo {
  readonly state: number;
  readonly options: number;
  readonly sendScale: number;
  readonly receiveScale: number;
}

/** Null where this kernel does not tell. */
export function tcpInfo(fd: Fd): TcpInfo | null {
  const info = socketOption(fd, IPPROTO_TCP, TCP_INFO);
  if (info === null || info.length < 8) return null;
  const scales = info.readUInt8(6);
  return { state: info.readUInt8(0), options: info.readUInt8(5), sendScale: scales & 15, receiveScale: scales >> 4 };
}

/** 0, or a negated errno: -EPERM where this user may not. */
export function tryEnterRepair(fd: Fd): number {
  return trySetOption(fd, IPPROTO_TCP, TCP_REPAIR, REPAIR_ON);
}

export function leaveRepair(fd: Fd, how: typeof REPAIR_OFF | typeof REPAIR_OFF_QUIETLY): void {
  trySetOption(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_NO_QUEUE);
  setOption(fd, IPPROTO_TCP, TCP_REPAIR, how);
}

/** What the following calls are about. Precondition: repair, as for all below. */
export function selectQueue(fd: Fd, queue: typeof TCP_NO_QUEUE | typeof TCP_RECEIVE_QUEUE | typeof TCP_SEND_QUEUE): void {
  setOption(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);
}

/** The number behind the last byte of the selected queue. The end of a stream counts as a byte once it is queued or received. */
export function queueEnd(fd: Fd): number {
  return required(fd, TCP_QUEUE_SEQ).readUInt32LE(0);
}

/** Before the socket is connected: the number of the first byte of the selected queue. */
export function setQueueStart(fd: Fd, sequence: number): void {
  setOption(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, word(sequence));
}

export function repairWindow(fd: Fd): Buffer {
  return Buffer.from(required(fd, TCP_REPAIR_WINDOW, Buffer.alloc(REPAIR_WINDOW_BYTES)));
}

export function setRepairWindow(fd: Fd, window: Uint8Array): void {
  setOption(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, window);
}

export function timestampNow(fd: Fd): number {
  return required(fd, TCP_TIMESTAMP).readUInt32LE(0);
}

export function setTimestamp(fd: Fd, timestamp: number): void {
  setOption(fd, IPPROTO_TCP, TCP_TIMESTAMP, word(timestamp));
}

/** In repair the kernel tells what was agreed upon, not what fits the path. */
export function agreedOptions(fd: Fd, { options, sendScale, receiveScale }: TcpInfo): AgreedOptions {
  return { mss: required(fd, TCP_MAXSEG).readUInt32LE(0), options, sendScale, receiveScale };
}

/** Precondition: connected, and nothing sent yet. */
export function setAgreedOptions(fd: Fd, agreed: AgreedOptions): void {
  const pairs: (readonly [number, number])[] = [[OPTION_MSS, agreed.mss]];
  if ((agreed.options & HAS_WINDOW_SCALE) !== 0) pairs.push([OPTION_WINDOW, agreed.sendScale | (agreed.receiveScale << 16)]);
  if ((agreed.options & HAS_SELECTIVE_ACKNOWLEDGEMENTS) !== 0) pairs.push([OPTION_SACK_PERMITTED, 0]);
  if ((agreed.options & HAS_TIMESTAMPS) !== 0) pairs.push([OPTION_TIMESTAMP, 0]);
  const records = Buffer.alloc(8 * pairs.length);
  pairs.forEach(([kind, value], index) => {
    records.writeUInt32LE(kind, 8 * index);
    records.writeUInt32LE(value, 8 * index + 4);
  });
  setOption(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, records);
}

/** Bytes that can be read. */
export function readableBytes(fd: Fd): number {
  return counted(fd, FIONREAD);
}

/** What was written and is not acknowledged; the end of the stream counts as a byte. */
export function unacknowledgedBytes(fd: Fd): number {
  return counted(fd, SIOCOUTQ);
}

/** What of that was not sent at all. */
export function unsentBytes(fd: Fd): number {
  return counted(fd, SIOCOUTQNSD);
}

/** Whether something else than the kernel's own TCP lies in between: TLS in the kernel (kTLS), for example. */
export function hasUpperLayer(fd: Fd): boolean {
  return (socketOption(fd, IPPROTO_TCP, TCP_ULP)?.length ?? 0) > 0;
}

function counted(fd: Fd, request: number): number {
  const count = Buffer.alloc(64);
  return tryIoctlBuffer(fd, request, count) < 0 ? 0 : count.readInt32LE(0);
}

/** `start` is for what is asked with its exact length. */
function required(fd: Fd, name: number, start?: Uint8Array): Buffer {
  const value = socketOption(fd, IPPROTO_TCP, name, start);
  if (value === null) throw new SyscallError("getsockopt", EPERM, errnoName(EPERM), { arguments: `TCP option ${name}` });
  return value;
}

const EPERM = 1;

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0, 0);
  return bytes;
}

/** A classic BPF program: struct sock_filter of code (u16), jumps if true and false (u8 each), operand (u32). */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, operand: number];

const LOAD_BYTE = 0x30;
const LOAD_LENGTH = 0x80;
const AND = 0x54;
const SHIFT_RIGHT = 0x74;
const TO_INDEX = 0x07;
const SUBTRACT_INDEX = 0x1c;
const JUMP_IF_EQUAL = 0x15;
const JUMP_IF_ANY = 0x45;
const RETURN = 0x06;
const DATA_OFFSET_AT = 12;
const FLAGS_AT = 13;
const FIN = 1;
const ALL = 0xffff_ffff;

/** A socket's filter of TCP begins at the TCP header. What it drops the kernel neither takes nor answers. */
const EVERYTHING: readonly Instruction[] = [[RETURN, 0, 0, 0]];

/**
 * Drops what carries bytes, or the end of the stream: what was received stays what it is. Pure acknowledgements pass, the peer's keep-alive probes
 * among them, so that a peer that only waits goes on waiting.
 */
const CONTENT: readonly Instruction[] = [
  [LOAD_BYTE, 0, 0, FLAGS_AT],
  [JUMP_IF_ANY, 7, 0, FIN],
  [LOAD_BYTE, 0, 0, DATA_OFFSET_AT],
  [AND, 0, 0, 0xf0],
  [SHIFT_RIGHT, 0, 0, 2],
  [TO_INDEX, 0, 0, 0],
  [LOAD_LENGTH, 0, 0, 0],
  [SUBTRACT_INDEX, 0, 0, 0],
  [JUMP_IF_EQUAL, 1, 0, 0],
  [RETURN, 0, 0, 0],
  [RETURN, 0, 0, ALL],
];

export function dropEverything(fd: Fd): void {
  attachFilter(fd, EVERYTHING);
}

export function dropContent(fd: Fd): void {
  attachFilter(fd, CONTENT);
}

function attachFilter(fd: Fd, instructions: readonly Instruction[]): void {
  const program = Buffer.alloc(Math.max(64, 8 * instructions.length));
  instructions.forEach(([code, ifTrue, ifFalse, operand], index) => {
    program.writeUInt16LE(code, 8 * index);
    program.writeUInt8(ifTrue, 8 * index + 2);
    program.writeUInt8(ifFalse, 8 * index + 3);
    program.writeUInt32LE(operand, 8 * index + 4);
  });
  // struct sock_fprog: the count (u16), padding, a pointer.
  const record = Buffer.alloc(16);
  record.writeUInt16LE(instructions.length, 0);
  record.writeBigUInt64LE(addressOf(program), 8);
  setOption(fd, SOL_SOCKET, SO_ATTACH_FILTER, record);
  // Held until here: the kernel has copied it by now.
  void program.length;
}

/** 0, or a negated errno where there is none. */
export function dropNothing(fd: Fd): number {
  return trySetOption(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
}

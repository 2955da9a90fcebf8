/** POSIX message queues, mq_overview(7). The kernel's names have no slash. */
import { readSync } from "node:fs";
import { SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { O_CLOEXEC } from "./abi/constants.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { systemCall } from "./syscall-ffi.ts";

const EAGAIN = 11;
/** struct mq_attr: flags, largest number of messages, largest message, messages there (long each), four reserved. */
const ATTRIBUTES_BYTES = 64;

export interface QueueAttributes {
  readonly maxMessages: number;
  readonly messageBytes: number;
  readonly messages: number;
}

export interface QueueMessage {
  readonly priority: number;
  readonly content: Buffer;
}

function check(call: string, result: number, args?: string): number {
  if (result < 0) throw new SyscallError(call, -result, errnoName(-result), args === undefined ? {} : { arguments: args });
  return result;
}

function cString(name: Uint8Array): Buffer {
  const text = Buffer.alloc(Math.max(64, name.length + 1));
  text.set(name);
  return text;
}

/** mq_open(2), close-on-exec. Throws a SyscallError. */
export function openQueue(name: Uint8Array, flags: number): Fd {
  const fd = systemCall(SYSCALLS.mq_open, addressOf(cString(name)), flags | O_CLOEXEC, 0, 0);
  return check("mq_open", fd, Buffer.from(name).toString()) as Fd;
}

/** Makes a queue: `flags` with O_CREAT. Throws a SyscallError. */
export function makeQueue(name: Uint8Array, flags: number, mode: number, attributes: Omit<QueueAttributes, "messages">): Fd {
  const record = Buffer.alloc(ATTRIBUTES_BYTES);
  record.writeBigInt64LE(BigInt(attributes.maxMessages), 8);
  record.writeBigInt64LE(BigInt(attributes.messageBytes), 16);
  const fd = systemCall(SYSCALLS.mq_open, addressOf(cString(name)), flags | O_CLOEXEC, mode, addressOf(record));
  return check("mq_open", fd, Buffer.from(name).toString()) as Fd;
}

export function removeQueue(name: Uint8Array): void {
  check("mq_unlink", systemCall(SYSCALLS.mq_unlink, addressOf(cString(name))), Buffer.from(name).toString());
}

export function queueAttributes(fd: Fd): QueueAttributes {
  const record = Buffer.alloc(ATTRIBUTES_BYTES);
  check("mq_getattr", systemCall(SYSCALLS.mq_getsetattr, fd, 0, addressOf(record)));
  return {
    maxMessages: Number(record.readBigInt64LE(8)),
    messageBytes: Number(record.readBigInt64LE(16)),
    messages: Number(record.readBigInt64LE(24)),
  };
}

/** The process that mq_notify(3) registered, as far as our pid namespace shows it; 0 for none. */
export function notifiedBy(fd: Fd): number {
  const text = Buffer.alloc(256);
  const length = readSync(fd, text, 0, text.length, 0);
  return Number(/NOTIFY_PID:(\d+)/.exec(text.toString("latin1", 0, length))?.[1] ?? 0);
}

/** Takes every message out. Precondition: the description does not block. */
export function takeMessages(fd: Fd): QueueMessage[] {
  const { messageBytes } = queueAttributes(fd);
  const buffer = Buffer.alloc(Math.max(64, messageBytes));
  const priority = Buffer.alloc(64);
  const taken: QueueMessage[] = [];
  for (;;) {
    const length = systemCall(SYSCALLS.mq_timedreceive, fd, addressOf(buffer), messageBytes, addressOf(priority), 0);
    if (length === -EAGAIN) return taken;
    check("mq_timedreceive", length);
    taken.push({ priority: priority.readUInt32LE(0), content: Buffer.from(buffer.subarray(0, length)) });
  }
}

/** Precondition: the description does not block. Throws a SyscallError (EAGAIN) when the queue is full. */
export function putMessages(fd: Fd, messages: readonly QueueMessage[]): void {
  for (const { priority, content } of messages) {
    const bytes = Buffer.alloc(Math.max(64, content.length));
    bytes.set(content);
    check("mq_timedsend", systemCall(SYSCALLS.mq_timedsend, fd, addressOf(bytes), content.length, priority, 0));
  }
}

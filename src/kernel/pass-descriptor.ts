/** Handing descriptors to another process through a Unix socket: SCM_RIGHTS of unix(7). */
import { SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { systemCall } from "./syscall-ffi.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MESSAGE_BYTES = 56;
const CONTROL_HEAD_BYTES = 16;
/** A control message with one descriptor, padded. */
export const CONTROL_BYTES = 24;

function check(call: string, result: number): number {
  if (result < 0) throw new SyscallError(call, -result, errnoName(-result));
  return result;
}

/** Two ends of a socket that keeps messages apart. */
export function socketPair(): { readonly near: Fd; readonly far: Fd } {
  const pair = Buffer.alloc(64);
  check("socketpair", systemCall(SYSCALLS.socketpair, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, addressOf(pair)));
  return { near: pair.readInt32LE(0) as Fd, far: pair.readInt32LE(4) as Fd };
}

/**
 * struct msghdr with one byte of data at `data` and a control message at `control`, which are addresses of whoever makes the call:
 * name, namelen, iov, iovlen, control, controllen, flags. `vector` is the address of the struct iovec.
 */
export function messageHeader(vector: bigint, control: bigint): Buffer {
  const header = Buffer.alloc(MESSAGE_BYTES);
  header.writeBigUInt64LE(vector, 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(control, 32);
  header.writeBigUInt64LE(BigInt(CONTROL_BYTES), 40);
  return header;
}

/** struct iovec of one byte. */
export function oneByteVector(data: bigint): Buffer {
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(data, 0);
  vector.writeBigUInt64LE(1n, 8);
  return vector;
}

/** The descriptor in a control message that came; null when there is none. */
export function descriptorIn(control: Buffer): number | null {
  const isOne = Number(control.readBigUInt64LE(0)) === CONTROL_HEAD_BYTES + 4;
  return isOne && control.readInt32LE(12) === SCM_RIGHTS ? control.readInt32LE(CONTROL_HEAD_BYTES) : null;
}

export function sendDescriptor(socket: Fd, fd: Fd): void {
  const data = Buffer.alloc(64);
  const control = Buffer.alloc(64);
  control.writeBigUInt64LE(BigInt(CONTROL_HEAD_BYTES + 4), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  control.writeInt32LE(fd, CONTROL_HEAD_BYTES);
  const vector = Buffer.concat([oneByteVector(addressOf(data)), Buffer.alloc(48)]);
  const header = messageHeader(addressOf(vector), addressOf(control));
  check("sendmsg", systemCall(SYSCALLS.sendmsg, socket, addressOf(header), 0));
}

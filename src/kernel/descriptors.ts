/** Descriptors of other processes, and calls on descriptors that Node has no function for. */
import { closeSync } from "node:fs";
import { SyscallError } from "../base/errors.ts";
import type { Fd, Pid } from "../base/ids.ts";
import { PIDFD_THREAD } from "./abi/constants.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { systemCall } from "./syscall-ffi.ts";
import type { Argument } from "./syscall-ffi.ts";

function check(call: string, result: number, details: { pid?: Pid; arguments?: string } = {}): number {
  if (result < 0) throw new SyscallError(call, -result, errnoName(-result), details);
  return result;
}

/** A descriptor of ours, closed when the scope ends. */
export class OwnedFd implements Disposable {
  readonly fd: Fd;
  constructor(fd: number) {
    this.fd = fd as Fd;
  }
  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/** pidfd_open(2), of a process, or since Linux 6.9 of a thread that is not its first. Throws a SyscallError (ESRCH when it is gone). */
export function openProcess(pid: Pid): OwnedFd {
  const ofProcess = systemCall(SYSCALLS.pidfd_open, pid, 0);
  const ofThread = ofProcess < 0 ? systemCall(SYSCALLS.pidfd_open, pid, PIDFD_THREAD) : ofProcess;
  return new OwnedFd(check("pidfd_open", ofThread < 0 ? ofProcess : ofThread, { pid }));
}

/** A duplicate of another process's descriptor, sharing its open file description: pidfd_getfd(2), close-on-exec. */
export function duplicateFrom(pidfd: OwnedFd, pid: Pid, fd: number): OwnedFd {
  return new OwnedFd(check("pidfd_getfd", systemCall(SYSCALLS.pidfd_getfd, pidfd.fd, fd, 0), { pid, arguments: `descriptor ${fd}` }));
}

export function control(fd: Fd, command: number, argument: Argument = 0): number {
  return check("fcntl", systemCall(SYSCALLS.fcntl, fd, command, argument), { arguments: `${command}` });
}

export function tryControl(fd: Fd, command: number, argument: Argument = 0): number {
  return systemCall(SYSCALLS.fcntl, fd, command, argument);
}

/** ioctl(2) with a buffer that the kernel reads or fills. */
export function ioctlBuffer(fd: Fd, request: number, buffer: Buffer): number {
  return check("ioctl", systemCall(SYSCALLS.ioctl, fd, request, addressOf(buffer)), { arguments: `0x${request.toString(16)}` });
}

export function tryIoctlBuffer(fd: Fd, request: number, buffer: Buffer): number {
  return systemCall(SYSCALLS.ioctl, fd, request, addressOf(buffer));
}

export const SEEK_SET = 0;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

/** lseek(2); a negated errno where it fails (ENXIO: no data behind). */
export function trySeek(fd: Fd, offsetBytes: Argument, whence: number): number {
  return systemCall(SYSCALLS.lseek, fd, offsetBytes, whence);
}

const pollRecord = Buffer.alloc(64);
export const POLLIN = 1;
export const POLLERR = 8;
export const POLLHUP = 16;

/** The events that are on a descriptor now. */
export function pollNow(fd: Fd, events: number): number {
  pollRecord.writeInt32LE(fd, 0);
  pollRecord.writeInt16LE(events, 4);
  pollRecord.writeInt16LE(0, 6);
  check("poll", systemCall(SYSCALLS.poll, addressOf(pollRecord), 1, 0));
  return pollRecord.readInt16LE(6);
}

const SPLICE_F_NONBLOCK = 2;

/** Copies up to `lengthBytes` from one pipe to another without taking them out: tee(2). 0 when the pipe is empty. */
export function teePipe(from: Fd, to: Fd, lengthBytes: number): number {
  const result = systemCall(SYSCALLS.tee, from, to, lengthBytes, SPLICE_F_NONBLOCK);
  return result === -11 ? 0 : check("tee", result);
}

/** Moves bytes from one pipe to another, buffers and all: splice(2). */
export function movePipe(from: Fd, to: Fd, lengthBytes: number): void {
  for (let moved = 0; moved < lengthBytes;) moved += check("splice", systemCall(SYSCALLS.splice, from, 0, to, 0, lengthBytes - moved, 0));
}

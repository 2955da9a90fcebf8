/** kcmp(2): whether two processes share a kernel object, and an order over objects for sorting. */
import type { Pid } from "../base/ids.ts";
import { SyscallError } from "../base/errors.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { systemCall } from "./syscall-ffi.ts";

const KINDS = { file: 0, memory: 1, descriptors: 2, fileSystem: 3, signalHandlers: 4, io: 5, semaphores: 6 } as const;

/**
 * 0 when equal; otherwise the sign orders the two (and any third) for as long as none of the objects is freed.
 * `a` and `b` are descriptors for kind `file` and unused else. Throws a SyscallError (ESRCH, EBADF, EPERM).
 */
export function compareKernelObjects(kind: keyof typeof KINDS, first: Pid, second: Pid, a = 0, b = 0): -1 | 0 | 1 {
  const result = systemCall(SYSCALLS.kcmp, first, second, KINDS[kind], a, b);
  if (result < 0) throw new SyscallError("kcmp", -result, errnoName(-result), { pid: first, arguments: `${kind}, ${second}` });
  // 3 means "not equal, no order": the kernel gives it only for kinds without one.
  return result === 0 ? 0 : result === 1 ? -1 : 1;
}

const EPOLL_TARGET = 7;

/**
 * Whether `fd` of process `first` is what an epoll instance of process `second` watches under number `targetFd`; `nth` counts
 * watches under the same number. False also where the kernel can't tell.
 */
export function isEpollTarget(first: Pid, fd: number, second: Pid, epollFd: number, targetFd: number, nth: number): boolean {
  const slot = Buffer.alloc(64);
  slot.writeUInt32LE(epollFd, 0);
  slot.writeUInt32LE(targetFd, 4);
  slot.writeUInt32LE(nth, 8);
  return systemCall(SYSCALLS.kcmp, first, second, EPOLL_TARGET, fd, addressOf(slot)) === 0;
}

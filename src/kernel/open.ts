/** open(2) and its kin with exactly the flags wanted, and calls that make descriptors Node has no function for. */
import { SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { AT_FDCWD, O_CLOEXEC, O_NOCTTY } from "./abi/constants.ts";
import { O_NOFOLLOW } from "./abi/x86-64/constants.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { systemCall } from "./syscall-ffi.ts";

function check(call: string, result: number, args?: string): Fd {
  if (result < 0) throw new SyscallError(call, -result, errnoName(-result), args === undefined ? {} : { arguments: args });
  return result as Fd;
}

function cString(bytes: Uint8Array): Buffer {
  const text = Buffer.alloc(Math.max(64, bytes.length + 1));
  text.set(bytes);
  return text;
}

/** Always close-on-exec, never the controlling terminal. Throws a SyscallError. */
export function openFile(path: Uint8Array, flags: number, mode = 0): Fd {
  const text = cString(path);
  return check(
    "open",
    systemCall(SYSCALLS.openat, AT_FDCWD, addressOf(text), flags | O_CLOEXEC | O_NOCTTY, mode),
    Buffer.from(path).toString(),
  );
}

/** A new open file description of what `fd` is open on. The way there is a link, which O_NOFOLLOW would not let pass. */
export function reopen(fd: Fd, flags: number): Fd {
  return openFile(Buffer.from(`/proc/self/fd/${fd}`), flags & ~O_NOFOLLOW);
}

export function makeEventfd(flags: number): Fd {
  return check("eventfd2", systemCall(SYSCALLS.eventfd2, 0, flags));
}

export function makeEpoll(): Fd {
  return check("epoll_create1", systemCall(SYSCALLS.epoll_create1, O_CLOEXEC));
}

export function makeSignalfd(mask: bigint, flags: number): Fd {
  const set = Buffer.alloc(64);
  set.writeBigUInt64LE(mask, 0);
  return check("signalfd4", systemCall(SYSCALLS.signalfd4, -1, addressOf(set), 8, flags));
}

export function makeTimerfd(clock: number, flags: number): Fd {
  return check("timerfd_create", systemCall(SYSCALLS.timerfd_create, clock, flags));
}

export function makeMemfd(name: Uint8Array, flags: number): Fd {
  const text = cString(name);
  return check("memfd_create", systemCall(SYSCALLS.memfd_create, addressOf(text), flags));
}

export function duplicate(fd: Fd): Fd {
  const F_DUPFD_CLOEXEC = 1030;
  return check("fcntl(F_DUPFD_CLOEXEC)", systemCall(SYSCALLS.fcntl, fd, F_DUPFD_CLOEXEC, 3));
}

/** mkfifo(3). */
export function makeFifo(path: Uint8Array, mode: number): void {
  const S_IFIFO = 0o010000;
  check("mknod", systemCall(SYSCALLS.mknodat, AT_FDCWD, addressOf(cString(path)), S_IFIFO | mode, 0), Buffer.from(path).toString());
}

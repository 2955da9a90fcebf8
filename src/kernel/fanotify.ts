/** fanotify(7): groups and their marks. */
import { SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { AT_FDCWD, FD_CLOEXEC, F_SETFD } from "./abi/constants.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { control } from "./descriptors.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { systemCall } from "./syscall-ffi.ts";

export const FAN_NONBLOCK = 2;
/** FAN_CLASS_CONTENT and FAN_CLASS_PRE_CONTENT: whoever accesses a marked file waits for the group's answer. */
export const FAN_CLASSES_THAT_DECIDE = 0xc;

export const FAN_MARK_ADD = 1;
export const FAN_MARK_DONT_FOLLOW = 4;
export const FAN_MARK_MOUNT = 0x10;
export const FAN_MARK_IGNORED_MASK = 0x20;
export const FAN_MARK_IGNORED_SURV_MODIFY = 0x40;
export const FAN_MARK_FILESYSTEM = 0x100;
export const FAN_MARK_EVICTABLE = 0x200;
export const FAN_MARK_IGNORE = 0x400;

/** Close-on-exec, but not by its own flag, which the group would show for ever. */
export function makeFanotify(flags: number, eventFlags: number): Fd {
  const result = systemCall(SYSCALLS.fanotify_init, flags, eventFlags);
  if (result < 0) throw new SyscallError("fanotify_init", -result, errnoName(-result));
  control(result as Fd, F_SETFD, FD_CLOEXEC);
  return result as Fd;
}

/** 0, or a negated errno. */
export function tryAddMark(fd: Fd, flags: number, mask: number, path: Uint8Array): number {
  const text = Buffer.alloc(Math.max(64, path.length + 1));
  text.set(path);
  return systemCall(SYSCALLS.fanotify_mark, fd, FAN_MARK_ADD | flags, mask, AT_FDCWD, addressOf(text));
}

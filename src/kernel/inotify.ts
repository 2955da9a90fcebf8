/** inotify(7): instances, watches, and how much waits to be read. */
import { readSync } from "node:fs";
import { SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { FIONREAD, O_CLOEXEC } from "./abi/constants.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { tryIoctlBuffer } from "./descriptors.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { systemCall } from "./syscall-ffi.ts";

export const IN_ALL_EVENTS = 0xfff;
export const IN_DELETE_SELF = 0x400;
export const IN_ATTRIB = 4;
export const IN_Q_OVERFLOW = 0x4000;
export const IN_IGNORED = 0x8000;
export const IN_DONT_FOLLOW = 0x02000000;
export const IN_EXCL_UNLINK = 0x04000000;
export const IN_ONESHOT = 0x80000000;

/** struct inotify_event without the name: wd, mask, cookie, len. */
const EVENT_BYTES = 16;

export interface InotifyEvent {
  readonly watch: number;
  readonly mask: number;
}

export function makeInotify(flags: number): Fd {
  const result = systemCall(SYSCALLS.inotify_init1, flags | O_CLOEXEC);
  if (result < 0) throw new SyscallError("inotify_init1", -result, errnoName(-result));
  return result as Fd;
}

/** The watch's number, or a negated errno. */
export function tryAddWatch(fd: Fd, path: Uint8Array, mask: number): number {
  const text = Buffer.alloc(Math.max(64, path.length + 1));
  text.set(path);
  return systemCall(SYSCALLS.inotify_add_watch, fd, addressOf(text), mask);
}

export function removeWatch(fd: Fd, watch: number): void {
  systemCall(SYSCALLS.inotify_rm_watch, fd, watch);
}

/** Bytes of events that wait to be read. */
export function unreadBytes(fd: Fd): number {
  const count = Buffer.alloc(64);
  return tryIoctlBuffer(fd, FIONREAD, count) < 0 ? 0 : count.readInt32LE(0);
}

/** Takes whole events out, up to `lengthBytes`, which has to have room for the first. */
export function readEvents(fd: Fd, lengthBytes: number): { readonly events: readonly InotifyEvent[]; readonly lengthBytes: number } {
  const buffer = Buffer.alloc(lengthBytes);
  const got = readSync(fd, buffer);
  const events: InotifyEvent[] = [];
  for (let at = 0; at + EVENT_BYTES <= got; at += EVENT_BYTES + buffer.readUInt32LE(at + 12)) {
    events.push({ watch: buffer.readInt32LE(at), mask: buffer.readUInt32LE(at + 4) });
  }
  return { events, lengthBytes: got };
}

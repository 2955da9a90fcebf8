/**
 * What each open file description is open on, as the image says it. The same code refuses what can't be carried
 * over, before the job is disturbed (with `inspectDescription`) and again when it is frozen.
 */
import { lstatSync, statSync, statfsSync } from "node:fs";
import type { BigIntStats } from "node:fs";
import { CairnError } from "../base/errors.ts";
import { nameToBuffer, nameToText } from "../base/names.ts";
import { toWord } from "../base/words.ts";
import type { Name, OpenFile } from "../image/mod.ts";
import { POLLERR, POLLHUP, POLLIN, duplicateFrom, openProcess, pollNow, tryControl } from "../kernel/descriptors.ts";
import { addressOf } from "../kernel/memory-ffi.ts";
import { decodeDevice } from "../kernel/procfs/mod.ts";
import { refuseBreakingLease } from "./description-locks.ts";
import type { Description, DescriptorReference } from "./descriptors.ts";
import { O_CLOEXEC } from "./descriptors.ts";
import { findOtherName } from "./other-name.ts";
import { identityOf } from "./process.ts";
import { inspectRing } from "./rings.ts";
import { inspectFanotify } from "./fanotify.ts";
import { inspectQueue, queueName } from "./message-queues.ts";
import { inspectSocket } from "./socket-context.ts";

/** linux/magic.h: a message queue looks like a file. */
const MQUEUE_MAGIC = 0x19800202;
/** Its files can't be written to, only mapped. */
const HUGETLBFS_MAGIC = 0x958458f6;
const O_ACCMODE = 3;
const O_PATH = 0o10000000;
const O_APPEND = 0o2000;
const S_IFMT = 0o170000n;
const S_IFIFO = 0o010000n;
const S_IFCHR = 0o020000n;
const S_IFDIR = 0o040000n;
const S_IFREG = 0o100000n;
const F_GETSIG = 11;
const F_GETOWN_EX = 16;
const EFD_SEMAPHORE_UNKNOWN = false;

const MEMORY_DEVICES = 1;
/** null, zero, full, random, urandom: minors of major 1. */
const HARMLESS_MEMORY_DEVICES = new Set([3, 5, 7, 8, 9]);
const TTY_AUXILIARY = 5;
const VIRTUAL_CONSOLE = 4;
const PTY_SLAVE_FIRST = 136;
const PTY_SLAVE_LAST = 143;
const PTY_MASTER_MINOR = 2;

/** Files of /proc and /sys are made by reading them: nothing to compare, nothing to rewind. */
const KERNEL_FILES = /^\/sys\//;
/** What /proc shows of a process is there once the process is: its directories, too, are opened by the job itself at the restart. */
const PROC = /^\/proc(\/|$)/;
const OF_PROCESS = /^\/proc\/(?<pid>\d+)(\/task\/(?<tid>\d+))?/;

/** What is known of a description before its contents are looked at. */
export type Inspected =
  | { readonly what: "pipe"; readonly key: string; readonly name: Name | null; readonly reads: boolean; readonly writes: boolean }
  | { readonly what: "regular"; readonly name: Name; readonly deleted: boolean; readonly mode: number; readonly path: string }
  | {
      readonly what: "memfd";
      readonly key: string;
      readonly name: Name;
      readonly path: string;
      readonly sizeBytes: number;
      readonly mode: number;
    }
  | { readonly what: "pty-master"; readonly index: number }
  | { readonly what: "pty-slave"; readonly index: number; readonly name: Name }
  | { readonly what: "terminal"; readonly name: Name }
  | { readonly what: "socket"; readonly inode: bigint }
  | { readonly what: "io-uring" }
  | { readonly what: "pidfd" }
  | { readonly what: "inotify" }
  | { readonly what: "fanotify" }
  | { readonly what: "message-queue"; readonly key: string; readonly name: Name; readonly removed: boolean }
  | { readonly what: "plain"; readonly file: OpenFile };

function refuse(reference: DescriptorReference, what: string, hint?: string): CairnError {
  const { pid, fd } = reference;
  return new CairnError("unsupported", `Cannot save process ${pid}: descriptor ${fd} is ${what}`, {
    data: { pid, fd, kind: what },
    hint: hint ?? "Not carried over yet; close it, or checkpoint when it is closed. The job was not changed",
  });
}

/** The standard stream that stands for a description which leads out of the tree. */
export function streamOf(description: Description): 0 | 1 | 2 {
  for (const stream of [2, 1, 0] as const) {
    if (description.references.some(({ fd }) => fd === stream) && !description.references.some(({ fd }) => fd < stream)) return stream;
  }
  const access = description.references[0].info.flags & O_ACCMODE;
  return access === 0 ? 0 : 1;
}

/** Sorts a description by what it is open on. Throws a CairnError (`unsupported`) for what can't be carried over. */
export function inspectDescription(description: Description): Inspected {
  const reference = description.references[0];
  const { pid, fd, target, info } = reference;
  const common = { id: description.id, flags: info.flags & ~O_CLOEXEC };
  const path = `/proc/${pid}/fd/${fd}`;
  switch (target.kind) {
    case "socket":
      inspectSocket(reference);
      return { what: "socket", inode: target.inode };
    case "pipe": {
      const access = info.flags & O_ACCMODE;
      return { what: "pipe", key: `pipe ${target.inode}`, name: null, reads: access !== 1, writes: access !== 0 };
    }
    case "memfd": {
      if (statfsSync(path).type === HUGETLBFS_MAGIC)
        throw refuse(reference, `${nameToText(target.name)}, a memfd of huge pages (MFD_HUGETLB)`);
      const stat = statSync(path, { bigint: true });
      return {
        what: "memfd",
        key: `${decodeText(stat.dev)}:${stat.ino}`,
        name: target.name,
        path,
        sizeBytes: Number(stat.size),
        mode: Number(stat.mode & 0o7777n),
      };
    }
    case "namespace":
      throw refuse(reference, `a ${target.type} namespace`);
    case "unknown":
      throw refuse(reference, `open on ${nameToText(target.text)}`);
    case "anonymous":
      if (target.anonymous === "io_uring") {
        inspectRing(reference);
        return { what: "io-uring" };
      }
      if (target.anonymous === "inotify") return { what: "inotify" };
      if (target.anonymous === "fanotify" && info.fanotify !== null) {
        inspectFanotify(reference);
        return { what: "fanotify" };
      }
      if (target.anonymous === "pidfd" && info.pidfd !== null) return { what: "pidfd" };
      return { what: "plain", file: anonymousFile(reference, target.anonymous, common) };
    case "path":
      return inspectPath(reference, target.name, target.deleted, path, common);
  }
}

export function decodeText(device: bigint): string {
  const { major, minor } = decodeDevice(Number(device));
  return `${major}:${minor}`;
}

interface Common {
  readonly id: number;
  readonly flags: number;
}

function anonymousFile(reference: DescriptorReference, kind: string, common: Common): OpenFile {
  const { info } = reference;
  if (kind === "eventfd" && info.eventfd !== null) {
    return { kind: "eventfd", ...common, count: info.eventfd.count.toString(), semaphore: info.eventfd.semaphore ?? EFD_SEMAPHORE_UNKNOWN };
  }
  if (kind === "eventpoll") return { kind: "epoll", ...common, targets: [] };
  if (kind === "signalfd" && info.signalfdMask !== null) return { kind: "signalfd", ...common, mask: toWord(info.signalfdMask) };
  if (kind === "timerfd" && info.timerfd !== null) {
    const { clock, ticks, settimeFlags, valueNs, intervalNs } = info.timerfd;
    return {
      kind: "timerfd",
      ...common,
      clock,
      ticks: ticks.toString(),
      settimeFlags,
      valueNs: valueNs.toString(),
      intervalNs: intervalNs.toString(),
    };
  }
  throw refuse(reference, anonymousText(kind));
}

function anonymousText(kind: string): string {
  const known: Record<string, string> = {
    userfaultfd: "a userfaultfd",
    perf_event: "a performance counter (perf_event)",
  };
  return known[kind] ?? `a kernel object of kind "${kind}"`;
}

function inspectPath(reference: DescriptorReference, name: Name, deleted: boolean, path: string, common: Common): Inspected {
  const { info } = reference;
  const positionBytes = Number(info.pos);
  if (OF_PROCESS.test(nameToText(name)) && (deleted || hasEnded(reference, name, path))) throw refuseEnded(reference, nameToText(name));
  const stat = statSync(path, { bigint: true });
  if (PROC.test(nameToText(name))) return { what: "plain", file: { kind: "proc", ...common, name, positionBytes } };
  if ((info.flags & O_PATH) !== 0) {
    if (deleted) throw refuse(reference, `an O_PATH descriptor of ${nameToText(name)}, which was removed`);
    return { what: "plain", file: { kind: "path", ...common, name } };
  }
  switch (stat.mode & S_IFMT) {
    case S_IFREG:
      if (statfsSync(path).type === MQUEUE_MAGIC) {
        inspectQueue(reference);
        return { what: "message-queue", key: `${stat.dev}:${stat.ino}`, name: queueName(name), removed: deleted };
      }
      refuseByFileSystem(reference, statfsSync(path).type, nameToText(name));
      if (KERNEL_FILES.test(nameToText(name))) return { what: "plain", file: { kind: "proc", ...common, name, positionBytes } };
      refuseBreakingLease(reference, name);
      return { what: "regular", ...presentName(reference, name, deleted, stat), mode: Number(stat.mode & 0o7777n), path };
    case S_IFDIR:
      if (deleted) throw refuse(reference, `the directory ${nameToText(name)}, which was removed`);
      return { what: "plain", file: { kind: "directory", ...common, name, position: info.pos.toString() } };
    case S_IFIFO: {
      const access = info.flags & O_ACCMODE;
      // A FIFO that was removed is a pipe.
      return { what: "pipe", key: `fifo ${stat.dev}:${stat.ino}`, name: deleted ? null : name, reads: access !== 1, writes: access !== 0 };
    }
    case S_IFCHR:
      return inspectDevice(reference, name, Number(stat.rdev), common);
    default:
      throw refuse(reference, `the block device ${nameToText(name)}`);
  }
}

function refuseByFileSystem(reference: DescriptorReference, type: number, name: string): void {
  if (type === HUGETLBFS_MAGIC) throw refuse(reference, `${name}, a file of huge pages (hugetlbfs)`);
}

/** A file that was removed under one name may have another, under which it is open as well as under the first. */
function presentName(reference: DescriptorReference, name: Name, deleted: boolean, stat: BigIntStats): { name: Name; deleted: boolean } {
  if (!deleted || stat.nlink === 0n) return { name, deleted };
  const other = findOtherName(reference.pid, name, { ...decodeDevice(Number(stat.dev)), inode: stat.ino });
  if (other !== null) return { name: other, deleted: false };
  if (!isWritable(reference.info.flags)) return { name, deleted }; // What it has at the checkpoint is what it will read.
  throw refuse(
    reference,
    `${nameToText(name)}, a file that has lost this name and has another, which is not known`,
    "Restarted, it would write to a file of its own. Keep its other name in the same directory or the current one, or close it. The job was not changed",
  );
}

/** What /proc has under that name now is not what is open. */
function hasEnded({ pid }: DescriptorReference, name: Name, path: string): boolean {
  try {
    const opened = statSync(path, { bigint: true });
    const named = lstatSync(Buffer.concat([Buffer.from(`/proc/${pid}/root`), nameToBuffer(name)]), { bigint: true });
    return opened.ino !== named.ino || opened.dev !== named.dev;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ESRCH";
  }
}

function refuseEnded(reference: DescriptorReference, name: string): CairnError {
  const { pid, tid } = OF_PROCESS.exec(name)?.groups ?? {};
  const whose = tid === undefined || tid === pid ? `process ${pid}` : `thread ${tid} of process ${pid}`;
  return refuse(
    reference,
    `${name}, of ${whose}, which has ended`,
    "It cannot be opened again; close it, or checkpoint when it is closed. The job was not changed",
  );
}

function inspectDevice(reference: DescriptorReference, name: Name, device: number, common: Common): Inspected {
  const { major, minor } = decodeDevice(device);
  if (major === MEMORY_DEVICES && HARMLESS_MEMORY_DEVICES.has(minor)) {
    return { what: "plain", file: { kind: "device", ...common, name, major, minor } };
  }
  if (major === TTY_AUXILIARY && minor === PTY_MASTER_MINOR) return { what: "pty-master", index: reference.info.ttyIndex ?? 0 };
  if (major >= PTY_SLAVE_FIRST && major <= PTY_SLAVE_LAST) {
    return { what: "pty-slave", index: (major - PTY_SLAVE_FIRST) * 256 + minor, name };
  }
  if (major === VIRTUAL_CONSOLE || major === TTY_AUXILIARY) return { what: "terminal", name };
  throw refuse(
    reference,
    `the device ${nameToText(name)} (${major}:${minor})`,
    "A device's state can't be saved; close it before the checkpoint. The job was not changed",
  );
}

/** Whether anybody still holds the other end of a pipe of which the tree has only one. */
export function leadsOutside(reference: DescriptorReference, reads: boolean): boolean {
  using process = openProcess(reference.pid);
  using own = duplicateFrom(process, reference.pid, reference.fd);
  const events = pollNow(own.fd, POLLIN);
  return reads ? (events & POLLHUP) === 0 : (events & POLLERR) === 0;
}

/** F_SETOWN and F_SETSIG of a description, where it has an owner. */
export function ownerOf(reference: DescriptorReference): { type: number; pid: number; signal: number } | null {
  if ((reference.info.flags & O_PATH) !== 0) return null;
  using process = openProcess(reference.pid);
  using own = duplicateFrom(process, reference.pid, reference.fd);
  const record = Buffer.alloc(64);
  if (tryControl(own.fd, F_GETOWN_EX, addressOf(record)) < 0) return null;
  const signal = tryControl(own.fd, F_GETSIG);
  const owner = { type: record.readInt32LE(0), pid: record.readInt32LE(4), signal: Math.max(0, signal) };
  return owner.pid === 0 && owner.signal === 0 ? null : owner;
}

/** A file that more than one truncation would be needed to take back: opened for reading and writing, not only at its end. */
export function needsContent(flags: number): boolean {
  return (flags & O_ACCMODE) === 2 && (flags & O_APPEND) === 0;
}

export function isWritable(flags: number): boolean {
  return (flags & O_ACCMODE) !== 0;
}

export function regularFile(description: Description, found: Extract<Inspected, { what: "regular" }>): Extract<OpenFile, { kind: "file" }> {
  const { info } = description.references[0];
  return {
    kind: "file",
    id: description.id,
    flags: info.flags & ~O_CLOEXEC,
    name: found.name,
    deleted: found.deleted,
    positionBytes: Number(info.pos),
    identity: identityOf(found.path),
    mode: found.mode,
  };
}

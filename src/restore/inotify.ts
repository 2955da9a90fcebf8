/**
 * Watches of inotify instances, added when all that a restart does to files is done, so that none sees it.
 *
 * The kernel numbers watches upwards and gives no number twice, so numbers between are used up by watches on a file of our own,
 * made and removed. It has no way to put an event into an instance either. Where events were lost, its queue is let overflow
 * by events on files of our own, and all but the last event is read: IN_Q_OVERFLOW, by which programs know that they have to look.
 */
import { closeSync, fchmodSync, lstatSync, readFileSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { nameToBuffer, nameToText } from "../base/names.ts";
import type { OpenFile } from "../image/mod.ts";
import { MFD_CLOEXEC } from "../kernel/abi/constants.ts";
import { errnoName } from "../kernel/errno.ts";
import {
  IN_ALL_EVENTS,
  IN_ATTRIB,
  IN_DONT_FOLLOW,
  IN_EXCL_UNLINK,
  IN_IGNORED,
  IN_ONESHOT,
  readEvents,
  removeWatch,
  tryAddWatch,
  unreadBytes,
} from "../kernel/inotify.ts";
import { makeMemfd } from "../kernel/open.ts";

type InotifyFile = Extract<OpenFile, { kind: "inotify" }>;

const SETTABLE = (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT) >>> 0;
/** An event without a name, as all events on our own files are. */
const OWN_EVENT_BYTES = 16;
/** Numbers that are used up between two readings of the events that it makes: less than any queue holds. */
const BATCH = 4096;
const READ_BYTES = 65536;
/** A queue that is longer is not filled. */
const LONGEST_QUEUE = 1 << 18;

/** Throws a CairnError (`changed`) for a watched file that is missing. */
export function requireWatched(file: InotifyFile): void {
  for (const { name } of file.watches) {
    if (lstatSync(nameToBuffer(name), { throwIfNoEntry: false }) !== undefined) continue;
    throw new CairnError("changed", `Cannot restart: ${nameToText(name)}, which the job watches, is missing`, {
      data: { path: nameToText(name) },
      hint: "Put it back where it was, then try again",
    });
  }
}

/** Precondition: the instance has no watch yet. */
export function addWatches(fd: Fd, file: InotifyFile): void {
  using filler = new Filler(fd);
  let isLost = file.unreadBytes > 0;
  let next = 1;
  for (const { watch, name, mask } of file.watches) {
    for (; next < watch; next += 1) {
      filler.useUpNumber();
      if (next % BATCH === 0 && drain(fd)) isLost = true;
    }
    const number = tryAddWatch(fd, nameToBuffer(name), ((mask & SETTABLE) | IN_DONT_FOLLOW) >>> 0);
    if (number !== watch) throw cannotWatch(nameToText(name), watch, number);
    next = watch + 1;
  }
  if (next > file.watches.length + 1 && drain(fd)) isLost = true;
  if (isLost) filler.overflow();
}

function cannotWatch(path: string, watch: number, result: number): CairnError {
  const why =
    result < 0 ? errnoName(-result) : `it is the same file as another one that is watched, under number ${result} instead of ${watch}`;
  return new CairnError("changed", `Cannot restart: cannot watch ${path} as the job does: ${why}`, {
    data: { path },
    ...(result < 0 && errnoName(-result) === "ENOSPC" ? { hint: "Raise the limit in /proc/sys/fs/inotify/max_user_watches" } : {}),
  });
}

/** Takes out all that waits: whether there was anything but the ends of watches. */
function drain(fd: Fd): boolean {
  let isLost = false;
  while (unreadBytes(fd) > 0) {
    for (const { mask } of readEvents(fd, READ_BYTES).events) if ((mask & IN_IGNORED) === 0) isLost = true;
  }
  return isLost;
}

/** Files without a name, on which nobody but us does anything. */
class Filler implements Disposable {
  readonly #fd: Fd;
  #files: readonly Fd[] | null = null;

  constructor(fd: Fd) {
    this.#fd = fd;
  }

  #own(): readonly Fd[] {
    this.#files ??= [0, 1].map(() => makeMemfd(Buffer.from("cairn-watched"), MFD_CLOEXEC));
    return this.#files;
  }

  #watch(file: Fd): number {
    const number = tryAddWatch(this.#fd, Buffer.from(`/proc/self/fd/${file}`), IN_ATTRIB);
    if (number < 0) throw cannotWatch("a file of its own", 0, number);
    return number;
  }

  useUpNumber(): void {
    removeWatch(this.#fd, this.#watch(this.#own()[0] as Fd));
  }

  /** Leaves IN_Q_OVERFLOW as the first event. */
  overflow(): void {
    const longest = Number(readFileSync("/proc/sys/fs/inotify/max_queued_events", "latin1"));
    if (longest > LONGEST_QUEUE) return;
    const files = this.#own();
    const watches = files.map((file) => this.#watch(file));
    // Two in turn: an event that is like the last one in the queue is joined to it.
    for (let made = 0; made <= longest; made += 1) fchmodSync(files[made % 2] as Fd, 0o600);
    // The queue is full: that they are removed is not told.
    for (const watch of watches) removeWatch(this.#fd, watch);
    for (let left = unreadBytes(this.#fd) - OWN_EVENT_BYTES; left > 0;)
      left -= readEvents(this.#fd, Math.min(left, READ_BYTES)).lengthBytes;
  }

  [Symbol.dispose](): void {
    for (const file of this.#files ?? []) closeSync(file);
  }
}

/**
 * By what name a watched file can be found. The kernel tells inode and file handle of a watch, never a name. Root opens the handle;
 * for an ordinary user the name is looked for where programs watch: at their own directories, open and mapped files, arguments and
 * environment, and below. A name counts when a watch of our own on it shows the same inode and handle.
 */
import { closeSync, lstatSync, readdirSync, readlinkSync } from "node:fs";
import type { Fd, Pid } from "../base/ids.ts";
import { nameToBuffer } from "../base/names.ts";
import type { Name } from "../base/names.ts";
import { SyscallError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import { O_CLOEXEC, O_PATH } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { IN_DELETE_SELF, IN_DONT_FOLLOW, makeInotify, removeWatch, tryAddWatch } from "../kernel/inotify.ts";
import { addressOf } from "../kernel/memory-ffi.ts";
import { openFile } from "../kernel/open.ts";
import {
  listDescriptors,
  readCommandLine,
  readDescriptorInfo,
  readDescriptorTarget,
  readEnvironment,
  readMaps,
  readMountInfo,
  readProcessLink,
  splitAtNul,
} from "../kernel/procfs/mod.ts";
import type { InotifyWatch } from "../kernel/procfs/mod.ts";
import { systemCall } from "../kernel/syscall-ffi.ts";

/** Entries of directories that are looked at in all, for all watches of a job. */
const MOST_ENTRIES = 50_000;
/** MAX_HANDLE_SZ of linux/exportfs.h. */
const LARGEST_HANDLE_BYTES = 128;
const USUAL_PLACES = ["/tmp", "/var/tmp", "/dev", "/dev/shm", "/etc", "/run", "/home"];

/** Paths are kept with one character per byte. */
type RawPath = string;

export class WatchedPaths implements Disposable {
  readonly #byInode = new Map<bigint, Set<RawPath>>();
  readonly #seeded = new Set<Pid>();
  readonly #queue: RawPath[] = [];
  readonly #queued = new Set<RawPath>();
  readonly #mounts = new Map<string, Fd[]>();
  #entries = 0;
  #own: Fd | null = null;

  /** A name of what the watch is on, null when there is none to be found. */
  find(pid: Pid, watch: InotifyWatch): Buffer | null {
    const path = this.#known(watch) ?? this.#byHandle(watch) ?? this.#near(pid, watch) ?? this.#below(watch);
    return path === null ? null : Buffer.from(path, "latin1");
  }

  [Symbol.dispose](): void {
    for (const fds of this.#mounts.values()) for (const fd of fds) closeSync(fd);
    this.#mounts.clear();
    if (this.#own !== null) closeSync(this.#own);
    this.#own = null;
  }

  #known(watch: InotifyWatch): RawPath | null {
    for (const path of this.#byInode.get(watch.inode) ?? []) if (this.#isOn(path, watch)) return path;
    return null;
  }

  /** open_by_handle_at(2), through a directory of each mount of the file system. */
  #byHandle(watch: InotifyWatch): RawPath | null {
    const bytes = Buffer.from(watch.handle, "hex");
    if (bytes.length === 0 || bytes.length > LARGEST_HANDLE_BYTES) return null;
    const handle = Buffer.alloc(8 + LARGEST_HANDLE_BYTES);
    handle.writeUInt32LE(bytes.length, 0);
    handle.writeInt32LE(watch.handleType, 4);
    handle.set(bytes, 8);
    for (const mount of this.#mountsOf(watch)) {
      const fd = systemCall(SYSCALLS.open_by_handle_at, mount, addressOf(handle), O_PATH | O_CLOEXEC);
      if (fd < 0) continue;
      try {
        const path = readlinkSync(`/proc/self/fd/${fd}`, "latin1");
        if (path.startsWith("/") && this.#isOn(path, watch)) return this.#remember(path, watch.inode);
      } finally {
        closeSync(fd);
      }
    }
    return null;
  }

  #mountsOf({ device }: InotifyWatch): readonly Fd[] {
    const key = `${device.major}:${device.minor}`;
    const known = this.#mounts.get(key);
    if (known !== undefined) return known;
    const fds: Fd[] = [];
    for (const mount of readMountInfo(asPid(process.pid)) ?? []) {
      if (mount.deviceMajor !== device.major || mount.deviceMinor !== device.minor) continue;
      try {
        fds.push(openFile(nameToBuffer(mount.mountPoint), 0));
      } catch (error) {
        if (!(error instanceof SyscallError)) throw error;
      }
    }
    this.#mounts.set(key, fds);
    return fds;
  }

  /** What the process has to do with, and the directories above it. */
  #near(pid: Pid, watch: InotifyWatch): RawPath | null {
    if (this.#seeded.has(pid)) return null;
    this.#seeded.add(pid);
    for (const { path, search } of namesNear(pid)) {
      const found = this.#look(path);
      const directory = found === "directory" ? path : parentOf(path);
      if (search && directory !== null) this.#enqueue(directory);
      for (let above = parentOf(path); above !== null; above = parentOf(above)) this.#look(above);
    }
    return this.#known(watch);
  }

  /** Breadth first: what is watched lies rarely deep. */
  #below(watch: InotifyWatch): RawPath | null {
    for (let directory = this.#queue.shift(); directory !== undefined; directory = this.#queue.shift()) {
      for (const name of entriesOf(directory)) {
        if (this.#entries >= MOST_ENTRIES) return null;
        this.#entries += 1;
        const path = directory === "/" ? `/${name}` : `${directory}/${name}`;
        if (this.#look(path) === "directory") this.#enqueue(path);
      }
      const found = this.#known(watch);
      if (found !== null) return found;
    }
    return null;
  }

  #enqueue(path: RawPath): void {
    // Without /proc and /sys, which have no end and nothing that stays.
    if (path === "/" || /^\/(proc|sys)(\/|$)/.test(path) || this.#queued.has(path)) return;
    this.#queued.add(path);
    this.#queue.push(path);
  }

  #look(path: RawPath): "directory" | "other" | null {
    try {
      const stat = lstatSync(Buffer.from(path, "latin1"), { bigint: true });
      this.#remember(path, stat.ino);
      return stat.isDirectory() ? "directory" : "other";
    } catch {
      return null; // It is gone, or not for this user.
    }
  }

  #remember(path: RawPath, inode: bigint): RawPath {
    const paths = this.#byInode.get(inode);
    if (paths === undefined) this.#byInode.set(inode, new Set([path]));
    else paths.add(path);
    return path;
  }

  #isOn(path: RawPath, wanted: InotifyWatch): boolean {
    this.#own ??= makeInotify(0);
    const added = tryAddWatch(this.#own, Buffer.from(path, "latin1"), IN_DELETE_SELF | IN_DONT_FOLLOW);
    if (added < 0) return false;
    const watch = readDescriptorInfo(asPid(process.pid), this.#own)?.inotify.find((one) => one.watch === added);
    removeWatch(this.#own, added);
    return (
      watch !== undefined &&
      watch.inode === wanted.inode &&
      watch.device.major === wanted.device.major &&
      watch.device.minor === wanted.device.minor &&
      watch.handleType === wanted.handleType &&
      watch.handle === wanted.handle
    );
  }
}

function parentOf(path: RawPath): RawPath | null {
  const slash = path.lastIndexOf("/");
  return path === "/" || slash < 0 ? null : path.slice(0, slash) || "/";
}

function entriesOf(directory: RawPath): string[] {
  try {
    return readdirSync(Buffer.from(directory, "latin1"), "latin1");
  } catch {
    return []; // No directory, or not for this user.
  }
}

/** Absolute paths, the likeliest first; `search` for those below which more is worth a look. */
function namesNear(pid: Pid): { readonly path: RawPath; readonly search: boolean }[] {
  const names = new Map<RawPath, boolean>();
  const add = (path: RawPath, search: boolean): void => {
    const tidy = path.replace(/\/+(\.?\/+)*/g, "/").replace(/(.)\/\.?$/, "$1");
    if (tidy.startsWith("/") && tidy.length > 1 && !names.has(tidy)) names.set(tidy, search);
  };
  const addName = (name: Name | undefined, search: boolean): void => {
    if (name !== undefined) add(raw(nameToBuffer(name)), search);
  };
  const directory = readProcessLink(pid, "cwd")?.name;
  addName(directory, true);
  const base = directory === undefined ? "" : `${raw(nameToBuffer(directory))}/`;
  for (const word of splitAtNul(readCommandLine(pid) ?? Buffer.alloc(0)).map(raw)) {
    for (const text of [word, word.slice(word.indexOf("=") + 1)]) add(text.startsWith("/") ? text : `${base}${text}`, true);
  }
  for (const fd of listDescriptors(pid) ?? []) {
    const target = readDescriptorTarget(pid, fd);
    if (target?.kind === "path") addName(target.name, true);
  }
  for (const setting of splitAtNul(readEnvironment(pid) ?? Buffer.alloc(0)).map(raw)) {
    const equals = setting.indexOf("=");
    for (const text of setting.slice(equals + 1).split(":")) add(text, !setting.slice(0, equals).endsWith("PATH"));
  }
  addName(readProcessLink(pid, "exe")?.name, false);
  for (const entry of readMaps(pid) ?? []) addName(entry.name ?? undefined, false);
  for (const place of USUAL_PLACES) add(place, false);
  return [...names].map(([path, search]) => ({ path, search }));
}

function raw(bytes: Buffer): RawPath {
  return bytes.toString("latin1");
}

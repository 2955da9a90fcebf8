/**
 * How much more memory the memory cgroups of a process leave it, in both versions of the kernel's interface.
 *
 * A process is in one cgroup of each hierarchy, and every cgroup above that one limits it too. The page cache that is charged to
 * a cgroup counts as room: the kernel gives it back before it kills.
 */
import { join } from "node:path";
import type { Pid } from "../../base/ids.ts";
import { nameToText } from "../../base/names.ts";
import { readMountInfo } from "./mountinfo.ts";
import type { MountInfo } from "./mountinfo.ts";
import { readProcRaw } from "./read.ts";

export interface MemoryRoom {
  /** The cgroup's folder. */
  readonly cgroup: string;
  /** Its limit less what is used and can't be given back; never below 0. */
  readonly freeBytes: bigint;
}

/** Limits of this size and above are none: version 1 writes the largest multiple of a page. */
const NO_LIMIT = 1n << 62n;

/** The cgroups that limit the process, the innermost first; empty where none does, or none can be read. */
export function readMemoryRooms(pid: Pid): MemoryRoom[] {
  const memberships = readProcRaw(`/proc/${pid}/cgroup`);
  const mounts = readMountInfo(process.pid as Pid);
  if (memberships === null || mounts === null) return [];
  return cgroupFolders(memberships, mounts).flatMap(({ folder, isUnified }) => roomOf(folder, isUnified) ?? []);
}

interface Folder {
  readonly folder: string;
  readonly isUnified: boolean;
}

/** The folders of the memory cgroups named in /proc/PID/cgroup (`id:controllers:path` a line), each with all above it. */
export function cgroupFolders(memberships: string, mounts: readonly MountInfo[]): Folder[] {
  const folders: Folder[] = [];
  for (const line of memberships.split("\n")) {
    const [, id, controllers = "", path] = line.match(/^(\d+):([^:]*):(\/.*)$/) ?? [];
    const isUnified = id === "0" && controllers === "";
    if (path === undefined || (!isUnified && !controllers.split(",").includes("memory"))) continue;
    const mount = mounts.findLast(({ fileSystem, superOptions }) =>
      isUnified ? fileSystem === "cgroup2" : fileSystem === "cgroup" && superOptions.includes("memory"),
    );
    if (mount === undefined) continue;
    const root = nameToText(mount.root);
    // What lies outside the part that is mounted here (another cgroup namespace) can't be seen.
    const below = root === "/" ? path : path === root || path.startsWith(`${root}/`) ? path.slice(root.length) : null;
    if (below === null || below.startsWith("/..")) continue;
    const parts = below.split("/").filter((part) => part !== "");
    for (let depth = parts.length; depth >= 0; depth -= 1) {
      folders.push({ folder: join(nameToText(mount.mountPoint), ...parts.slice(0, depth)), isUnified });
    }
  }
  return folders;
}

function roomOf(folder: string, isUnified: boolean): MemoryRoom | null {
  const limit = amount(join(folder, isUnified ? "memory.max" : "memory.limit_in_bytes"));
  const used = amount(join(folder, isUnified ? "memory.current" : "memory.usage_in_bytes"));
  if (limit === null || used === null || limit >= NO_LIMIT) return null;
  const free = limit - used + reclaimableBytes(tryRead(join(folder, "memory.stat")) ?? "", isUnified);
  return { cgroup: folder, freeBytes: free < 0n ? 0n : free };
}

/** What memory.stat has of the page cache. In version 1 the sums over all cgroups below have names of their own. */
export function reclaimableBytes(stat: string, isUnified: boolean): bigint {
  const keys = ["inactive_file", "active_file"].map((key) => (isUnified ? key : `total_${key}`));
  let sum = 0n;
  for (const line of stat.split("\n")) {
    const [key = "", value = ""] = line.split(" ");
    if (keys.includes(key) && /^\d+$/.test(value)) sum += BigInt(value);
  }
  return sum;
}

/** Null for "max", and where there is no such file. */
function amount(path: string): bigint | null {
  const text = tryRead(path)?.trim() ?? "";
  return /^\d+$/.test(text) ? BigInt(text) : null;
}

function tryRead(path: string): string | null {
  try {
    return readProcRaw(path);
  } catch {
    return null; // A limit that this user may not see: as if there were none.
  }
}

/**
 * /proc/PID/fd: which descriptors a process has, and what the text of each link says it is open on.
 *
 * A link's text is the kernel's, byte for byte, with one ambiguity: a path that ends in ` (deleted)` may be the name
 * of a file, or of a file that is no longer there. `classifyLink` takes it for the latter; `readDescriptorTarget`
 * looks at the file system to find out.
 */
import * as fs from "node:fs";
import type { Pid } from "../../base/ids.ts";
import { nameToBuffer } from "../../base/names.ts";
import { DELETED_SUFFIX } from "./maps.ts";
import { nameFromRaw, type Name } from "./name.ts";
import { listProcNumbers, readProcLinkBytes } from "./read.ts";

export type DescriptorTarget =
  /** Also devices, FIFOs, directories, terminals: stat tells. */
  | { readonly kind: "path"; readonly name: Name; readonly deleted: boolean }
  | { readonly kind: "pipe"; readonly inode: bigint }
  | { readonly kind: "socket"; readonly inode: bigint }
  /** memfd_create(2): the name given to it. */
  | { readonly kind: "memfd"; readonly name: Name }
  /** `anonymous` is the kernel's word: eventpoll, eventfd, signalfd, timerfd, inotify, io_uring, userfaultfd, bpf-map, ... */
  | { readonly kind: "anonymous"; readonly anonymous: string; readonly inode: bigint | null }
  /** `type` as in /proc/PID/ns: net, mnt, pid, ... */
  | { readonly kind: "namespace"; readonly type: string; readonly inode: bigint }
  /** A text of another shape: `dmabuf:`, or what a newer kernel invents. */
  | { readonly kind: "unknown"; readonly text: Name };

const NAMESPACE_TYPES = new Set(["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]);
const ANON_INODE = "anon_inode:";
const MEMFD = "/memfd:";

/** `raw` has one character per byte. */
export function classifyLink(raw: string): DescriptorTarget {
  if (raw.startsWith("/")) {
    const deleted = raw.endsWith(DELETED_SUFFIX);
    const path = deleted ? raw.slice(0, -DELETED_SUFFIX.length) : raw;
    // A memfd has never had a directory entry; without the suffix this is a file in the root directory.
    if (deleted && path.startsWith(MEMFD)) return { kind: "memfd", name: nameFromRaw(path.slice(MEMFD.length)) };
    if (deleted && path === "/secretmem") return { kind: "anonymous", anonymous: "secretmem", inode: null };
    return { kind: "path", name: nameFromRaw(path), deleted };
  }
  if (raw.startsWith(ANON_INODE)) {
    const rest = raw.slice(ANON_INODE.length);
    const bare = rest.startsWith("[") && rest.endsWith("]") ? rest.slice(1, -1) : rest;
    return { kind: "anonymous", anonymous: bare, inode: null };
  }
  const bracket = raw.indexOf(":[");
  if (bracket > 0 && raw.endsWith("]")) {
    const type = raw.slice(0, bracket);
    const digits = raw.slice(bracket + 2, -1);
    if (/^[0-9]{1,20}$/.test(digits)) {
      const inode = BigInt(digits);
      if (type === "pipe") return { kind: "pipe", inode };
      if (type === "socket") return { kind: "socket", inode };
      if (type === "pidfd") return { kind: "anonymous", anonymous: "pidfd", inode };
      if (NAMESPACE_TYPES.has(type)) return { kind: "namespace", type, inode };
    }
  }
  // A path outside the reach of this root directory: "(unreachable)/x".
  return { kind: "unknown", text: nameFromRaw(raw) };
}

/** Open descriptors, ascending. */
export function listDescriptors(pid: Pid): number[] | null {
  return listProcNumbers(`/proc/${pid}/fd`);
}

/** What a descriptor is open on; null when the process or the descriptor is gone. */
export function readDescriptorTarget(pid: Pid, fd: number): DescriptorTarget | null {
  return readTarget(pid, `/proc/${pid}/fd/${fd}`);
}

export type ProcessLink = "exe" | "cwd" | "root";

/** The executable, current or root directory of a process; null when it is gone, or a zombie. */
export function readProcessLink(pid: Pid, link: ProcessLink): { readonly name: Name; readonly deleted: boolean } | null {
  const target = readTarget(pid, `/proc/${pid}/${link}`);
  if (target === null) return null;
  if (target.kind === "path") return { name: target.name, deleted: target.deleted };
  // A program started from a memfd.
  if (target.kind === "memfd") return { name: nameFromRaw(`${MEMFD}${nameToBuffer(target.name).toString("latin1")}`), deleted: true };
  return target.kind === "unknown" ? { name: target.text, deleted: false } : null;
}

function readTarget(pid: Pid, link: string): DescriptorTarget | null {
  const bytes = readProcLinkBytes(link);
  if (bytes === null) return null;
  const raw = bytes.toString("latin1");
  const target = classifyLink(raw);
  if (raw.startsWith("/") && raw.endsWith(DELETED_SUFFIX) && isNamedSo(pid, link, bytes)) {
    return { kind: "path", name: nameFromRaw(raw), deleted: false };
  }
  return target;
}

/** Whether the file behind a link is the one that has the link's full text as its name, suffix and all. */
function isNamedSo(pid: Pid, link: string, text: Buffer): boolean {
  try {
    const opened = fs.statSync(link, { bigint: true });
    const named = fs.lstatSync(Buffer.concat([Buffer.from(`/proc/${pid}/root`), text]), { bigint: true });
    return opened.ino === named.ino && opened.dev === named.dev;
  } catch {
    // No file of that name, or none that we may look at: the text means what it nearly always means.
    return false;
  }
}

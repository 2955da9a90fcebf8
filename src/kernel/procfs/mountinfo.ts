/**
 * /proc/PID/mountinfo, proc_pid_mountinfo(5):
 *
 *     24 27 0:6 / /dev rw,relatime shared:2 - devtmpfs devtmpfs rw,mode=755
 *     id parent major:minor root mountPoint options fields... - fileSystem source superOptions
 *
 * Space, tab, newline, backslash (and `#`) are written as `\040` and so on: nothing here is ambiguous.
 */
import { CairnError } from "../../base/errors.ts";
import type { Pid } from "../../base/ids.ts";
import { decimal, malformed } from "./fields.ts";
import { nameFromRaw, type Name } from "./name.ts";
import { readProcRaw } from "./read.ts";

export interface MountInfo {
  readonly id: number;
  readonly parentId: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** What part of the file system is mounted. */
  readonly root: Name;
  readonly mountPoint: Name;
  readonly options: readonly string[];
  /** `shared:1`, `master:2`, `propagate_from:3`, `unbindable`. */
  readonly propagation: readonly string[];
  readonly fileSystem: string;
  readonly source: Name;
  readonly superOptions: readonly string[];
}

const FILE = "/proc/PID/mountinfo";

export function parseMountInfo(raw: string): MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of raw.split("\n")) {
    if (line === "") continue;
    const word = line.split(" ");
    const separator = word.indexOf("-", 6);
    const [id, parentId, device, root, mountPoint, options] = word;
    const [fileSystem, source, superOptions] = word.slice(separator + 1);
    if (
      separator < 0 ||
      device === undefined ||
      root === undefined ||
      mountPoint === undefined ||
      options === undefined ||
      fileSystem === undefined
    ) {
      throw malformed(FILE, line);
    }
    const [major, minor] = device.split(":");
    mounts.push({
      id: decimal(id, FILE),
      parentId: decimal(parentId, FILE),
      deviceMajor: decimal(major, FILE),
      deviceMinor: decimal(minor, FILE),
      root: nameFromRaw(unescapeOctal(root)),
      mountPoint: nameFromRaw(unescapeOctal(mountPoint)),
      options: options.split(","),
      propagation: word.slice(6, separator),
      fileSystem: unescapeOctal(fileSystem),
      source: nameFromRaw(unescapeOctal(source ?? "")),
      superOptions: (superOptions ?? "").split(","),
    });
  }
  return mounts;
}

function unescapeOctal(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

export function readMountInfo(pid: Pid): MountInfo[] | null {
  try {
    const raw = readProcRaw(`/proc/${pid}/mountinfo`);
    return raw === null ? null : parseMountInfo(raw);
  } catch (error) {
    // So the kernel says that a process has left its mount namespace, which it does when it ends.
    if (error instanceof CairnError && error.data["errnoName"] === "EINVAL") return null;
    throw error;
  }
}

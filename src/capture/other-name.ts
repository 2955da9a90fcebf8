/**
 * A file that is open under a name that was removed, but has another (a hard link): with a file of its own a restart would tear
 * the two apart. The kernel does not tell the other name; nearly always it is near.
 */
import { lstatSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Pid } from "../base/ids.ts";
import { encodeName, nameToBuffer } from "../base/names.ts";
import type { Name } from "../base/names.ts";
import { decodeDevice, readProcessLink } from "../kernel/procfs/mod.ts";

/** The job may stand still while we look. */
const MOST_ENTRIES = 10_000;

interface DeviceAndInode {
  readonly major: number;
  readonly minor: number;
  readonly inode: bigint;
}

/** Looks in the directory of the old name and in the process's current one. */
export function findOtherName(pid: Pid, oldName: Name, file: DeviceAndInode): Name | null {
  const current = readProcessLink(pid, "cwd");
  const directories = [dirname(nameToBuffer(oldName).toString("latin1"))];
  if (current !== null && !current.deleted) directories.push(nameToBuffer(current.name).toString("latin1"));
  for (const directory of new Set(directories)) {
    for (const entry of entriesOf(directory)) {
      const path = Buffer.from(join(directory, entry), "latin1");
      if (isFile(path, file)) return encodeName(path);
    }
  }
  return null;
}

/** Bytes as characters: names need not be UTF-8. */
function entriesOf(directory: string): string[] {
  try {
    return readdirSync(Buffer.from(directory, "latin1"), "latin1").slice(0, MOST_ENTRIES);
  } catch {
    return []; // Removed as well, or not to be read by this user.
  }
}

function isFile(path: Buffer, { major, minor, inode }: DeviceAndInode): boolean {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined || stat.ino !== inode) return false;
  const device = decodeDevice(Number(stat.dev));
  return device.major === major && device.minor === minor;
}

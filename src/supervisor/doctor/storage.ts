/** The folder that checkpoints go to: writable, private, roomy, and fast. */
import { closeSync, constants, existsSync, mkdirSync, openSync, rmSync, statSync, statfsSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { formatBytes } from "../../base/bytes.ts";
import { alignedBuffer } from "../../kernel/memory-ffi.ts";
import { limited, no, ok } from "./check.ts";
import type { CheckDefinition, Finding } from "./check.ts";

export const storeCheck: CheckDefinition = {
  name: "store",
  title: "Checkpoint store",
  why: "checkpoints hold all that a program had in memory, so only their owner may read them",
  essential: true,
};

const LITTLE_BYTES = 1 << 30;

/** Makes the folder if it is not there, as the first checkpoint would. */
export function probeStore(directory: string): Finding {
  try {
    makeFolder(directory);
    const probe = join(directory, `.doctor-${process.pid}`);
    closeSync(openSync(probe, "wx", 0o600));
    rmSync(probe);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    return no(`${directory} cannot be written (${code})`, "Choose another folder with --store DIR or CAIRN_STORE");
  }
  const { bavail, bsize } = statfsSync(directory);
  return judgeStore(directory, statSync(directory), bavail * bsize, process.getuid?.() ?? 0);
}

/** Folder by folder: mkdirSync's own recursion never ends where a parent cannot be made (/proc). */
function makeFolder(directory: string): void {
  if (existsSync(directory)) return;
  if (dirname(directory) !== directory) makeFolder(dirname(directory));
  mkdirSync(directory, { mode: 0o700 });
}

export function judgeStore(
  directory: string,
  stat: { readonly mode: number; readonly uid: number },
  freeBytes: number,
  uid: number,
): Finding {
  const found = `${directory}, ${formatBytes(freeBytes)} free`;
  if (stat.uid !== uid)
    return limited(`${found}, belongs to another user (uid ${stat.uid})`, "Choose a folder of your own with --store DIR or CAIRN_STORE");
  if ((stat.mode & 0o077) !== 0) return limited(`${found}, open to other users`, `chmod 700 ${directory}`);
  if (freeBytes < LITTLE_BYTES) return limited(found, "Make room, or choose another folder with --store DIR or CAIRN_STORE");
  return ok(found);
}

export const directCheck: CheckDefinition = {
  name: "direct-io",
  title: "Direct I/O in the store",
  why: "images written past the page cache are several times faster and leave the cache to the job",
  essential: false,
};

export function probeDirect(directory: string): Finding {
  const path = join(directory, `.doctor-direct-${process.pid}`);
  try {
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_DIRECT, 0o600);
    try {
      writeSync(fd, alignedBuffer(4096));
      return ok("works");
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    return limited(
      `not on this file system (${code})`,
      `Images are written through the page cache; a store on ext4 or xfs is faster than ${dirname(path)}`,
    );
  } finally {
    rmSync(path, { force: true });
  }
}

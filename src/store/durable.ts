/**
 * Writing that survives: private folders and files whatever the umask, replacement by rename, and the fsync of file and folder that
 * a rename needs to outlive a power failure (fsync(2), "NOTES": the file's own does not cover its entry in the folder).
 *
 * Each function that changes something counts as steps of `store`, at every point at which a kill leaves the disk different.
 */
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { CairnError } from "../base/errors.ts";
import { countStep } from "../kernel/syscall-ffi.ts";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;

const TEMPORARY = ".tmp-";
const LEFTOVER_AGE_MS = 3_600_000;

/** Makes the folder and those above it that are missing, each 0700, and makes them last. */
export function makeDirectories(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
  if (dirname(path) !== path) makeDirectories(dirname(path));
  try {
    makeDirectory(path);
    syncDirectory(dirname(path));
  } catch (error) {
    // The folders above it are there: this one is of a file system, as /proc is, in which none can be made.
    if (errnoOf(error) === "ENOENT" && existsSync(dirname(path))) {
      throw new CairnError("io", `Cannot make the folder ${path}: ${dirname(path)} is of a file system that takes no folders`, {
        data: { path },
        hint: "Choose another place with --store",
        cause: error,
      });
    }
    // Another process made it between our look and our mkdir.
    if (errnoOf(error) !== "EEXIST" || !statSync(path).isDirectory()) throw error;
  }
}

/** Makes one folder, 0700. The umask can only have taken bits away: nobody else could enter it in between. */
export function makeDirectory(path: string): void {
  countStep("store");
  mkdirSync(path, { mode: 0o700 });
  chmodSync(path, 0o700);
}

/** Writes a new file, 0600, down to the disk. The caller syncs the folder when it has put all into it. */
export function writeNewFile(path: string, text: string): void {
  countStep("store");
  const fd = openSync(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o600);
  try {
    fchmodSync(fd, 0o600);
    const bytes = Buffer.from(text, "utf8");
    let done = 0;
    while (done < bytes.length) {
      countStep("store");
      done += writeSync(fd, bytes, done, bytes.length - done, done);
    }
    countStep("store");
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Replaces a file: readers see the old text or the new, never a part of it, and so does whoever comes after a power failure. */
export function replaceFile(path: string, text: string): void {
  const temporary = join(dirname(path), uniqueName(`${TEMPORARY}${basename(path)}`));
  try {
    writeNewFile(temporary, text);
    countStep("store");
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncDirectory(dirname(path));
}

/** Makes what was added to the folder, renamed in it or removed from it outlive a power failure, where the file system can do that. */
export function syncDirectory(path: string): void {
  countStep("store");
  let fd: number | undefined;
  try {
    fd = openSync(path, O_RDONLY | O_DIRECTORY);
    fsyncSync(fd);
  } catch (error) {
    // A folder that we may write to but not list can't be opened; some network and FUSE file systems know no fsync of folders.
    const errno = errnoOf(error);
    if (errno !== "EACCES" && errno !== "EINVAL" && errno !== "ENOTSUP" && errno !== "ENOSYS") throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Moves a folder to where it wasn't, and makes that last. Throws EEXIST or ENOTEMPTY where a folder with content is. */
export function moveDirectory(from: string, to: string): void {
  countStep("store");
  renameSync(from, to);
  syncDirectory(dirname(to));
}

/** Removes a tree of files; one that is gone already is no error. */
export function removeTree(path: string): void {
  countStep("store");
  rmSync(path, { recursive: true, force: true });
}

/** `prefix-PID-random`: nobody else's name, in this pid namespace or in another. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${process.pid}-${randomBytes(4).toString("hex")}`;
}

/** Names in a folder; none when it is missing. */
export function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/**
 * Removes what replacements that were cut off left in a folder. By age, because a pid says nothing about a
 * process on another host or in another namespace, and a replacement takes milliseconds.
 */
export function sweepTemporaries(directory: string, now: Date, prefix = TEMPORARY): void {
  for (const name of namesIn(directory)) {
    if (!name.startsWith(prefix)) continue;
    const path = join(directory, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat !== undefined && now.getTime() - stat.mtimeMs > LEFTOVER_AGE_MS) removeTree(path);
  }
}

export function isTemporary(name: string): boolean {
  return name.startsWith(TEMPORARY);
}

export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** Runs `work`; what the file system refuses becomes a `CairnError` that says what for. `action` as in `write job "lu"`. */
export function withContext<T>(action: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw explain(action, error);
  }
}

function explain(action: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined || error instanceof CairnError || !(error instanceof Error)) return error;
  const path = "path" in error && typeof error.path === "string" ? error.path : undefined;
  const details = { data: { errno, ...(path === undefined ? {} : { path }) }, cause: error };
  const where = path === undefined ? "" : ` (${path})`;
  if (errno === "EACCES" || errno === "EPERM" || errno === "EROFS") {
    return new CairnError("permission", `Cannot ${action}: permission denied${where}`, {
      ...details,
      hint: "Check who owns the store, or choose another with --store",
    });
  }
  if (errno === "ENOSPC" || errno === "EDQUOT") {
    return new CairnError("io", `Cannot ${action}: the disk or the quota is full${where}`, {
      ...details,
      hint: "Make room there, remove old checkpoints with cairn rm, or choose another place with --store",
    });
  }
  return new CairnError("io", `Cannot ${action}: ${error.message}`, { ...details, hint: "Check the disk that holds the store" });
}

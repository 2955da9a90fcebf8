/**
 * How every reader of this folder gets at a file of /proc.
 *
 * A process can end at any moment, so `null` means "the process (or the thread, the descriptor) is gone": ENOENT
 * when the file is opened, ESRCH when it is read after the process ended in between. Any other failure is thrown.
 *
 * The files have no size, and a read returns less than was asked for long before the end (a page of whole lines in
 * /proc/PID/maps), so reading goes on until a read returns nothing.
 *
 * A zombie has a stat, a status and a comm. What else it had (memory, descriptors, links) reads as empty or as null, by
 * the kernel's version, and is root's to anybody but root, so that reading it fails for want of permission: look at
 * the state first.
 */
import * as fs from "node:fs";
import { CairnError } from "../../base/errors.ts";
import { encodeName, type Name } from "../../base/names.ts";

/** More than this is no file of /proc but a mistake: a million mappings with long names stay below it. */
const MAX_FILE_BYTES = 1 << 30;

const LARGEST_READ_BYTES = 1 << 20;

/** Shared by all reads: reading is synchronous, and what is handed out is a copy. */
let scratch = Buffer.allocUnsafeSlow(1 << 18);

export function readProcBytes(path: string): Buffer | null {
  return readWith(path, (length) => Buffer.from(scratch.subarray(0, length)));
}

/** The file as a raw string, one character per byte. */
export function readProcRaw(path: string): string | null {
  return readWith(path, (length) => scratch.toString("latin1", 0, length));
}

/** The file's beginning: the kernel makes no more of it than is asked for. */
export function readProcStart(path: string, lengthBytes: number): string | null {
  let fd: number | undefined;
  try {
    fd = fs.openSync(path, fs.constants.O_RDONLY);
    return scratch.toString("latin1", 0, fs.readSync(fd, scratch, 0, lengthBytes, null));
  } catch (error) {
    if (isGone(error)) return null;
    throw asReadError(path, error);
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}

function readWith<T>(path: string, take: (length: number) => T): T | null {
  let fd: number | undefined;
  try {
    fd = fs.openSync(path, fs.constants.O_RDONLY);
    let length = 0;
    for (;;) {
      if (length === scratch.length) growScratch(path);
      // Files of /proc/sys refuse to be read into a large buffer (ENOMEM).
      const count = fs.readSync(fd, scratch, length, Math.min(LARGEST_READ_BYTES, scratch.length - length), null);
      if (count === 0) return take(length);
      length += count;
    }
  } catch (error) {
    if (isGone(error)) return null;
    throw asReadError(path, error);
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}

function growScratch(path: string): void {
  if (scratch.length * 2 > MAX_FILE_BYTES) {
    throw new CairnError("io", `Cannot read ${path}: it is larger than ${MAX_FILE_BYTES} bytes`);
  }
  const larger = Buffer.allocUnsafeSlow(scratch.length * 2);
  scratch.copy(larger);
  scratch = larger;
}

/** The target of a symbolic link, byte for byte. */
export function readProcLink(path: string): Name | null {
  const bytes = readProcLinkBytes(path);
  return bytes === null ? null : encodeName(bytes);
}

export function readProcLinkBytes(path: string): Buffer | null {
  try {
    return fs.readlinkSync(path, "buffer");
  } catch (error) {
    if (isGone(error)) return null;
    throw asReadError(path, error);
  }
}

/** The entries of a folder whose names are numbers, ascending. */
export function listProcNumbers(path: string): number[] | null {
  let entries: string[];
  try {
    entries = fs.readdirSync(path, "latin1");
  } catch (error) {
    if (isGone(error)) return null;
    throw asReadError(path, error);
  }
  const numbers: number[] = [];
  for (const entry of entries) {
    const first = entry.charCodeAt(0);
    if (first >= 0x30 && first <= 0x39) numbers.push(Number(entry));
  }
  return numbers.toSorted((a, b) => a - b);
}

function isGone(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENOENT" || code === "ESRCH";
}

function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

function asReadError(path: string, error: unknown): unknown {
  if (error instanceof CairnError) return error;
  const code = errorCode(error);
  if (code === "") return error;
  const denied = code === "EACCES" || code === "EPERM";
  return new CairnError(denied ? "permission" : "io", `Cannot read ${path}: ${code}`, {
    data: { path, errnoName: code },
    cause: error,
    ...(denied ? { hint: "Run as the user that owns the process, or as root; `cairn doctor` shows what this user may do" } : {}),
  });
}

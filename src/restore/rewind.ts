/**
 * Takes files back to the checkpoint in such a way that a restart that fails leaves them as it found them.
 *
 *   1. all that is to be cut off or written over is copied aside and synced; nothing else has been touched
 *   2. files that would be taken for companions go aside; the others are cut off or rewritten
 *   3. whatever fails from 2 on, until the job is let go: `undo` puts back what stands aside
 *
 * A restart that is killed between 2 and 3 leaves the files taken back, and what was cut off from them aside.
 */
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { CairnError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import type { ImageReader } from "../image/mod.ts";
import { SEEK_DATA, SEEK_HOLE, trySeek } from "../kernel/descriptors.ts";
import { hasRuns, writeRuns } from "./saved-files.ts";
import type { FileComparison, Rewinding } from "./output-files.ts";

const COPY_BYTES = 1 << 20;
const COPY_FILE_MODE = 0o600;

export interface Rewound {
  /** What was done, in words. */
  readonly told: readonly string[];
  /** Puts everything back. Throws a CairnError (`io`) that names the copies of what could not be put back. */
  undo(): void;
}

/** Errors: `io`, `permission`; then every file is as it was, and no copy is left. */
export function rewindFiles(
  reader: ImageReader,
  comparison: FileComparison,
  asideDirectory: string,
  ownOutput: readonly Fd[] = [],
): Rewound {
  const files = new FilesTakenBack(asideDirectory, ownOutput);
  const rewinding = comparison.rewinding
    .filter((one) => !one.byContent || hasOtherContent(one, reader))
    .map((one) => (isLonger(one, reader) ? { ...one, saved: null } : one));
  try {
    for (const one of rewinding) files.keep(one);
    if (rewinding.length > 0) syncFolder(asideDirectory);
    for (const one of rewinding) files.moveCompanions(one);
    for (const one of rewinding) files.takeBack(one, reader);
  } catch (error) {
    files.undo();
    throw error;
  }
  return files;
}

interface Kept {
  readonly one: Rewinding;
  readonly path: string;
  isTakenBack: boolean;
}

class FilesTakenBack implements Rewound {
  readonly told: string[] = [];
  readonly #directory: string;
  readonly #kept: Kept[] = [];
  readonly #moved: { readonly from: string; readonly to: string }[] = [];

  /** Streams of the restart itself: what it was started with may be the very file that the job wrote to. */
  readonly #ownOutput: readonly Fd[];

  constructor(directory: string, ownOutput: readonly Fd[]) {
    this.#directory = directory;
    this.#ownOutput = ownOutput;
  }

  keep(one: Rewinding): void {
    const name = one.saved === null ? `${one.text}.from-${one.sizeBytes}` : one.text;
    explained(`what was written to ${one.text} since the checkpoint cannot be kept in ${this.#directory}`, () => {
      const path = this.#freePath(name);
      // As it will be opened for the change: that it can't be is to be known now.
      const from = openSync(one.path, constants.O_RDWR) as Fd;
      try {
        const to = openSync(path, "wx", COPY_FILE_MODE) as Fd;
        try {
          this.#kept.push({ one, path, isTakenBack: false });
          copyData(from, to, one.saved === null ? one.sizeBytes : 0, 0);
          fsyncSync(to);
        } finally {
          closeSync(to);
        }
      } finally {
        closeSync(from);
      }
    });
  }

  moveCompanions(one: Rewinding): void {
    for (const companion of one.companions) {
      explained(`${companion}, which was made after the checkpoint, cannot be moved to ${this.#directory}`, () => {
        const kept = this.#freePath(companion);
        moveFile(companion, kept);
        this.#moved.push({ from: companion, to: kept });
        this.told.push(`File ${companion} was made after the checkpoint; it is kept as ${kept}`);
      });
    }
  }

  takeBack(one: Rewinding, reader: ImageReader): void {
    const kept = this.#kept.find((candidate) => candidate.one === one) as Kept;
    explained(`${one.text} cannot be taken back to the checkpoint`, () => {
      const fd = openSync(one.path, constants.O_RDWR) as Fd;
      try {
        kept.isTakenBack = true;
        if (one.saved === null) ftruncateSync(fd, one.sizeBytes);
        else {
          ftruncateSync(fd, 0);
          writeRuns(reader, fd, one.saved.runs, one.sizeBytes, one.text);
        }
      } finally {
        closeSync(fd);
      }
    });
    this.told.push(
      one.saved === null
        ? `File ${one.text} is taken back to ${one.sizeBytes} bytes; the ${one.grownBytes} bytes written since are kept in ${kept.path}${this.#isOwnOutput(one) ? ". It is the output of this restart, too: what other programs appended to it is among them (--files keep cuts nothing off)" : ""}`
        : `File ${one.text} is taken back to its content at the checkpoint; what it was is kept in ${kept.path}`,
    );
  }

  #isOwnOutput(one: Rewinding): boolean {
    const file = statSync(one.path, { bigint: true });
    return this.#ownOutput.some((stream) => {
      const own = fstatSync(stream, { bigint: true });
      return own.ino === file.ino && own.dev === file.dev;
    });
  }

  undo(): void {
    const failed: string[] = [];
    let cause: unknown;
    const attempt = (what: string, put: () => void): void => {
      try {
        put();
      } catch (error) {
        failed.push(what);
        cause ??= error;
      }
    };
    for (const one of this.#kept.splice(0)) attempt(`${one.one.text} (kept in ${one.path})`, () => putBack(one));
    for (const { from, to } of this.#moved.splice(0)) attempt(`${from} (kept as ${to})`, () => moveFile(to, from));
    if (failed.length === 0) return;
    throw new CairnError("io", `The restart failed, and these files could not be put back as they were before it: ${failed.join(", ")}`, {
      data: { files: failed },
      hint: "Nothing is lost: append what was kept, or put it in the file's place. CAIRN_DEBUG=1 shows why the restart failed",
      cause,
    });
  }

  #freePath(path: string): string {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    for (let attempt = 0; ; attempt += 1) {
      const candidate = join(this.#directory, attempt === 0 ? basename(path) : `${basename(path)}.${attempt}`);
      if (statSync(candidate, { throwIfNoEntry: false }) === undefined) return candidate;
    }
  }
}

/** Output that holds what it held and more: nothing needs to be written over. */
function isLonger(one: Rewinding, reader: ImageReader): boolean {
  return one.onlyGrows && one.saved !== null && one.grownBytes > 0 && !hasOtherContent(one, reader);
}

/** Whether it begins with something else than what it held at the checkpoint. */
function hasOtherContent(one: Rewinding, reader: ImageReader): boolean {
  let differs = false;
  explained(`${one.text} cannot be compared with the checkpoint`, () => {
    const fd = openSync(one.path, "r") as Fd;
    try {
      differs = !hasRuns(reader, fd, one.saved?.runs ?? [], one.sizeBytes);
    } finally {
      closeSync(fd);
    }
  });
  return differs;
}

function putBack({ one, path, isTakenBack }: Kept): void {
  if (isTakenBack) {
    const from = openSync(path, "r") as Fd;
    try {
      const to = openSync(one.path, constants.O_RDWR) as Fd;
      try {
        if (one.saved !== null) ftruncateSync(to, 0);
        // At its end: somebody else may have appended to it meanwhile.
        copyData(from, to, 0, fstatSync(to).size);
      } finally {
        closeSync(to);
      }
    } finally {
      closeSync(from);
    }
  }
  rmSync(path, { force: true });
}

/** Copies from `start` to the end of the file; what is a hole there is a hole here. */
function copyData(from: Fd, to: Fd, start: number, at: number): void {
  const { size } = fstatSync(from);
  const shift = at - start;
  const buffer = Buffer.alloc(Math.min(COPY_BYTES, Math.max(1, size - start)));
  for (let position = start; position < size;) {
    const data = trySeek(from, position, SEEK_DATA);
    if (data < 0) break;
    const hole = trySeek(from, data, SEEK_HOLE);
    const end = hole < 0 ? size : Math.min(hole, size);
    for (position = data; position < end;) {
      const count = readSync(from, buffer, 0, Math.min(buffer.length, end - position), position);
      if (count === 0) break;
      for (let written = 0; written < count;) written += writeSync(to, buffer, written, count - written, position + shift + written);
      position += count;
    }
    if (position < end) break; // It was cut off meanwhile.
  }
  const length = size + shift;
  if (fstatSync(to).size < length) ftruncateSync(to, length);
}

function moveFile(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    copyFileSync(from, to, constants.COPYFILE_EXCL);
    chmodSync(to, COPY_FILE_MODE);
    rmSync(from);
  }
}

function syncFolder(path: string): void {
  for (const folder of [path, dirname(path)]) {
    const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fsyncSync(fd);
    } catch {
      // Some network file systems know no fsync of folders.
    } finally {
      closeSync(fd);
    }
  }
}

/** What the system refuses is told with the file's name: the errors of reads and writes have none. */
function explained(what: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    if (error instanceof CairnError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    const isFull = code === "ENOSPC" || code === "EDQUOT";
    const isDenied = code === "EACCES" || code === "EPERM" || code === "EROFS";
    throw new CairnError(isDenied ? "permission" : "io", `Cannot restart: ${what}: ${isFull ? `no space is left (${code})` : code}`, {
      hint: `${isFull ? "Make room there, or restart" : "Restart"} with --files keep, which leaves files as they are. No file was changed`,
      cause: error,
    });
  }
}

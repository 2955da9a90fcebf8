/**
 * The file that an image is written to: created afresh, private, past the page cache where the file system allows that.
 *
 * Direct I/O writes several times faster than a cold page cache does and leaves the cache to the job. It wants addresses, lengths
 * and offsets that are multiples of the device's block; ours are multiples of 4096. File systems that don't take it say
 * so at open(2) (tmpfs before Linux 6.6) or only at the first write (some network and FUSE file systems): both fall back to buffered writes.
 */
import { constants, statfsSync } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { assert } from "../base/assert.ts";
import { formatBytes } from "../base/bytes.ts";
import { CairnError } from "../base/errors.ts";
import { countStep } from "../kernel/syscall-ffi.ts";
import { PAGE_BYTES } from "./header.ts";

const { O_CREAT, O_DIRECT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

/** Write calls that give fewer bytes than asked are repeated; a device that gives none at all is not asked for ever. */
const MAX_CALLS_PER_WRITE = 1 << 16;

export class OutputFile {
  readonly path: string;
  #handle: FileHandle;
  #direct: boolean;
  #reopening: Promise<void> | undefined;

  private constructor(path: string, handle: FileHandle, direct: boolean) {
    this.path = path;
    this.#handle = handle;
    this.#direct = direct;
  }

  /** Errors: `conflict` when the path exists, `io` otherwise. */
  static async create(path: string): Promise<OutputFile> {
    const flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY;
    const { handle, direct } = await openDirectOrBuffered(path, flags);
    try {
      // The umask may have taken bits away that the owner needs.
      await handle.chmod(0o600);
    } catch (cause) {
      await handle.close();
      throw writeError(path, cause);
    }
    return new OutputFile(path, handle, direct);
  }

  /** Precondition: address, length and offset of `bytes` are multiples of a page. */
  async write(bytes: Uint8Array, offsetBytes: number): Promise<void> {
    assert(bytes.length % PAGE_BYTES === 0 && offsetBytes % PAGE_BYTES === 0, "direct I/O wants whole pages");
    let done = 0;
    for (let calls = 0; done < bytes.length; calls++) {
      assert(calls < MAX_CALLS_PER_WRITE, `${this.path} takes no bytes`);
      const direct = this.#direct;
      countStep("image");
      try {
        const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, offsetBytes + done);
        done += bytesWritten;
      } catch (cause) {
        // A short write may end off the block grid; what follows can only go through the cache.
        if (!direct || !isErrno(cause, "EINVAL")) throw writeError(this.path, cause);
        this.#reopening ??= this.#reopenBuffered();
        await this.#reopening;
      }
    }
  }

  async sync(): Promise<void> {
    countStep("image");
    try {
      await this.#handle.sync();
    } catch (cause) {
      throw writeError(this.path, cause);
    }
  }

  /** May be called again. */
  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #reopenBuffered(): Promise<void> {
    const old = this.#handle;
    try {
      // Through /proc, so that it is the same file even if the path was renamed meanwhile.
      this.#handle = await open(`/proc/self/fd/${old.fd}`, O_WRONLY);
    } catch (cause) {
      throw writeError(this.path, cause);
    }
    this.#direct = false;
    // Other writes may be under way on the old handle: close() waits for them.
    await old.close();
  }
}

async function openDirectOrBuffered(path: string, flags: number): Promise<{ handle: FileHandle; direct: boolean }> {
  try {
    return { handle: await open(path, flags | O_DIRECT, 0o600), direct: true };
  } catch (cause) {
    if (!isErrno(cause, "EINVAL")) throw writeError(path, cause);
  }
  try {
    // The kernel creates the file before it finds out that the file system knows no direct I/O; that one is empty and ours.
    return { handle: await open(path, (flags & ~O_EXCL) | O_NOFOLLOW, 0o600), direct: false };
  } catch (cause) {
    throw writeError(path, cause);
  }
}

export function isErrno(error: unknown, name: string): boolean {
  return error instanceof Error && "code" in error && error.code === name;
}

function writeError(path: string, cause: unknown): CairnError {
  if (cause instanceof CairnError) return cause;
  if (isErrno(cause, "EEXIST")) {
    return new CairnError("conflict", `Cannot write image ${path}: a file of that name exists`, { data: { path }, cause });
  }
  const full = isErrno(cause, "ENOSPC") || isErrno(cause, "EDQUOT");
  return new CairnError("io", `Cannot write image ${path}: ${full ? "the disk or the quota is full" : describe(cause)}`, {
    data: { path, full },
    hint: "Check the disk, or choose another place with --store",
    cause,
  });
}

function describe(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** What a full disk needs: how much is free, how much is wanted, what to do. */
export function explainFullDisk(error: unknown, neededBytes: number, exact: boolean): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  if (!(error instanceof CairnError) || error.code !== "io" || error.data["full"] !== true) return error;
  const path = String(error.data["path"]);
  const needed = `${exact ? "" : "more than "}${formatBytes(neededBytes)}`;
  return new CairnError("io", `${error.message}, the image needs ${needed}${freeSpace(path)}`, {
    data: { ...error.data, neededBytes },
    hint: "Make room there, remove old checkpoints with cairn rm, or choose another place with --store",
    cause: error.cause,
  });
}

function freeSpace(path: string): string {
  try {
    const { bavail, bsize } = statfsSync(path);
    return ` and ${formatBytes(bavail * bsize)} are free`;
  } catch {
    return "";
  }
}

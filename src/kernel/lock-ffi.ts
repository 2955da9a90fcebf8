/** Advisory locks on whole files: flock(2), which Node doesn't offer. */
import { closeSync, constants, fchmodSync, fstatSync, openSync, statSync } from "node:fs";
import koffi from "koffi";
import { SyscallError } from "../base/errors.ts";
import { asFd } from "../base/ids.ts";
import type { Fd } from "../base/ids.ts";
import { errnoName } from "./errno.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;

const libc = koffi.load(null);
const flock = libc.func("int flock(int fd, int operation)");

/** A lock that is held: the kernel gives it up when this is disposed of or when the process ends, however it ends. */
export interface LockHandle extends Disposable {
  /** The lock's file, open for reading and writing, close-on-exec so that the lock can't leak into a job. */
  readonly fd: Fd;
}

/**
 * Takes the exclusive lock of the file (made 0600 if it is missing); null when another holds it, be it in this process.
 * Errors: those of open(2) as Node throws them; `SyscallError` where the file system knows no locks.
 */
export function tryLockFile(path: string): LockHandle | null {
  const fd = openLockFile(path);
  if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    const errno = koffi.errno();
    closeSync(fd);
    if (errno === koffi.os.errno["EAGAIN"]) return null;
    throw new SyscallError("flock", errno, errnoName(errno), { arguments: path });
  }
  let held = true;
  return {
    fd,
    [Symbol.dispose]() {
      if (held) closeSync(fd);
      held = false;
    },
  };
}

/** Whether the path still leads to the file that is locked: a folder may have been renamed between open and lock. */
export function lockStillNames(handle: LockHandle, path: string): boolean {
  const named = statSync(path, { throwIfNoEntry: false });
  const locked = fstatSync(handle.fd);
  return named !== undefined && named.ino === locked.ino && named.dev === locked.dev;
}

function openLockFile(path: string): Fd {
  const { O_CREAT, O_NOFOLLOW, O_RDWR } = constants;
  try {
    return asFd(openSync(path, O_RDWR | O_NOFOLLOW));
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  const fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  // The umask may have taken away what the owner needs to open it the next time.
  fchmodSync(fd, 0o600);
  return asFd(fd);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

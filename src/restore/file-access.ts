/** Whose a file is that is made again, and who may use it: as it was, as far as this user may give it away. */
import { fchmodSync, fchownSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { Fd } from "../base/ids.ts";
import type { FileAccess } from "../image/mod.ts";

const SET_ID_BITS = 0o6000;

export function giveAccess(fd: Fd, access: Pick<FileAccess, "mode"> & Partial<FileAccess>): void {
  const isOwners = access.uid === undefined || access.gid === undefined || tryGive(fd, access.uid, access.gid);
  // With another owner these would lend the wrong user's rights.
  fchmodSync(fd, isOwners ? access.mode : access.mode & ~SET_ID_BITS);
}

function tryGive(fd: Fd, uid: number, gid: number): boolean {
  try {
    fchownSync(fd, uid, gid);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
    return false;
  }
}

const PRIVATE_FOLDER = 0o700;

/** Makes the folder of a file that is made again, where it went with the file (a session's under /tmp). The first one made; null when there was one. */
export function makeFolderOf(path: Buffer): string | null {
  return mkdirSync(dirname(path.toString()), { recursive: true, mode: PRIVATE_FOLDER }) ?? null;
}

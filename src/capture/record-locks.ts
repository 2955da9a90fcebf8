/** POSIX record locks of a process (fcntl F_SETLK), by a descriptor through which they can be taken again. */
import type { Pid } from "../base/ids.ts";
import type { LiveProcessImage } from "../image/mod.ts";
import { rangeOf } from "./description-locks.ts";
import type { Description } from "./descriptors.ts";

export function captureRecordLocks(pid: Pid, descriptions: readonly Description[]): LiveProcessImage["recordLocks"] {
  const locks: LiveProcessImage["recordLocks"] = [];
  const seen = new Set<string>();
  for (const { references } of descriptions) {
    for (const { pid: holder, fd, info } of references) {
      if (holder !== pid) continue;
      for (const lock of info.locks) {
        if (lock.type !== "POSIX" || lock.waiting) continue;
        // A lock belongs to process and file: every descriptor of the file shows it.
        const key = `${lock.deviceMajor}:${lock.deviceMinor}:${lock.inode} ${lock.start} ${lock.end}`;
        if (seen.has(key)) continue;
        seen.add(key);
        locks.push({ fd, ...rangeOf(lock) });
      }
    }
  }
  return locks;
}

/**
 * Whether memory cgroups leave room for copies on write. The job runs on while a snapshot is read, and every page that it writes
 * meanwhile is there twice; where a cgroup can't hold that, the kernel kills the snapshot, or the job.
 */
import type { Pid } from "../base/ids.ts";
import { readMemoryRooms, readStatus } from "../kernel/procfs/mod.ts";

/** For page tables, and for what this process itself needs meanwhile, which may be in the same cgroup. */
const MARGIN_BYTES = 8n << 20n;

export class CopyRoom {
  /** What is left in each cgroup that limits a process of the job, by its folder. */
  readonly #free = new Map<string, bigint>();

  /** Takes the room for a whole copy of the process's own memory; false, and nothing taken, where there is not enough of it. */
  tryTake(pid: Pid): boolean {
    const bytes = BigInt(readStatus(pid)?.residentAnonymousBytes ?? 0);
    const rooms = readMemoryRooms(pid).map(({ cgroup, freeBytes }) => ({
      cgroup,
      free: this.#free.get(cgroup) ?? freeBytes - MARGIN_BYTES,
    }));
    if (rooms.some(({ free }) => free < bytes)) return false;
    for (const { cgroup, free } of rooms) this.#free.set(cgroup, free - bytes);
    return true;
  }
}

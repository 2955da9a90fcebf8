/** Locks and leases that belong to an open file description, not to a process: F_OFD_SETLK and F_SETLEASE of fcntl(2). */
import { CairnError } from "../base/errors.ts";
import type { Pid } from "../base/ids.ts";
import { nameToText } from "../base/names.ts";
import type { Name, OpenFile } from "../image/mod.ts";
import type { FileLock } from "../kernel/procfs/mod.ts";
import type { DescriptorReference } from "./descriptors.ts";
import type { JobPids } from "./job-pids.ts";

export function ofdLocksOf({ info }: DescriptorReference): NonNullable<OpenFile["ofdLocks"]> {
  return info.locks.filter(({ type, waiting }) => type === "OFDLCK" && !waiting).map(rangeOf);
}

export function rangeOf(lock: FileLock): { exclusive: boolean; startBytes: string; lengthBytes: string } {
  const length = lock.end === "EOF" ? 0n : lock.end - lock.start + 1n;
  return { exclusive: lock.mode === "WRITE", startBytes: lock.start.toString(), lengthBytes: length.toString() };
}

export function hasLease({ info }: DescriptorReference): boolean {
  return info.locks.some(({ type }) => type === "LEASE");
}

/** The signal goes to whoever took the lease: 0 where that is not in the tree. */
export function leaseOf({ info }: DescriptorReference, pids: JobPids): OpenFile["lease"] {
  const lease = info.locks.find(({ type }) => type === "LEASE");
  return lease === undefined ? undefined : { exclusive: lease.mode === "WRITE", pid: pids.of(lease.pid as Pid) };
}

/** Somebody waits until the lease is given up, for as long as the kernel lets them: a restart could not make that again. */
export function refuseBreakingLease({ pid, fd, info }: DescriptorReference, name: Name): void {
  if (info.locks.every(({ type, state }) => type !== "LEASE" || state === "ACTIVE")) return;
  throw new CairnError(
    "unsupported",
    `Cannot save process ${pid}: descriptor ${fd} has a lease on ${nameToText(name)} that is being broken`,
    {
      data: { pid, fd, kind: "a lease that is being broken" },
      hint: "Try again when the program has given the lease up. The job was not changed",
    },
  );
}

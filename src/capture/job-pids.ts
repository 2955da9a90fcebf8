/**
 * Pids as the job sees them. A job in a pid namespace (a restarted one, a container) has numbers of its own; an image
 * holds those, and everything that touches a process now uses ours.
 */
import { CairnError } from "../base/errors.ts";
import type { JobPid, Pid, Tid } from "../base/ids.ts";
import { asJobPid, asTid } from "../base/ids.ts";
import { readInnermostTid, readNamespaces, readStatus } from "../kernel/procfs/mod.ts";

export class JobPids {
  readonly #byOwn = new Map<number, JobPid>();
  readonly #groups = new Map<number, JobPid>();
  #namespace: bigint | undefined;

  /** Learns the numbers of a process and its threads. Refuses a tree that spans pid namespaces. */
  add(pid: Pid, tids: readonly Tid[]): void {
    const namespace = readNamespaces(pid)?.pid;
    if (namespace !== undefined) {
      if (this.#namespace !== undefined && this.#namespace !== namespace) {
        throw new CairnError("unsupported", `Cannot save process ${pid}: it is in another pid namespace than the rest of the job`, {
          data: { pid },
          hint: "Checkpoint the processes inside that namespace on their own, by their pid",
        });
      }
      this.#namespace = namespace;
    }
    const status = readStatus(pid);
    if (status !== null) this.#byOwn.set(pid, asJobPid(status.namespacePids.at(-1) ?? pid));
    for (const tid of tids) {
      if (tid === asTid(pid)) continue;
      const own = readInnermostTid(pid, tid);
      if (own !== null) this.#byOwn.set(tid, asJobPid(own));
    }
  }

  /** 0 for one that is not in the tree. */
  of(own: Pid | Tid): JobPid {
    return this.#byOwn.get(own) ?? asJobPid(0);
  }

  addGroup(own: Pid, seen: JobPid): void {
    this.#groups.set(own, seen);
  }

  /** A process group, its leader alive or not; 0 for one that is led from outside the tree. */
  ofGroup(own: Pid): JobPid {
    return this.#groups.get(own) ?? this.of(own);
  }

  has(own: Pid): boolean {
    return this.#byOwn.has(own);
  }
}

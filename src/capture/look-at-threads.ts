/**
 * Threads that have something of their own which Linux lets them have and a restart does not make again: directories and
 * umask, descriptors, namespaces. Looked for before the freeze and once more in it.
 */
import { CairnError } from "../base/errors.ts";
import type { Pid, Tid } from "../base/ids.ts";
import { asTid } from "../base/ids.ts";
import { compareKernelObjects } from "../kernel/kcmp.ts";
import { readThreadNamespace, readThreadStat } from "../kernel/procfs/mod.ts";
import type { NamespaceLink } from "../kernel/procfs/mod.ts";

/** Flags of the kernel's sched.h: the thread has begun to end, and shows less and less of itself; it is the kernel's own. */
const EXITING = 0x4;
const IO_WORKER = 0x10;

/** The others can't be changed by one thread of several; a mount namespace only together with the directory, which is looked at. */
const NAMESPACES: Partial<Record<NamespaceLink, string>> = {
  cgroup: "a cgroup namespace",
  ipc: "an ipc namespace",
  net: "a network namespace",
  uts: "a uts namespace",
  pid_for_children: "a pid namespace for its children",
  time_for_children: "a time namespace for its children",
};
const LINKS = Object.keys(NAMESPACES) as NamespaceLink[];

/** Throws a CairnError (`unsupported`). Thousands of threads are common: a few calls for each, and more only when they differ. */
export function lookAtThreads(pid: Pid, tids: readonly Tid[]): void {
  const others = tids.filter((tid) => tid !== asTid(pid));
  if (others.length === 0) return;
  const namespaces = LINKS.map((link) => readThreadNamespace(pid, asTid(pid), link));
  for (const tid of others) {
    if (differs("descriptors", pid, tid) && isProgram(pid, tid)) {
      throw refuse(pid, tid, "has descriptors of its own", "unshared descriptors", "Threads that called unshare(CLONE_FILES)");
    }
    if (differs("fileSystem", pid, tid) && isProgram(pid, tid)) {
      throw refuse(pid, tid, "has a current directory and umask of its own", "unshared directory", "Threads that called unshare(CLONE_FS)");
    }
    const other = LINKS.find((link, index) => readThreadNamespace(pid, tid, link) !== namespaces[index]);
    if (other !== undefined && isProgram(pid, tid)) {
      throw refuse(pid, tid, `has ${NAMESPACES[other]} of its own`, "thread namespace", "Namespaces that a job makes");
    }
  }
}

function differs(kind: "descriptors" | "fileSystem", pid: Pid, tid: Tid): boolean {
  try {
    return compareKernelObjects(kind, pid, tid as number as Pid) !== 0;
  } catch {
    return false; // It ended, or its descriptors are gone because it is ending.
  }
}

/** Whether what was seen is a thread of the program's that lives, and its process lives too. */
export function isProgram(pid: Pid, tid: Tid): boolean {
  return [asTid(pid), tid].every((one) => {
    const stat = readThreadStat(pid, one);
    return stat !== null && stat.state !== "Z" && (stat.flags & (EXITING | IO_WORKER)) === 0;
  });
}

function refuse(pid: Pid, tid: Tid, what: string, kind: string, who: string): CairnError {
  return new CairnError("unsupported", `Cannot save process ${pid}: its thread ${tid} ${what}`, {
    data: { pid, tid, kind },
    hint: `${who} are not carried over yet. The job was not changed`,
  });
}

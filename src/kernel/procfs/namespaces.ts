/** /proc/PID/ns: which namespace of each type a process is in; two processes share one when the inodes are equal. */
import type { Pid, Tid } from "../../base/ids.ts";
import { classifyLink } from "./descriptors.ts";
import { readProcLinkBytes } from "./read.ts";

export const NAMESPACE_LINKS = [
  "cgroup",
  "ipc",
  "mnt",
  "net",
  "pid",
  "pid_for_children",
  "time",
  "time_for_children",
  "user",
  "uts",
] as const;
export type NamespaceLink = (typeof NAMESPACE_LINKS)[number];

/** Inodes by link; a type that this kernel lacks (and `pid_for_children` before its first child) is left out. Null when the process is gone. */
export function readNamespaces(pid: Pid): Partial<Record<NamespaceLink, bigint>> | null {
  const namespaces: Partial<Record<NamespaceLink, bigint>> = {};
  let found = false;
  for (const link of NAMESPACE_LINKS) {
    const text = readProcLinkBytes(`/proc/${pid}/ns/${link}`);
    if (text === null) continue;
    const target = classifyLink(text.toString("latin1"));
    if (target.kind !== "namespace") continue;
    namespaces[link] = target.inode;
    found = true;
  }
  return found ? namespaces : null;
}

/** That of one thread, which may have left its process's: a text that is the same for the same namespace. Null as above. */
export function readThreadNamespace(pid: Pid, tid: Tid, link: NamespaceLink): string | null {
  return readProcLinkBytes(`/proc/${pid}/task/${tid}/ns/${link}`)?.toString("latin1") ?? null;
}

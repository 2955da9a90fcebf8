/**
 * Which descriptors of which processes are one open file description. Duplicated and inherited descriptors share one
 * (and with it their position and status flags); the kernel tells by kcmp(2).
 */
import type { Pid } from "../base/ids.ts";
import { compareKernelObjects } from "../kernel/kcmp.ts";
import { listDescriptors, readDescriptorInfo, readDescriptorTarget } from "../kernel/procfs/mod.ts";
import type { DescriptorInfo, DescriptorTarget } from "../kernel/procfs/mod.ts";

export const O_CLOEXEC = 0o2000000;

/** One descriptor of one process. */
export interface DescriptorReference {
  readonly pid: Pid;
  readonly fd: number;
  readonly target: DescriptorTarget;
  readonly info: DescriptorInfo;
}

/** One open file description and all who refer to it, the first found first. */
export interface Description {
  readonly id: number;
  readonly references: readonly [DescriptorReference, ...DescriptorReference[]];
}

export function listReferences(pid: Pid): DescriptorReference[] {
  return (listDescriptors(pid) ?? []).flatMap((fd) => referenceTo(pid, fd) ?? []);
}

/** Null when there is no such descriptor any more. */
export function referenceTo(pid: Pid, fd: number): DescriptorReference | null {
  const target = readDescriptorTarget(pid, fd);
  const info = readDescriptorInfo(pid, fd);
  return target === null || info === null ? null : { pid, fd, target, info };
}

/** Sorts all references into descriptions, numbered from 0. Precondition: the processes are frozen. */
export function groupDescriptions(references: readonly DescriptorReference[]): Description[] {
  const buckets = new Map<string, DescriptorReference[]>();
  for (const reference of references) {
    const key = likeness(reference);
    const bucket = buckets.get(key);
    if (bucket === undefined) buckets.set(key, [reference]);
    else bucket.push(reference);
  }
  const groups: [DescriptorReference, ...DescriptorReference[]][] = [];
  for (const bucket of buckets.values()) groups.push(...separate(bucket));
  const order = new Map(references.map((reference, index) => [reference, index]));
  for (const group of groups) group.sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0));
  groups.sort((a, b) => (order.get(a[0]) ?? 0) - (order.get(b[0]) ?? 0));
  return groups.map((group, id) => ({ id, references: group }));
}

/** What two references to one description always have in common: cheap to compare, so that kcmp need not. */
function likeness({ target, info }: DescriptorReference): string {
  const flags = info.flags & ~O_CLOEXEC;
  return `${flags} ${info.pos} ${info.mountId} ${info.inode} ${JSON.stringify(target, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value))}`;
}

function separate(bucket: DescriptorReference[]): [DescriptorReference, ...DescriptorReference[]][] {
  const compare = (a: DescriptorReference, b: DescriptorReference): number => compareKernelObjects("file", a.pid, b.pid, a.fd, b.fd);
  const sorted = bucket.length > 1 ? [...bucket].sort(compare) : bucket;
  const groups: [DescriptorReference, ...DescriptorReference[]][] = [];
  let last: [DescriptorReference, ...DescriptorReference[]] | undefined;
  for (const reference of sorted) {
    if (last !== undefined && compare(last[0], reference) === 0) last.push(reference);
    else {
      last = [reference];
      groups.push(last);
    }
  }
  return groups;
}

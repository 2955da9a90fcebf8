/**
 * A job that runs, looked at for all that stands against saving it, and for what a restart would not bring back as it is.
 * Like the look before a checkpoint only as deep as can be without stopping anybody: what a process alone can ask the kernel
 * (a ring that a thread registered with itself) shows at the checkpoint.
 */
import { CairnError } from "../base/errors.ts";
import type { Pid } from "../base/ids.ts";
import type { OpenFile, ProcessImage } from "../image/mod.ts";
import { listThreads, readMaps, readStatus } from "../kernel/procfs/mod.ts";
import { rootsOf } from "./capture.ts";
import { groupDescriptions, listReferences } from "./descriptors.ts";
import type { Description, DescriptorReference } from "./descriptors.ts";
import { inspectDescription } from "./files.ts";
import { JobPids } from "./job-pids.ts";
import { obstacles, processesBelow } from "./look.ts";
import { findLosses } from "./losses.ts";
import type { Loss } from "./losses.ts";
import { lostRing, planMapping } from "./mappings.ts";
import type { TreeSelection } from "./mod.ts";
import { resolveEpollTargets } from "./open-files.ts";
import type { Found } from "./open-files.ts";
import { Relations } from "./relations.ts";
import { ringIds } from "./rings.ts";
import { WatchedPaths } from "./watched-paths.ts";

export interface Examination {
  /** Why it cannot be saved now; empty when it can. */
  readonly obstacles: readonly CairnError[];
  readonly losses: readonly Loss[];
  readonly processes: number;
  readonly threads: number;
  readonly descriptors: number;
  /** Anonymous memory in use, swapped or not: about what an image would hold. */
  readonly memoryBytes: number;
  /** Who is whose parent, group and session, in the job's own numbers: whether a restart can make that again it has to say itself. */
  readonly members: readonly Pick<ProcessImage, "pid" | "parentPid" | "processGroup" | "session">[];
}

/** Touches nothing. Throws a CairnError (`exited`) when nothing runs; what ends meanwhile may surface as ENOENT or ESRCH. */
export function examineTree(tree: TreeSelection): Examination {
  using watchedPaths = new WatchedPaths();
  const found = [...obstacles(rootsOf(tree), tree, "thorough", watchedPaths)];
  const hidden = new Set(found.flatMap(({ code, data }) => (code === "permission" ? [data["pid"]] : [])));
  const pids = [...processesBelow(rootsOf(tree))];
  const statuses = pids.flatMap((pid) => {
    const status = readStatus(pid);
    return status === null || status.state === "X" ? [] : [status];
  });
  const living = statuses.filter(({ pid, state }) => state !== "Z" && !hidden.has(pid)).map(({ pid }) => pid);
  const references = living.flatMap((pid) => listReferences(pid));
  const descriptions = groupDescriptions(references);
  return {
    obstacles: [...found, ...lostEpollTargets(descriptions), ...lostRings(living, descriptions)],
    losses: findLosses(living, inspected(descriptions)),
    processes: statuses.length,
    threads: statuses.reduce((sum, { threads, state }) => sum + (state === "Z" ? 0 : threads), 0),
    descriptors: references.length,
    memoryBytes: statuses.reduce((sum, { residentAnonymousBytes, swappedBytes }) => sum + residentAnonymousBytes + swappedBytes, 0),
    members: membersOf(
      living,
      statuses.filter(({ state }) => state === "Z").map(({ pid }) => pid),
      tree,
    ),
  };
}

/** Those that can be carried over; what can't is among the obstacles. */
function inspected(descriptions: readonly Description[]): Found[] {
  return descriptions.flatMap((description) => {
    try {
      return [{ description, inspected: inspectDescription(description) }];
    } catch (error) {
      if (error instanceof CairnError || isGone(error)) return [];
      throw error;
    }
  });
}

/** What an epoll instance watches may be open in any process of the job: that takes a view of all of them. */
function lostEpollTargets(descriptions: readonly Description[]): CairnError[] {
  return descriptions.flatMap((description) => {
    const reference: DescriptorReference = description.references[0];
    if (reference.target.kind !== "anonymous" || reference.target.anonymous !== "eventpoll") return [];
    const files: OpenFile[] = [];
    files[description.id] = { kind: "epoll", id: description.id, flags: reference.info.flags, targets: [] };
    try {
      resolveEpollTargets(files, descriptions);
    } catch (error) {
      if (error instanceof CairnError) return error.code === "unsupported" ? [error] : [];
      throw error;
    }
    return [];
  });
}

function lostRings(pids: readonly Pid[], descriptions: readonly Description[]): CairnError[] {
  const rings = ringIds(descriptions);
  return pids.flatMap((pid) =>
    (readMaps(pid) ?? []).flatMap((entry) => {
      const key = tryRingKey(pid, entry);
      return key !== undefined && (rings.get(key) ?? null) === null ? [lostRing(pid, entry)] : [];
    }),
  );
}

function tryRingKey(pid: Pid, entry: Parameters<typeof planMapping>[1]): string | undefined {
  try {
    return planMapping(pid, entry, undefined)?.ringKey;
  } catch (error) {
    if (error instanceof CairnError) return undefined;
    throw error;
  }
}

function membersOf(living: readonly Pid[], zombies: readonly Pid[], selection: TreeSelection): Examination["members"] {
  const pids = new JobPids();
  try {
    for (const pid of living) pids.add(pid, listThreads(pid) ?? []);
    for (const pid of zombies) pids.add(pid, []);
  } catch (error) {
    if (error instanceof CairnError) return []; // Several pid namespaces: an obstacle already.
    throw error;
  }
  const relations = new Relations({ processes: living.map((pid) => ({ pid })), zombies }, pids, selection);
  return relations.parentsFirst().map((pid) => relations.describe(pid, null, 0, new Map()));
}

function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ESRCH" || code === "EACCES";
}

/** fanotify groups: what each has marked, by name. Events that were not read are lost, for to read one opens a file. */
import { CairnError } from "../base/errors.ts";
import { encodeName } from "../base/names.ts";
import type { Name } from "../base/names.ts";
import type { OpenFile } from "../image/mod.ts";
import { duplicateFrom, openProcess } from "../kernel/descriptors.ts";
import { FAN_CLASSES_THAT_DECIDE } from "../kernel/fanotify.ts";
import { unreadBytes } from "../kernel/inotify.ts";
import { readDescriptorInfo, readMountInfo } from "../kernel/procfs/mod.ts";
import type { FanotifyMark, MountInfo } from "../kernel/procfs/mod.ts";
import type { DescriptorReference } from "./descriptors.ts";
import type { WatchedPaths } from "./watched-paths.ts";

type FanotifyFile = Extract<OpenFile, { kind: "fanotify" }>;

/** Throws a CairnError (`unsupported`) for a mark on what is not found. Precondition: the process is frozen. */
export function captureFanotify(
  reference: DescriptorReference,
  common: { readonly id: number; readonly flags: number },
  paths: WatchedPaths,
  warnings: string[],
): FanotifyFile {
  const { pid, fd, info } = reference;
  const { flags = 0, eventFlags = 0, marks = [] } = info.fanotify ?? {};
  using process = openProcess(pid);
  using own = duplicateFrom(process, pid, fd);
  if (unreadBytes(own.fd) > 0) {
    warnings.push(`Process ${pid} has not read all events of its fanotify descriptor ${fd}: after a restart it is not told of them`);
  }
  const mounts = readMountInfo(pid) ?? [];
  return {
    kind: "fanotify",
    ...common,
    groupFlags: flags,
    eventFlags,
    marks: marks.map((mark) => ({
      on: mark.on,
      name: nameOf(reference, mark, mounts, paths),
      markFlags: mark.markFlags,
      mask: mark.mask,
      ignoredMask: mark.ignoredMask,
    })),
  };
}

/** Refuses groups whose answer others wait for: as long as the job stands nobody would answer, and Cairn opens files, too. */
export function inspectFanotify({ pid, fd, info }: DescriptorReference): void {
  if (((info.fanotify?.flags ?? 0) & FAN_CLASSES_THAT_DECIDE) === 0) return;
  throw new CairnError(
    "unsupported",
    `Cannot save process ${pid}: descriptor ${fd} is a fanotify group that decides about accesses to files`,
    {
      data: { pid, fd, kind: "a fanotify group that decides" },
      hint: "While the job stands whoever opens a marked file would wait for it, and Cairn opens files as well; close it, or use FAN_CLASS_NOTIF. The job was not changed",
    },
  );
}

/** Looks for what is marked while the job still runs: it may take a while. */
export function lookAtMarks(reference: DescriptorReference, paths: WatchedPaths): void {
  const mounts = readMountInfo(reference.pid) ?? [];
  for (const mark of reference.info.fanotify?.marks ?? []) {
    try {
      nameOf(reference, mark, mounts, paths);
    } catch (error) {
      const now = readDescriptorInfo(reference.pid, reference.fd)?.fanotify?.marks ?? [];
      if (now.some((one) => one.on === mark.on && one.inode === mark.inode && one.mountId === mark.mountId)) throw error;
    }
  }
}

function nameOf(reference: DescriptorReference, mark: FanotifyMark, mounts: readonly MountInfo[], paths: WatchedPaths): Name {
  const { device } = mark;
  if (mark.on === "file") {
    const path = paths.find(reference.pid, { ...mark, watch: 0 });
    if (path !== null) return encodeName(path);
  } else {
    const mount = mounts.find((one) =>
      mark.on === "mount" ? one.id === mark.mountId : one.deviceMajor === device.major && one.deviceMinor === device.minor,
    );
    if (mount !== undefined) return mount.mountPoint;
  }
  const { pid, fd } = reference;
  throw new CairnError(
    "unsupported",
    `Cannot save process ${pid}: descriptor ${fd} is a fanotify group with a mark on a ${mark.on} whose name is not found`,
    {
      data: { pid, fd, kind: "a fanotify group", on: mark.on },
      hint: "The kernel tells only root the name of a marked file, and no name of a removed one: try as root, or close the descriptor. The job was not changed",
    },
  );
}

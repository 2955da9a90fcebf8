/** inotify instances: what each watches, by name, and whether events wait in it that a restart cannot bring back. */
import { CairnError } from "../base/errors.ts";
import { encodeName } from "../base/names.ts";
import type { OpenFile } from "../image/mod.ts";
import { duplicateFrom, openProcess } from "../kernel/descriptors.ts";
import { unreadBytes } from "../kernel/inotify.ts";
import { readDescriptorInfo } from "../kernel/procfs/mod.ts";
import type { InotifyWatch } from "../kernel/procfs/mod.ts";
import type { DescriptorReference } from "./descriptors.ts";
import type { WatchedPaths } from "./watched-paths.ts";

/** A restart gives a watch its number by making and removing others: so many and no more. */
const LARGEST_WATCH = 1_000_000;

type InotifyFile = Extract<OpenFile, { kind: "inotify" }>;

/** Throws a CairnError (`unsupported`) for a watch on a file that is not found. Precondition: the process is frozen. */
export function captureInotify(
  reference: DescriptorReference,
  common: { readonly id: number; readonly flags: number },
  paths: WatchedPaths,
  warnings: string[],
): InotifyFile {
  const watches = reference.info.inotify
    .map((watch) => ({ watch: watch.watch, name: encodeName(pathOf(reference, watch, paths)), mask: watch.mask }))
    .sort((a, b) => a.watch - b.watch);
  using process = openProcess(reference.pid);
  using own = duplicateFrom(process, reference.pid, reference.fd);
  const unread = unreadBytes(own.fd);
  if (unread > 0) {
    warnings.push(
      `Process ${reference.pid} has not read all events of its inotify descriptor ${reference.fd}: after a restart it is told that it has missed some (IN_Q_OVERFLOW)`,
    );
  }
  return { kind: "inotify", ...common, watches, unreadBytes: unread };
}

/** Looks for what is watched while the job still runs: it may take a while. What is found is remembered by `paths`. */
export function lookAtWatches(reference: DescriptorReference, paths: WatchedPaths): void {
  for (const watch of reference.info.inotify) {
    try {
      pathOf(reference, watch, paths);
    } catch (error) {
      if (isStillThere(reference, watch)) throw error;
    }
  }
}

/** The job runs: what was watched may have been removed, and the watch with it. */
function isStillThere({ pid, fd }: DescriptorReference, { watch, inode }: InotifyWatch): boolean {
  const now = readDescriptorInfo(pid, fd)?.inotify ?? [];
  return now.some((one) => one.watch === watch && one.inode === inode);
}

function pathOf(reference: DescriptorReference, watch: InotifyWatch, paths: WatchedPaths): Buffer {
  const { pid, fd } = reference;
  const refuse = (why: string, hint: string): CairnError =>
    new CairnError("unsupported", `Cannot save process ${pid}: descriptor ${fd} is an inotify instance whose watch ${watch.watch} ${why}`, {
      data: { pid, fd, kind: "an inotify instance", watch: watch.watch },
      hint: `${hint}. The job was not changed`,
    });
  if (watch.watch > LARGEST_WATCH) throw refuse("has a number that a restart cannot give again", "Not carried over yet");
  const path = paths.find(pid, watch);
  if (path !== null) return path;
  const { major, minor } = watch.device;
  throw refuse(
    `is on a file without a name to be found (inode ${watch.inode} of device ${major}:${minor})`,
    "The kernel tells only root the name of a watched file, and no name of a removed one: try as root, or close the descriptor",
  );
}

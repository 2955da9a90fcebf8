/** fanotify groups, and their marks, which are added when all that a restart does to files is done, so that none sees it. */
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { nameToBuffer, nameToText } from "../base/names.ts";
import type { OpenFile } from "../image/mod.ts";
import { O_NONBLOCK } from "../kernel/abi/constants.ts";
import { errnoName } from "../kernel/errno.ts";
import {
  FAN_MARK_DONT_FOLLOW,
  FAN_MARK_EVICTABLE,
  FAN_MARK_FILESYSTEM,
  FAN_MARK_IGNORE,
  FAN_MARK_IGNORED_MASK,
  FAN_MARK_IGNORED_SURV_MODIFY,
  FAN_MARK_MOUNT,
  FAN_NONBLOCK,
  makeFanotify,
  tryAddMark,
} from "../kernel/fanotify.ts";

type FanotifyFile = Extract<OpenFile, { kind: "fanotify" }>;

const ON = { file: FAN_MARK_DONT_FOLLOW, mount: FAN_MARK_MOUNT, "file system": FAN_MARK_FILESYSTEM } as const;

/** Whether it blocks is a flag of the description, which may have changed since. */
export function openFanotify(file: FanotifyFile): Fd {
  const blocking = (file.flags & O_NONBLOCK) === 0 ? 0 : FAN_NONBLOCK;
  try {
    return makeFanotify((file.groupFlags & ~FAN_NONBLOCK) | blocking, file.eventFlags);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new CairnError(
      error.code,
      `Cannot restart: the job has a fanotify group, and none like it can be made here: ${error.errnoName}`,
      {
        hint: "Restart as root, and under a kernel that is not older than the checkpoint's",
        cause: error,
      },
    );
  }
}

export function addMarks(fd: Fd, { marks }: FanotifyFile): void {
  for (const { on, name, markFlags, mask, ignoredMask } of marks) {
    const path = nameToBuffer(name);
    const common = ON[on] | (markFlags & FAN_MARK_EVICTABLE);
    const ignoring = (markFlags & FAN_MARK_IGNORE) === 0 ? FAN_MARK_IGNORED_MASK : FAN_MARK_IGNORE;
    const results = [
      ...(mask === 0 ? [] : [tryAddMark(fd, common, mask, path)]),
      ...(ignoredMask === 0 ? [] : [tryAddMark(fd, common | ignoring | (markFlags & FAN_MARK_IGNORED_SURV_MODIFY), ignoredMask, path)]),
    ];
    const failed = results.find((result) => result < 0);
    if (failed === undefined) continue;
    throw new CairnError("changed", `Cannot restart: cannot mark ${nameToText(name)} by fanotify as the job does: ${errnoName(-failed)}`, {
      data: { path: nameToText(name) },
    });
  }
}

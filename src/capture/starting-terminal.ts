/**
 * The terminal that the job was started on, as the job left it: a full-screen program has switched it to single keys without echo,
 * and expects to find it so. It counts only while the job is in the foreground; in the background the modes are the shell's.
 */
import type { Pid } from "../base/ids.ts";
import type { OpenFile } from "../image/mod.ts";
import { TCGETS2, TIOCGWINSZ } from "../kernel/abi/constants.ts";
import { duplicateFrom, openProcess, tryIoctlBuffer } from "../kernel/descriptors.ts";
import { readStat } from "../kernel/procfs/mod.ts";
import type { Description } from "./descriptors.ts";
import type { JobPids } from "./job-pids.ts";

const TERMIOS2_BYTES = 44;
const WINSIZE_BYTES = 8;

type Modes = Pick<Extract<OpenFile, { kind: "terminal" }>, "modes">;

/** Empty for a job in the background, and where the terminal does not answer (it has hung up). */
export function startingTerminalModes(description: Description, pids: JobPids): Modes {
  const foregroundGroup = foregroundGroupOf(description);
  if (foregroundGroup === null) return {};
  const { pid, fd } = description.references[0];
  using process = openProcess(pid);
  using own = duplicateFrom(process, pid, fd);
  const termios = Buffer.alloc(64);
  const windowSize = Buffer.alloc(64);
  if (tryIoctlBuffer(own.fd, TCGETS2, termios) < 0 || tryIoctlBuffer(own.fd, TIOCGWINSZ, windowSize) < 0) return {};
  return {
    modes: {
      termios: termios.toString("base64", 0, TERMIOS2_BYTES),
      windowSize: windowSize.toString("base64", 0, WINSIZE_BYTES),
      foregroundGroup: pids.ofGroup(foregroundGroup),
    },
  };
}

/** The group in the foreground, if one of the processes that have the terminal open is in it. */
function foregroundGroupOf(description: Description): Pid | null {
  for (const { pid } of description.references) {
    const stat = readStat(pid);
    if (stat !== null && stat.ttyForegroundGroup === stat.processGroup) return stat.processGroup;
  }
  return null;
}

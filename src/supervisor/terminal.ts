/**
 * What /proc says about our terminal and who is around it. Nothing here opens or changes it.
 */
import { asPid } from "../base/ids.ts";
import type { Pid } from "../base/ids.ts";
import { hasEnded, listProcesses, readStat } from "../kernel/procfs/mod.ts";

export interface TerminalState {
  readonly controllingTerminal: boolean;
  /** Our process group is the foreground group. */
  readonly foreground: boolean;
  /** 0 without a terminal. */
  readonly foregroundGroup: Pid;
  readonly ownGroup: Pid;
}

export function readTerminalState(): TerminalState {
  const stat = readStat(asPid(process.pid));
  if (stat === null) return { controllingTerminal: false, foreground: false, foregroundGroup: asPid(0), ownGroup: asPid(0) };
  const controllingTerminal = stat.ttyDevice !== null;
  return {
    controllingTerminal,
    foreground: controllingTerminal && stat.ttyForegroundGroup === stat.processGroup,
    foregroundGroup: asPid(controllingTerminal && stat.ttyForegroundGroup > 0 ? stat.ttyForegroundGroup : 0),
    ownGroup: stat.processGroup,
  };
}

/**
 * Whether somebody is there who sees a process of our group stop and can continue it: a parent in our session and outside of our group. Otherwise
 * the group is orphaned, as POSIX.1 3.264 calls it. A parent that we may not look at is one.
 */
export function canBeContinued(): boolean {
  const own = readStat(asPid(process.pid));
  if (own === null) return false;
  const parents = new Set(membersOf(own.processGroup).map(({ parentPid }) => parentPid));
  return [...parents].some((pid) => {
    if (pid <= 1) return false;
    const parent = readStat(pid);
    return parent === null || (parent.session === own.session && parent.processGroup !== own.processGroup);
  });
}

/** Whether nothing of a group runs any more, so that no key would reach anybody. */
export function hasDiedOut(group: Pid): boolean {
  const members = membersOf(group);
  if (members.length > 0) return members.every(hasEnded);
  try {
    process.kill(-Number(group), 0);
    return false; // Members that this /proc hides.
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

function membersOf(group: Pid): NonNullable<ReturnType<typeof readStat>>[] {
  return listProcesses().flatMap((pid) => {
    const stat = readStat(pid);
    return stat?.processGroup === group ? [stat] : [];
  });
}

/**
 * The terminal between us and a job that has a process group of its own: a program that a shell had started by itself before it was
 * saved, a shell as the job.
 *
 * Whoever started `cairn` knows our group alone: it gives that the terminal, and takes it back when a process of it stops. So the job's group
 * is lent the terminal whenever ours is given it, and we take it back before we stop, and when the job has ended.
 *
 * Invariant: only what our group has is lent or changed. In the background the terminal is somebody else's.
 */
import { asPid } from "../base/ids.ts";
import type { Pid } from "../base/ids.ts";
import { setForegroundGroup, setModes, tryReadModes } from "../kernel/controlling-terminal.ts";
import { readStat } from "../kernel/procfs/mod.ts";
import type { Keeper } from "../tracee/mod.ts";
import { descendantsOf } from "./process-identity.ts";
import { hasDiedOut, readTerminalState } from "./terminal.ts";
import type { TerminalState } from "./terminal.ts";

export class TerminalLoan {
  /** As they were before the job could change them; null as long as we have not been in the foreground. */
  #modes: Buffer | null = null;
  #keeper: Keeper | undefined;
  /** The job's root was seen to have the terminal for its own group. */
  #isLent = false;

  /** Precondition: the job does not run yet. */
  constructor() {
    this.#noteModes();
  }

  /** `isLent`: the job has the terminal, or is to have it whenever we do. */
  attach(keeper: Keeper, isLent: boolean): void {
    this.#keeper = keeper;
    this.#isLent = isLent;
  }

  #noteModes(): void {
    if (this.#modes === null && readTerminalState().foreground) this.#modes = tryReadModes();
  }

  /** The group of the job's root, where it is not ours and has been lent the terminal: then keys are for it; else null. */
  borrower(): Pid | null {
    const group = this.#ownGroupOfRoot();
    return this.#isLent ? group : null;
  }

  /** Whether a group of the job other than ours is in the foreground. Then the root's is remembered as a borrower. */
  isWithJob({ foregroundGroup, ownGroup }: TerminalState): boolean {
    if (this.#keeper === undefined || foregroundGroup === 0 || foregroundGroup === ownGroup) return false;
    const isJobs = descendantsOf(this.#keeper.keeperPid).some((pid) => readStat(pid)?.processGroup === foregroundGroup);
    if (isJobs && this.#ownGroupOfRoot() !== null) this.#isLent = true;
    return isJobs;
  }

  #ownGroupOfRoot(): Pid | null {
    const root = this.#keeper === undefined ? null : readStat(this.#keeper.rootPid);
    return root === null || root.processGroup === readTerminalState().ownGroup ? null : root.processGroup;
  }

  /** We have been given the terminal, perhaps: then the job has it. */
  lend(): void {
    const group = this.borrower();
    if (!readTerminalState().foreground) return;
    this.#noteModes();
    if (group !== null) setForegroundGroup(group);
  }

  /** Precondition: the terminal is with the job. */
  takeBack(): void {
    setForegroundGroup(readTerminalState().ownGroup);
  }

  /**
   * The job has ended. One that was killed could not set the terminal's modes back; what one that ended by itself did to them
   * (`stty`, `reset`) was on purpose.
   */
  settle(wasKilled: boolean): void {
    const { foregroundGroup, foreground, controllingTerminal } = readTerminalState();
    if (controllingTerminal && !foreground && foregroundGroup > 0 && hasDiedOut(foregroundGroup)) this.takeBack();
    if (!wasKilled || this.#modes === null || !readTerminalState().foreground) return;
    if (tryReadModes()?.equals(this.#modes) === false) setModes(this.#modes);
  }
}

/** A process of the job in our session whose group is not ours: the shell that first started it led it by that group. */
export function isApart(pid: Pid): boolean {
  const own = readStat(asPid(process.pid));
  const other = readStat(pid);
  return own !== null && other !== null && own.session === other.session && own.processGroup !== other.processGroup;
}

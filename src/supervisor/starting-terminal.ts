/**
 * Gives the terminal of this restart the modes that the job had set on its own, and the job's foreground group the terminal.
 * The program does not know that it was away, and would wait for single keys on a terminal that sends lines.
 *
 * Only when we are in the foreground: a terminal is nobody's to change from the background.
 */
import { asPid } from "../base/ids.ts";
import type { Fd, Pid } from "../base/ids.ts";
import type { ImageMetadata } from "../image/mod.ts";
import { TCSETS2, TIOCGWINSZ } from "../kernel/abi/constants.ts";
import { setForegroundGroup } from "../kernel/controlling-terminal.ts";
import { tryIoctlBuffer } from "../kernel/descriptors.ts";
import { readStat, readStatus } from "../kernel/procfs/mod.ts";
import type { Keeper } from "../tracee/mod.ts";
import { descendantsOf } from "./process-identity.ts";
import { isApart } from "./terminal-loan.ts";
import { readTerminalState } from "./terminal.ts";

const WINSIZE_BYTES = 8;

type TerminalModes = NonNullable<Extract<ImageMetadata["openFiles"][number], { kind: "terminal" }>["modes"]>;

/**
 * Whether the group of the job's root is to have the terminal whenever ours does: it has one of its own, as a program has that a shell
 * started by itself. Not where the checkpoint saw another group, which is ours now, in the foreground.
 */
export function borrows(metadata: ImageMetadata, rootPid: Pid): boolean {
  const modes = modesOf(metadata);
  return isApart(rootPid) && (modes === undefined || modes.foregroundGroup !== 0);
}

function modesOf(metadata: ImageMetadata): TerminalModes | undefined {
  return metadata.openFiles.flatMap((file) => (file.kind === "terminal" && file.modes !== undefined ? [file.modes] : []))[0];
}

/**
 * Precondition: the job is complete below the keeper, and stands still. What cannot be set is left: a terminal that has gone away is no
 * reason not to run. Gives what to do when the job runs.
 */
export function takeTerminal(metadata: ImageMetadata, streams: readonly Fd[], keeper: Keeper): () => void {
  if (!readTerminalState().foreground) return () => undefined;
  const modes = modesOf(metadata);
  const terminal = streams.find((fd) => tryIoctlBuffer(fd, TIOCGWINSZ, Buffer.alloc(64)) >= 0);
  if (modes !== undefined && terminal !== undefined) tryIoctlBuffer(terminal, TCSETS2, padded(modes.termios));
  const group = foregroundGroupOf(metadata, keeper);
  if (group !== null) setForegroundGroup(group);
  const isResized = modes !== undefined && terminal !== undefined && !currentSize(terminal).equals(Buffer.from(modes.windowSize, "base64"));
  return () => {
    if (isResized) tellGroup(group ?? ownGroup(), keeper.keeperPid);
  };
}

/** A job that was saved in the background does not say who had its terminal; a shell would give it to the root's group. */
function foregroundGroupOf(metadata: ImageMetadata, { keeperPid, rootPid }: Keeper): Pid | null {
  const modes = modesOf(metadata);
  if (modes !== undefined) return modes.foregroundGroup === 0 ? null : groupNumber(modes.foregroundGroup, keeperPid);
  return borrows(metadata, rootPid) ? (readStat(rootPid)?.processGroup ?? null) : null;
}

/** The kernel tells a program of a change of size, and this one changed while it was away. */
function tellGroup(group: Pid, keeperPid: Pid): void {
  const members = descendantsOf(keeperPid).filter((pid) => readStat(pid)?.processGroup === group);
  for (const pid of members) {
    try {
      process.kill(pid, "SIGWINCH");
    } catch {
      // Ended meanwhile, or not ours to tell any more.
    }
  }
}

function ownGroup(): Pid {
  return readStat(asPid(process.pid))?.processGroup ?? asPid(0);
}

/** A job in a pid namespace has numbers of its own; and the group's leader may have ended. */
function groupNumber(jobGroup: number, keeperPid: Pid): Pid | null {
  const member = descendantsOf(keeperPid).find((pid) => readStatus(pid)?.namespacePgids.at(-1) === jobGroup);
  return member === undefined ? null : (readStat(member)?.processGroup ?? null);
}

function currentSize(terminal: Fd): Buffer {
  const size = Buffer.alloc(64);
  tryIoctlBuffer(terminal, TIOCGWINSZ, size);
  return size.subarray(0, WINSIZE_BYTES);
}

function padded(base64: string): Buffer {
  const buffer = Buffer.alloc(64);
  Buffer.from(base64, "base64").copy(buffer);
  return buffer;
}

/**
 * Our controlling terminal, whatever our standard streams are: its foreground group and its modes.
 *
 * Each function opens it for the moment of the call. None waits, and none throws: a terminal may be gone at any time.
 */
import { closeSync, constants, openSync } from "node:fs";
import { asFd } from "../base/ids.ts";
import type { Fd, Pid } from "../base/ids.ts";
import { TCGETS2, TCSETS2, TIOCSPGRP } from "./abi/constants.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { tryIoctlBuffer } from "./descriptors.ts";
import { addressOf } from "./memory-ffi.ts";
import { maskOf, SIGNALS } from "./signals.ts";
import { systemCall } from "./syscall-ffi.ts";

const TERMIOS2_BYTES = 44;
const SIG_BLOCK = 0;
const SIG_SETMASK = 2;

/** Whether the group is in the foreground now. It has to be one of our session. */
export function setForegroundGroup(group: Pid): boolean {
  const argument = Buffer.alloc(64);
  argument.writeInt32LE(group, 0);
  return onTerminal((terminal) => withoutStopping(() => tryIoctlBuffer(terminal, TIOCSPGRP, argument))) === 0;
}

/** A struct termios2; null without a terminal. */
export function tryReadModes(): Buffer | null {
  const termios = Buffer.alloc(64);
  return onTerminal((terminal) => tryIoctlBuffer(terminal, TCGETS2, termios)) === 0 ? termios.subarray(0, TERMIOS2_BYTES) : null;
}

export function setModes(termios: Buffer): void {
  const argument = Buffer.alloc(64);
  termios.copy(argument);
  // Not TCSETSW2: a terminal that was stopped by Ctrl-S would keep us waiting.
  onTerminal((terminal) => withoutStopping(() => tryIoctlBuffer(terminal, TCSETS2, argument)));
}

function onTerminal(act: (terminal: Fd) => number): number | null {
  let terminal: Fd;
  try {
    terminal = asFd(openSync("/dev/tty", constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK));
  } catch {
    return null;
  }
  try {
    return act(terminal);
  } finally {
    closeSync(terminal);
  }
}

/** The kernel stops the group of a process that changes its terminal from the background, unless SIGTTOU is blocked: tcsetpgrp(3). */
function withoutStopping(act: () => number): number {
  const mask = Buffer.alloc(64);
  const before = Buffer.alloc(64);
  mask.writeBigUInt64LE(maskOf(SIGNALS.SIGTTOU), 0);
  systemCall(SYSCALLS.rt_sigprocmask, SIG_BLOCK, addressOf(mask), addressOf(before), 8);
  try {
    return act();
  } finally {
    systemCall(SYSCALLS.rt_sigprocmask, SIG_SETMASK, addressOf(before), 0, 8);
  }
}

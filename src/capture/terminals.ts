/** Pseudo-terminals whose master is held in the tree: settings, size, and whose terminal it is. */
import type { Fd } from "../base/ids.ts";
import { TIOCGPTPEER } from "../kernel/abi/constants.ts";
import { OwnedFd, POLLHUP, pollNow, tryIoctlBuffer } from "../kernel/descriptors.ts";
import { systemCall } from "../kernel/syscall-ffi.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { readTerminalBytes } from "./terminal-bytes.ts";

const TCGETS2 = 0x802c542a;
const TIOCGWINSZ = 0x5413;
const TIOCGSID = 0x5429;
const TIOCGPGRP = 0x540f;
const TIOCGPKT = 0x80045438;
const TIOCGPTLCK = 0x80045439;
const TIOCGEXCL = 0x80045440;
const O_RDWR_NOCTTY_NONBLOCK_CLOEXEC = 0o2 | 0o400 | 0o4000 | 0o2000000;
const TERMIOS2_BYTES = 44;
const WINSIZE_BYTES = 8;

export interface TerminalState {
  readonly termios: string;
  readonly windowSize: string;
  readonly locked: boolean;
  readonly packetMode: boolean;
  readonly exclusive: boolean;
  /** Whose controlling terminal it is, and its foreground group, in this process's numbering; 0 for none. */
  readonly session: number;
  readonly foregroundGroup: number;
  /** Every process that had its slave open has closed it: the master reads an error once its output is read. */
  readonly slaveClosed?: boolean;
  readonly outputStopped?: boolean;
  /** As in the image. */
  readonly output: string;
  readonly input: string;
}

/**
 * What can be asked of a pty through its master, and the bytes in it. `slaveOfTree` is any descriptor that the tree has on the
 * slave, null when it has none. Precondition: every process that holds the pty stands still.
 */
export function readTerminal(master: Fd, slaveOfTree: OwnedFd | null, warn: (problem: string) => void): TerminalState {
  const isClosed = slaveOfTree === null && (pollNow(master, 0) & POLLHUP) !== 0;
  const state = {
    termios: settings(master, TCGETS2, TERMIOS2_BYTES),
    windowSize: settings(master, TIOCGWINSZ, WINSIZE_BYTES),
    locked: word(master, TIOCGPTLCK) === 1,
    packetMode: word(master, TIOCGPKT) === 1,
    exclusive: word(master, TIOCGEXCL) === 1,
    session: word(master, TIOCGSID),
    foregroundGroup: word(master, TIOCGPGRP),
    ...(isClosed ? { slaveClosed: true } : {}),
  };
  // To open and close a slave that was never open would make the master read an error instead of waiting for one.
  if (slaveOfTree === null && !isClosed) return { ...state, output: "", input: "" };
  // A terminal that is locked or exclusive can't be opened again: then the job's own descriptor has to do.
  using opened = openSlave(master);
  const slave = opened ?? slaveOfTree;
  if (slave === null) {
    warn("bytes that wait in it are not carried over, since it can't be opened");
    return { ...state, output: "", input: "" };
  }
  const { input, output, isStopped, problems } = readTerminalBytes(
    master,
    slave.fd,
    Buffer.from(state.termios, "base64"),
    state.packetMode,
  );
  problems.forEach(warn);
  return { ...state, ...(isStopped ? { outputStopped: true } : {}), output: output.toString("base64"), input: input.toString("base64") };
}

function openSlave(master: Fd): OwnedFd | null {
  const fd = systemCall(SYSCALLS.ioctl, master, TIOCGPTPEER, O_RDWR_NOCTTY_NONBLOCK_CLOEXEC);
  return fd < 0 ? null : new OwnedFd(fd);
}

function settings(fd: Fd, request: number, lengthBytes: number): string {
  const bytes = Buffer.alloc(64);
  return tryIoctlBuffer(fd, request, bytes) < 0 ? "" : bytes.subarray(0, lengthBytes).toString("base64");
}

function word(fd: Fd, request: number): number {
  const bytes = Buffer.alloc(64);
  return tryIoctlBuffer(fd, request, bytes) < 0 ? 0 : bytes.readInt32LE(0);
}

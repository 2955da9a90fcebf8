/** Pseudo-terminals made anew: under the numbers that they had, where those are free, and with the bytes that waited in them. */
import { closeSync, writeSync } from "node:fs";
import { SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import type { ImageMetadata } from "../image/mod.ts";
import { FD_CLOEXEC, F_SETFD, O_NOCTTY, O_NONBLOCK, O_RDWR, TIOCGPTN, TIOCGPTPEER } from "../kernel/abi/constants.ts";
import { O_LARGEFILE } from "../kernel/abi/x86-64/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { control, ioctlBuffer } from "../kernel/descriptors.ts";
import { errnoName } from "../kernel/errno.ts";
import { duplicate, openFile } from "../kernel/open.ts";
import { systemCall } from "../kernel/syscall-ffi.ts";
import { TERMIOS2_BYTES, putInput, putOutput, stopOutput } from "../kernel/terminal-queues.ts";

type PtyImage = ImageMetadata["ptys"][number];

/** A number is reached by taking all free ones below it: no more than this for one restart. */
const MOST_MASTERS = 160;

/**
 * A master for each of the terminals, by id. The kernel gives the lowest free number, so those before it are held until
 * all are made. A terminal whose number another program has gets any other.
 */
export function openMasters(images: readonly PtyImage[]): Map<number, Fd> {
  const wanted = new Map(images.map((image) => [image.index, image.id]));
  const masters = new Map<number, Fd>();
  const spare: Fd[] = [];
  const highest = Math.max(...wanted.keys());
  for (let opened = 0; wanted.size > 0 && opened < MOST_MASTERS; opened += 1) {
    const master = tryOpenMaster();
    if (master === null) break;
    const index = indexOf(master);
    const id = wanted.get(index);
    if (id === undefined) spare.push(master);
    else masters.set(id, master);
    wanted.delete(index);
    if (index >= highest) break;
  }
  for (const id of wanted.values()) masters.set(id, spare.pop() ?? openMaster());
  for (const fd of spare) closeSync(fd);
  // Down to the lowest descriptors: those of a restart have to stay below the ones that are passed on.
  for (const [id, fd] of masters) {
    masters.set(id, duplicate(fd));
    closeSync(fd);
  }
  return masters;
}

export function indexOf(master: Fd): number {
  const index = Buffer.alloc(64);
  ioctlBuffer(master, TIOCGPTN, index);
  return index.readInt32LE(0);
}

function openMaster(): Fd {
  return openFile(Buffer.from("/dev/ptmx"), O_RDWR);
}

/** null when there are no more to be had. */
function tryOpenMaster(): Fd | null {
  try {
    return openMaster();
  } catch (error) {
    if (error instanceof SyscallError) return null;
    throw error;
  }
}

/** A new open file description of the slave, as open(2) makes it. */
export function slaveOf(master: Fd, flags: number): Fd {
  // The kernel takes the flags as they are: close-on-exec would stay visible in the description for good.
  const result = systemCall(SYSCALLS.ioctl, master, TIOCGPTPEER, flags | O_LARGEFILE | O_NOCTTY);
  if (result < 0) throw new SyscallError("ioctl(TIOCGPTPEER)", -result, errnoName(-result));
  control(result as Fd, F_SETFD, FD_CLOEXEC);
  return result as Fd;
}

/** What the user should know of it, or null. Precondition: not in packet mode, which would tell the master of the change of modes. */
export function fillTerminal(master: Fd, image: PtyImage): string | null {
  const input = Buffer.from(image.input, "base64");
  const output = Buffer.from(image.output, "base64");
  if (input.length === 0 && output.length === 0 && image.slaveClosed !== true && image.outputStopped !== true) return null;
  const termios = Buffer.from(image.termios, "base64").subarray(0, TERMIOS2_BYTES);
  if (termios.length === 0) return `Terminal /dev/pts/${image.index}: what waited in it is lost, for its modes are not known`;
  const slave = slaveOf(master, O_RDWR | O_NONBLOCK);
  try {
    const writer = {
      put: writeSome,
      putInstead: (to: Fd, byte: number): void => void writeSync(to, Buffer.of(byte)),
    };
    // Output first: what is still to be echoed of the input comes behind it.
    const put = putOutput(slave, output, termios, writer) + putInput(master, slave, input, termios, writer);
    if (image.outputStopped === true) stopOutput(master, slave, termios);
    const missing = input.length + output.length - put;
    return missing === 0 ? null : `Terminal /dev/pts/${image.index}: the last ${missing} bytes that waited in it find no room in a new one`;
  } finally {
    closeSync(slave);
  }
}

/** How many bytes were taken: none where a terminal has no room. */
function writeSome(to: Fd, bytes: Uint8Array): number {
  try {
    return writeSync(to, bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
    throw error;
  }
}

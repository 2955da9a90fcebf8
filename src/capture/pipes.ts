/** Pipes and FIFOs: how much they hold, and the bytes in them, read without being taken out. */
import { closeSync, readSync, writeSync } from "node:fs";
import type { Fd } from "../base/ids.ts";
import { closeOnExecPipe } from "../kernel/spawn-ffi.ts";
import { control, ioctlBuffer, teePipe } from "../kernel/descriptors.ts";

const F_SETPIPE_SZ = 1031;
const F_GETPIPE_SZ = 1032;
const FIONREAD = 0x541b;

export interface PipeContent {
  readonly capacityBytes: number;
  readonly content: string[];
  /** Entries of `content` that were written as packets: a read ends with them, whatever mode the pipe has by now. */
  readonly packets: number[];
}

export function capacityOf(fd: Fd): number {
  return control(fd, F_GETPIPE_SZ);
}

/**
 * The bytes of a pipe, buffer by buffer: partly filled buffers count for the pipe's capacity, and in packet mode they are the packets.
 * Precondition: `fd` is a reading end (or one opened for both), and nobody reads or writes meanwhile.
 */
export function readPipeContent(fd: Fd): PipeContent {
  const capacityBytes = capacityOf(fd);
  const available = Buffer.alloc(64);
  ioctlBuffer(fd, FIONREAD, available);
  const bytes = available.readInt32LE(0);
  if (bytes === 0) return { capacityBytes, content: [], packets: [] };
  const copy = closeOnExecPipe();
  const single = closeOnExecPipe();
  const probe = closeOnExecPipe();
  try {
    control(copy.writeEnd, F_SETPIPE_SZ, capacityBytes);
    // A pipe with room for one buffer: tee(2) into it gives the length of the first one.
    control(single.writeEnd, F_SETPIPE_SZ, 1);
    teePipe(fd, copy.writeEnd, bytes);
    const content: string[] = [];
    const packets: number[] = [];
    for (let length = teePipe(copy.readEnd, single.writeEnd, bytes); length > 0; length = teePipe(copy.readEnd, single.writeEnd, bytes)) {
      if (isPacket(single.readEnd, probe, length)) packets.push(content.length);
      content.push(take(copy.readEnd, length).toString("base64"));
      take(single.readEnd, length);
    }
    return { capacityBytes, content, packets };
  } finally {
    for (const end of [copy.readEnd, copy.writeEnd, single.readEnd, single.writeEnd, probe.readEnd, probe.writeEnd]) closeSync(end);
  }
}

/** The kernel marks the buffer of a packet, and tells of it by ending a read there: a byte behind it is not read along. */
function isPacket(from: Fd, probe: { readonly readEnd: Fd; readonly writeEnd: Fd }, lengthBytes: number): boolean {
  teePipe(from, probe.writeEnd, lengthBytes);
  writeSync(probe.writeEnd, "\0");
  const got = readSync(probe.readEnd, Buffer.alloc(lengthBytes + 1), 0, lengthBytes + 1, null);
  if (got === lengthBytes + 1) return false;
  take(probe.readEnd, lengthBytes + 1 - got);
  return got === lengthBytes;
}

function take(fd: Fd, lengthBytes: number): Buffer {
  const buffer = Buffer.alloc(lengthBytes);
  for (let got = 0; got < lengthBytes;) got += readSync(fd, buffer, got, lengthBytes - got, null);
  return buffer;
}

/** What waits in a pipe or FIFO. */
import { closeSync, writeSync } from "node:fs";
import type { Fd } from "../base/ids.ts";
import type { ImageMetadata } from "../image/mod.ts";
import { F_SETFL, F_SETPIPE_SZ, O_NONBLOCK } from "../kernel/abi/constants.ts";
import { O_DIRECT } from "../kernel/abi/x86-64/constants.ts";
import { control, movePipe, tryControl } from "../kernel/descriptors.ts";
import { closeOnExecPipe } from "../kernel/spawn-ffi.ts";

/**
 * Fills a pipe buffer by buffer. Written one after the other, buffers that are filled in part would be joined; moved
 * in from another pipe they stay apart. The last one is written, for the next write may be joined to it.
 */
export function fillPipe(writeEnd: Fd, image: ImageMetadata["pipes"][number], packets: ReadonlySet<number>): void {
  tryControl(writeEnd, F_SETPIPE_SZ, image.capacityBytes);
  const last = image.content.length - 1;
  const through = closeOnExecPipe();
  try {
    image.content.forEach((content, index) => {
      const bytes = Buffer.from(content, "base64");
      const isPacket = packets.has(index);
      const to = isPacket || index < last ? through.writeEnd : writeEnd;
      control(to, F_SETFL, O_NONBLOCK | (isPacket ? O_DIRECT : 0));
      for (let written = 0; written < bytes.length;) written += writeSync(to, bytes, written);
      if (to !== writeEnd) movePipe(through.readEnd, writeEnd, bytes.length);
    });
  } finally {
    closeSync(through.readEnd);
    closeSync(through.writeEnd);
  }
}

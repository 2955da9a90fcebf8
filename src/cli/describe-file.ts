/** What a descriptor is open on, in words. */
import { formatBytes } from "../base/bytes.ts";
import { assertNever } from "../base/assert.ts";
import { nameToText } from "../base/names.ts";
import { plural } from "./format.ts";
import type { ImageMetadata, OpenFile } from "../image/mod.ts";
import { describeSocketFile } from "./describe-socket.ts";

export function describeOpenFile(file: OpenFile, metadata: ImageMetadata): string {
  switch (file.kind) {
    case "file": {
      const note = file.deleted ? ", deleted, its content is saved" : file.savedFile === undefined ? "" : ", its content is saved";
      return `${nameToText(file.name)} at byte ${file.positionBytes}${note}`;
    }
    case "directory":
    case "path":
    case "device":
    case "proc":
    case "terminal":
      return nameToText(file.name);
    case "pipe":
      return pipeText(file.pipe, metadata);
    case "fifo":
      return `${nameToText(file.name)}, ${pipeText(file.pipe, metadata)}`;
    case "message-queue":
      return queueText(file.queue, metadata);
    case "eventfd":
      return `count ${file.count}${file.semaphore ? ", semaphore" : ""}`;
    case "epoll":
      return `watches ${plural(file.targets.length, "descriptor")}`;
    case "signalfd":
      return `mask ${file.mask}`;
    case "timerfd":
      return `clock ${file.clock}, ${file.valueNs === "0" ? "not armed" : `armed, ${file.valueNs} ns to go`}`;
    case "inotify":
      return `watches ${plural(file.watches.length, "file")}`;
    case "fanotify":
      return plural(file.marks.length, "mark");
    case "pidfd":
      return file.pid === 0 ? "of a process that has ended" : `of process ${file.pid}`;
    case "io-uring":
      return `${plural(file.submissionEntries, "entry", "entries")}, ${plural(file.requests, "request")} so far`;
    case "memfd": {
      const memory = metadata.sharedMemory.find(({ id }) => id === file.shared);
      return memory === undefined ? "" : `${nameToText(memory.name)}, ${formatBytes(memory.sizeBytes)}`;
    }
    case "pty-master":
    case "pty-slave":
      return `pair ${file.pty}`;
    case "unix-socket":
    case "internet-socket":
    case "netlink-socket":
      return describeSocketFile(file);
    case "outside":
      return `${file.description}; a restart binds it to its own descriptor ${file.stream}`;
    default:
      return assertNever(file);
  }
}

function pipeText(id: number, metadata: ImageMetadata): string {
  const content = metadata.pipes.find((pipe) => pipe.id === id)?.content ?? [];
  const bytes = content.reduce((sum, part) => sum + Buffer.byteLength(part, "base64"), 0);
  return `pipe ${id}, ${bytes === 0 ? "empty" : `${formatBytes(bytes)} unread`}`;
}

function queueText(id: number, metadata: ImageMetadata): string {
  const queue = metadata.messageQueues?.find((one) => one.id === id);
  if (queue === undefined) return "";
  const waiting = queue.messages === undefined ? "its messages are not saved" : plural(queue.messages.length, "message");
  return `/${nameToText(queue.name)}${queue.removed ? ", removed" : ""}, ${waiting}`;
}

const ACCESS = ["read", "write", "read/write"] as const;
const O_ACCMODE = 3;
const O_APPEND = 0o2000;
const O_NONBLOCK = 0o4000;

/** `write, append`: how it is open. */
export function describeFlags(flags: number): string {
  const words = [ACCESS[(flags & O_ACCMODE) as 0 | 1 | 2] ?? "path"];
  return [...words, ...((flags & O_APPEND) === 0 ? [] : ["append"]), ...((flags & O_NONBLOCK) === 0 ? [] : ["non-blocking"])].join(", ");
}

/**
 * TCP connections with both ends in the job: what one end has written, and how far it has come at the other.
 *
 * The job stands still, the network does not: bytes may still go from one queue into the other, by a timer or because there is room again. So
 * both queues are read again together, until nothing has moved meanwhile; a sender that is in repair sends nothing.
 */
import type { Fd } from "../base/ids.ts";
import type { OpenFile } from "../image/mod.ts";
import { IPPROTO_TCP, SOL_SOCKET, SO_REUSEADDR, numberOption, peekMessage, setOption, socketOption } from "../kernel/sockets.ts";
import { countStep } from "../kernel/syscall-ffi.ts";
import {
  REPAIR_OFF_QUIETLY,
  TCP_SEND_QUEUE,
  leaveRepair,
  readableBytes,
  selectQueue,
  tryEnterRepair,
  unacknowledgedBytes,
} from "../kernel/tcp-repair.ts";
import { Guard } from "../tracee/guard.ts";
import { callsOutOfRepair } from "./connections.ts";
import type { DescriptorReference } from "./descriptors.ts";
import { refuseForNow } from "./socket-context.ts";

type InternetSocket = Extract<OpenFile, { kind: "internet-socket" }>;

const TCP_INFO = 11;
/** struct tcp_info, include/uapi/linux/tcp.h */
const INFO = { notSentBytes: 144, receivedBytes: 128, sentBytes: 200, sentAgainBytes: 208, length: 216 } as const;
/** What moves comes to rest within a few looks. */
const MOST_LOOKS = 200;

/** One direction of a connection. */
export interface Direction {
  readonly sender: { readonly file: InternetSocket; readonly fd: Fd; readonly reference: DescriptorReference };
  readonly receiver: { readonly file: InternetSocket; readonly fd: Fd };
}

/** Sets the sender's `unsent` and the receiver's `unread`. Throws a CairnError (`unsupported`) where this user may not look, or nothing comes to rest. */
export function settle({ sender, receiver }: Direction): void {
  for (let look = 0; look < MOST_LOOKS; look += 1) {
    const found = lookAtBoth(sender.fd, receiver.fd, sender.reference);
    if (found === null) continue;
    receiver.file.unread = found.unread.length === 0 ? [] : [{ content: found.unread.toString("base64") }];
    if (found.unsent.length > 0) sender.file.unsent = found.unsent.toString("base64");
    return;
  }
  throw refuseForNow(sender.reference, "a TCP connection with bytes on their way");
}

/** Null when something has moved. */
function lookAtBoth(sender: Fd, receiver: Fd, reference: DescriptorReference): { readonly unread: Buffer; readonly unsent: Buffer } | null {
  const queued = unacknowledgedBytes(sender);
  using repair = queued === 0 ? null : new Repair(sender);
  const here = infoOf(sender);
  const before = infoOf(receiver);
  const unread = readableBytes(receiver);
  const bytes = unread === 0 ? Buffer.alloc(0) : (peekMessage(receiver, unread)?.bytes ?? Buffer.alloc(0));
  const queue = repair?.isOn === true ? repair.sendQueue(queued) : null;
  const after = infoOf(receiver);
  if (here === null || before === null || after === null) throw refuseForNow(reference, "a TCP connection with bytes on their way");
  if (before.received !== after.received || bytes.length !== readableBytes(receiver)) return null;
  // The end of a stream counts as a byte, at either side, once it is sent or received.
  const unsentBytes = Math.max(0, Math.min(queued, here.written - after.received));
  if (unsentBytes === 0) return { unread: bytes, unsent: Buffer.alloc(0) };
  if (queue === null)
    throw refuseForNow(
      reference,
      `a TCP connection with ${unsentBytes} bytes that its other end has no room for, which only root can look at`,
    );
  return { unread: bytes, unsent: queue.subarray(Math.max(0, queue.length - unsentBytes)) };
}

function infoOf(fd: Fd): { readonly written: number; readonly received: number } | null {
  const info = socketOption(fd, IPPROTO_TCP, TCP_INFO);
  if (info === null || info.length < INFO.length) return null;
  const word = (at: number): number => Number(info.readBigUInt64LE(at));
  return {
    written: word(INFO.sentBytes) - word(INFO.sentAgainBytes) + info.readUInt32LE(INFO.notSentBytes),
    received: word(INFO.receivedBytes),
  };
}

/** A sender that sends nothing. A guard takes the socket out of repair should we be killed. */
class Repair implements Disposable {
  readonly isOn: boolean;
  readonly #fd: Fd;
  readonly #reuse: number;
  readonly #guard: Guard;

  constructor(fd: Fd) {
    this.#fd = fd;
    this.#reuse = numberOption(fd, SOL_SOCKET, SO_REUSEADDR) ?? 0;
    this.#guard = new Guard([fd], callsOutOfRepair(fd, this.#reuse));
    countStep("socket");
    this.isOn = tryEnterRepair(fd) >= 0;
  }

  /** All that is not acknowledged. */
  sendQueue(queued: number): Buffer {
    countStep("socket");
    selectQueue(this.#fd, TCP_SEND_QUEUE);
    return peekMessage(this.#fd, queued)?.bytes ?? Buffer.alloc(0);
  }

  [Symbol.dispose](): void {
    try {
      if (!this.isOn) return;
      countStep("socket");
      leaveRepair(this.#fd, REPAIR_OFF_QUIETLY);
      countStep("socket");
      setOption(this.#fd, SOL_SOCKET, SO_REUSEADDR, this.#reuse);
    } finally {
      this.#guard[Symbol.dispose]();
    }
  }
}

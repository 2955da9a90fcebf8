/** What the capture of one socket needs to know of all, and how a socket is refused. */
import { CairnError } from "../base/errors.ts";
import type { Fd, Pid } from "../base/ids.ts";
import type { OpenFile } from "../image/mod.ts";
import type { OwnedFd } from "../kernel/descriptors.ts";
import type { InternetSocketFacts, UnixSocketFacts } from "../kernel/socket-diagnostics.ts";
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  AF_UNIX,
  IPPROTO_TCP,
  IPPROTO_UDP,
  SOL_SOCKET,
  SO_DOMAIN,
  SO_PROTOCOL,
  SO_TYPE,
  describeSocket,
  numberOption,
  socketOption,
} from "../kernel/sockets.ts";
import type { DescriptorReference } from "./descriptors.ts";
import { duplicateOf, inodeOf } from "./socket-queues.ts";
import type { QueuedMessage } from "./socket-queues.ts";

const SO_GET_FILTER = 26;
const SOCK_RAW = 3;

export interface SocketContext {
  readonly unix: ReadonlyMap<number, UnixSocketFacts>;
  readonly internet: readonly InternetSocketFacts[];
  /** The open file of a socket of the job, by inode. */
  readonly idOf: (inode: number) => number | undefined;
  /** What was sent along with a message, as open files. */
  readonly rightsOf: (message: QueuedMessage) => number[];
  /** A duplicate of a socket of the job; null when it is none. */
  readonly open: (inode: number) => OwnedFd | null;
  readonly unread: (inode: bigint) => readonly QueuedMessage[];
  /** A process of the job by our number, as the job sees it; 0 for another. */
  readonly pidOf: (pid: Pid) => number;
  readonly warnings: string[];
}

/** Throws a CairnError (`unsupported`) for a kind of socket that can't be carried over; to be asked also while the job runs. */
export function inspectSocket(reference: DescriptorReference): void {
  using own = duplicateOf(reference);
  const domain = numberOption(own.fd, SOL_SOCKET, SO_DOMAIN);
  const protocol = numberOption(own.fd, SOL_SOCKET, SO_PROTOCOL);
  const type = numberOption(own.fd, SOL_SOCKET, SO_TYPE);
  const isInternet = domain === AF_INET || domain === AF_INET6;
  const isKnown =
    domain === AF_UNIX ||
    domain === AF_NETLINK ||
    (isInternet && type !== SOCK_RAW && (protocol === IPPROTO_TCP || protocol === IPPROTO_UDP));
  if (!isKnown) throw refuseSocket(reference, describeSocket(own.fd), "Sockets of this kind are not carried over. The job was not changed");
  if (hasFilter(own.fd))
    throw refuseSocket(
      reference,
      `${describeSocket(own.fd)} with a filter (SO_ATTACH_FILTER)`,
      "Socket filters are not carried over yet. The job was not changed",
    );
}

export function refuseSocket({ pid, fd }: DescriptorReference, what: string, hint: string): CairnError {
  return new CairnError("unsupported", `Cannot save process ${pid}: descriptor ${fd} is ${what}`, { data: { pid, fd, kind: what }, hint });
}

/** Something that passes by itself: a moment later it can be saved. */
export function refuseForNow(reference: DescriptorReference, what: string): CairnError {
  const { pid, fd } = reference;
  return new CairnError("unsupported", `Cannot save process ${pid}: descriptor ${fd} is ${what}`, {
    data: { pid, fd, kind: what, passes: true },
    hint: "This passes as soon as the program takes it up: try again. The job was not changed",
  });
}

/** SO_GET_FILTER asked with no room answers with the filter's length. */
function hasFilter(fd: Fd): boolean {
  const answer = socketOption(fd, SOL_SOCKET, SO_GET_FILTER, Buffer.alloc(0));
  return answer !== null && answer.length > 0;
}

export function messagesOf(context: SocketContext, reference: DescriptorReference): Extract<OpenFile, { kind: "unix-socket" }>["unread"] {
  return context.unread(inodeOf(reference)).map((message) => {
    const rights = context.rightsOf(message);
    return {
      content: message.bytes.toString("base64"),
      ...(message.from.length > 2 ? { from: message.from.toString("base64") } : {}),
      ...(rights.length > 0 ? { rights } : {}),
    };
  });
}

/**
 * tcp(7) and udp(7). A connection inside the job is known by its two addresses and what has been written and not read; sequence
 * numbers and windows are the kernel's affair and are made anew.
 *
 * What one end has written is in three places: received by the other end (looked at there), acknowledged or not; and not received
 * yet, since the other end has no room. The latter can be looked at in the sender's queue alone, in the mode of TCP_REPAIR, which needs
 * CAP_NET_ADMIN. How much it is, anybody can count: what was sent once and what was not sent, less what the other end has received.
 */
import type { Fd } from "../base/ids.ts";
import type { OpenFile } from "../image/mod.ts";
import { addressText, plainAddress } from "../kernel/internet-addresses.ts";
import { POLLERR, POLLIN, pollNow } from "../kernel/descriptors.ts";
import {
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_LAST_ACK,
  TCP_LISTEN,
  TCP_SYN_SENT,
} from "../kernel/socket-diagnostics.ts";
import type { InternetSocketFacts } from "../kernel/socket-diagnostics.ts";
import { readOptions } from "../kernel/socket-options.ts";
import { AF_INET, IPPROTO_TCP, SOL_SOCKET, SO_DOMAIN, SO_PROTOCOL, localAddress, numberOption, remoteAddress } from "../kernel/sockets.ts";
import type { DescriptorReference } from "./descriptors.ts";
import { membershipsOf } from "./multicast.ts";
import { messagesOf, refuseForNow } from "./socket-context.ts";
import type { SocketContext } from "./socket-context.ts";
import { inodeOf } from "./socket-queues.ts";

type InternetSocket = Extract<OpenFile, { kind: "internet-socket" }>;
/** What is on its way between two ends in the job is found later: see inner-connections.ts. */
type Connection = Pick<InternetSocket, "peer" | "waitsAt" | "lost">;

const POLLRDHUP = 0x2000;
const PORT_AT = 2;
const SENT_ITS_END = new Set([TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_CLOSING]);
const RECEIVED_THE_END = new Set([TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSING]);

export function captureInternetSocket(
  context: SocketContext,
  fd: Fd,
  reference: DescriptorReference,
  common: { readonly id: number; readonly flags: number },
): OpenFile {
  const family = numberOption(fd, SOL_SOCKET, SO_DOMAIN) === AF_INET ? 2 : 10;
  const protocol = numberOption(fd, SOL_SOCKET, SO_PROTOCOL) === IPPROTO_TCP ? 6 : 17;
  const local = localAddress(fd);
  const remote = remoteAddress(fd);
  const facts = context.internet.find(({ inode }) => inode === Number(inodeOf(reference)));
  const memberships = protocol === IPPROTO_TCP ? [] : membershipsOf(fd, family);
  return {
    kind: "internet-socket",
    ...common,
    family,
    protocol,
    shutdown: facts?.shutdown ?? 0,
    options: readOptions(fd, family, protocol).map(([level, name, value]) => [level, name, value.toString("base64")]),
    unread: messagesOf(context, reference),
    ...(local.readUInt16BE(PORT_AT) === 0 ? {} : { local: local.toString("base64") }),
    ...(remote === null ? {} : { remote: remote.toString("base64") }),
    ...(memberships.length === 0 ? {} : { memberships }),
    ...(protocol === IPPROTO_TCP ? stateOf(context, fd, reference, facts) : {}),
  };
}

function stateOf(
  context: SocketContext,
  fd: Fd,
  reference: DescriptorReference,
  facts: InternetSocketFacts | undefined,
): Connection & Pick<InternetSocket, "backlog"> {
  const state = facts?.state ?? TCP_CLOSE;
  if (state === TCP_LISTEN) return { backlog: facts?.sent ?? 0 };
  // A closed one that was connected has been shut down by the kernel both ways; one that never was, has not.
  if (state === TCP_CLOSE || facts === undefined) {
    const events = pollNow(fd, POLLIN | POLLRDHUP);
    if ((events & POLLRDHUP) === 0) return {};
    return { lost: (events & POLLERR) !== 0 ? "reset" : "closed" };
  }
  // Still being connected: the call that is under way, or the program's next one, finds that it failed.
  if (state === TCP_SYN_SENT) return connectingOf(reference, context);
  const other = otherEnd(context.internet, facts);
  const peer = other === undefined || other.inode === 0 ? undefined : context.idOf(other.inode);
  if (other !== undefined && peer !== undefined) return { peer };
  if (other !== undefined && other.inode === 0 && !SENT_ITS_END.has(other.state)) {
    const waitsAt = listenerOf(context, other);
    if (waitsAt === undefined) return outside(reference, facts, context);
    if (other.received > 0 || facts.sent > 0)
      throw refuseForNow(reference, "a TCP connection that was not accepted yet, with bytes on their way");
    return { waitsAt };
  }
  // An end on this machine that nobody has open any more.
  const isGone = other === undefined ? isLoopback(facts.remoteAddress) : other.inode === 0;
  if (isGone && (RECEIVED_THE_END.has(state) || SENT_ITS_END.has(state))) return { lost: "closed" };
  return outside(reference, facts, context);
}

function connectingOf({ pid, fd }: DescriptorReference, context: SocketContext): Connection {
  context.warnings.push(
    `Process ${pid}: descriptor ${fd} was being connected by TCP; after a restart the program finds that the connection failed`,
  );
  return { lost: "outside" };
}

function outside({ pid, fd }: DescriptorReference, facts: InternetSocketFacts, context: SocketContext): Connection {
  const address = `${addressText(facts.remoteAddress)}:${facts.remotePort}`;
  context.warnings.push(
    `Process ${pid}: descriptor ${fd} is a TCP connection to ${address}, outside the job; after a restart the program finds it reset, unless --tcp keep can keep it`,
  );
  return { lost: "outside" };
}

/** The kernel's record of the other end, where that is on this machine. */
export function otherEnd(all: readonly InternetSocketFacts[], facts: InternetSocketFacts): InternetSocketFacts | undefined {
  return all.find(
    (one) =>
      one.protocol === facts.protocol &&
      one.localPort === facts.remotePort &&
      one.remotePort === facts.localPort &&
      one.state !== TCP_LISTEN &&
      plainAddress(one.localAddress).equals(plainAddress(facts.remoteAddress)) &&
      plainAddress(one.remoteAddress).equals(plainAddress(facts.localAddress)),
  );
}

function listenerOf(context: SocketContext, waiting: InternetSocketFacts): number | undefined {
  const isAny = (address: Buffer): boolean => address.every((byte) => byte === 0);
  const found = context.internet.find(
    (one) =>
      one.state === TCP_LISTEN &&
      one.localPort === waiting.localPort &&
      (isAny(one.localAddress) || plainAddress(one.localAddress).equals(plainAddress(waiting.localAddress))) &&
      context.idOf(one.inode) !== undefined,
  );
  return found === undefined ? undefined : context.idOf(found.inode);
}

export function isLoopback(address: Buffer): boolean {
  const bytes = plainAddress(address);
  return bytes.length === 4 ? bytes[0] === 127 : bytes.equals(Buffer.from("00000000000000000000000000000001", "hex"));
}

/** TCP connections that lead out of the job: what a restart does with each, and why one can't be kept. Only looks. */
import { closeSync } from "node:fs";
import { CairnError, SyscallError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import type { ImageMetadata, SocketFile } from "../image/mod.ts";
import { addressText, plainAddress } from "../kernel/internet-addresses.ts";
import { readStatus } from "../kernel/procfs/mod.ts";
import {
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_LISTEN,
  listInternetSockets,
} from "../kernel/socket-diagnostics.ts";
import type { InternetSocketFacts } from "../kernel/socket-diagnostics.ts";
import { AF_INET, IPPROTO_TCP, IPPROTO_UDP, SOCK_DGRAM, bindSocket, openSocket } from "../kernel/sockets.ts";
import type { RestoreRequest } from "./mod.ts";

type InternetSocket = Extract<SocketFile, { kind: "internet-socket" }>;

export interface ConnectionComparison {
  readonly problems: readonly CairnError[];
  readonly notes: readonly string[];
  /** Open files that are to be kept. */
  readonly kept: ReadonlySet<number>;
}

const CAP_NET_ADMIN = 12n;
const CAP_NET_RAW = 13n;
const LIVING_PEERS: ReadonlySet<number> = new Set([TCP_ESTABLISHED, TCP_CLOSE_WAIT, TCP_FIN_WAIT1, TCP_FIN_WAIT2]);
const IS_KEPT = "Without --tcp keep the program finds it reset";

export function compareConnections(
  metadata: ImageMetadata,
  { tcp, held, takenUp }: Pick<RestoreRequest, "tcp" | "held" | "takenUp">,
): ConnectionComparison {
  const outward = metadata.openFiles.filter(
    (file): file is InternetSocket => file.kind === "internet-socket" && file.protocol === IPPROTO_TCP && file.lost === "outside",
  );
  const kept = new Set<number>();
  if (outward.length === 0) return { problems: [], notes: [], kept };
  const all = listInternetSockets();
  const problems: CairnError[] = [];
  const notes: string[] = [];
  for (const socket of outward) {
    const what = connectionText(metadata, socket);
    const isHeld = held?.openFiles.has(socket.id) === true;
    if (tcp === "reset") {
      notes.push(
        `${upperFirst(what)} leads out of the job: the program finds it reset${isHeld ? "; with --tcp keep it would be kept" : ""}`,
      );
    } else if (tcp === "fail") {
      problems.push(
        new CairnError("changed", `Cannot restart: ${what} leads out of the job, and --tcp fail allows none`, {
          data: { openFile: socket.id },
          hint: "With --tcp reset the program finds it reset, with --tcp keep it is kept where that is possible",
        }),
      );
    } else {
      const problem = isHeld ? null : whyNotKept(socket, all, what);
      if (problem !== null) problems.push(problem);
      else {
        kept.add(socket.id);
        notes.push(`${upperFirst(what)} leads out of the job: it is kept${howKept(socket, isHeld, takenUp)}`);
      }
    }
  }
  return { problems, notes, kept };
}

function howKept({ connection }: InternetSocket, isHeld: boolean, takenUp: boolean): string {
  if (isHeld) return ", held since the checkpoint";
  if (connection?.held === true && !takenUp) return ", made again";
  return " if its peer has heard nothing more of it since the checkpoint, which it is asked";
}

function whyNotKept(socket: InternetSocket, all: readonly InternetSocketFacts[], what: string): CairnError | null {
  const refuse = (code: "permission" | "changed" | "unsupported", why: string, hint = IS_KEPT): CairnError =>
    new CairnError(code, `Cannot restart: ${what} cannot be kept: ${why}`, { data: { openFile: socket.id }, hint });
  if (!mayRepair()) return refuse("permission", "that needs CAP_NET_ADMIN", `Restart as root. ${IS_KEPT}`);
  const { connection } = socket;
  if (connection === undefined || socket.local === undefined || socket.remote === undefined) {
    return refuse(
      "unsupported",
      "the checkpoint does not have its state",
      `Root's checkpoints have it; with cairn checkpoint --stop the connection ends with the job unless it is told --tcp keep. ${IS_KEPT}`,
    );
  }
  const local = Buffer.from(socket.local, "base64");
  const remote = Buffer.from(socket.remote, "base64");
  if (!isOurAddress(local)) {
    return refuse(
      "changed",
      "this machine does not have its address",
      `Give this machine, or its network namespace, the address. ${IS_KEPT}`,
    );
  }
  const same = all.find((one) => isBetween(one, local, remote));
  if (same !== undefined) {
    const isOpen = same.inode !== 0;
    return refuse(
      "changed",
      isOpen
        ? "another process has a connection between the same addresses"
        : "it was ended after the checkpoint, and its peer was told so",
    );
  }
  if (isOurAddress(remote) && !all.some((one) => isBetween(one, remote, local) && LIVING_PEERS.has(one.state)))
    return refuse("changed", "its other end, on this machine, is gone");
  return null;
}

function mayRepair(): boolean {
  const effective = readStatus(asPid(process.pid))?.capabilities.effective ?? 0n;
  return ((effective >> CAP_NET_ADMIN) & 1n) === 1n && ((effective >> CAP_NET_RAW) & 1n) === 1n;
}

/** Whether a socket can be bound to it, which any user may try. */
function isOurAddress(address: Buffer): boolean {
  const family = address.readUInt16LE(0);
  const anyPort = Buffer.from(address);
  anyPort.writeUInt16BE(0, 2);
  const fd = openSocket(family, SOCK_DGRAM, IPPROTO_UDP);
  try {
    bindSocket(fd, anyPort);
    return true;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return false;
  } finally {
    closeSync(fd);
  }
}

function isBetween(one: InternetSocketFacts, local: Buffer, remote: Buffer): boolean {
  return (
    one.protocol === IPPROTO_TCP &&
    one.state !== TCP_LISTEN &&
    one.localPort === portOf(local) &&
    one.remotePort === portOf(remote) &&
    plainAddress(one.localAddress).equals(addressOf(local)) &&
    plainAddress(one.remoteAddress).equals(addressOf(remote))
  );
}

export function portOf(address: Buffer): number {
  return address.readUInt16BE(2);
}

/** The address in a struct sockaddr: 4 bytes, also of a mapped one, or 16. */
export function addressOf(address: Buffer): Buffer {
  return plainAddress(address.readUInt16LE(0) === AF_INET ? address.subarray(4, 8) : address.subarray(8, 24));
}

/** `the TCP connection to 10.0.0.7:5432 (process 4242, descriptor 7)` */
export function connectionText({ processes }: ImageMetadata, { id, remote }: InternetSocket): string {
  const owner = processes
    .flatMap(({ pid, alive }) => (alive?.descriptors ?? []).map(({ fd, openFile }) => ({ pid, fd, openFile })))
    .find(({ openFile }) => openFile === id);
  const who = owner === undefined ? "on its way through a socket" : `process ${owner.pid}, descriptor ${owner.fd}`;
  return `the TCP connection${remote === undefined ? "" : ` to ${endText(Buffer.from(remote, "base64"))}`} (${who})`;
}

function endText(address: Buffer): string {
  return `${addressText(addressOf(address))}:${portOf(address)}`;
}

function upperFirst(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}

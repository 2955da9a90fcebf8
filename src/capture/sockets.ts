/**
 * All sockets of the job: what each is, whom it is connected with, and what waits in it.
 *
 * Who is connected with whom the kernel tells by sock_diag(7) alone. Unix sockets name their peer; of Internet connections both
 * ends are found by their addresses. An end that no process has open is one of three: it waits to be accepted, it was
 * closed and lives on until all is delivered, or it is somebody else's.
 */
import type { OpenFile } from "../image/mod.ts";
import { listInternetSockets, listUnixSockets } from "../kernel/socket-diagnostics.ts";
import { AF_NETLINK, AF_UNIX, IPPROTO_TCP, SOL_SOCKET, SO_DOMAIN, numberOption } from "../kernel/sockets.ts";
import type { Description, DescriptorReference } from "./descriptors.ts";
import { settle } from "./inner-connections.ts";
import { HeldConnections, lookIntoConnections } from "./connections.ts";
import type { ConnectionRule, Outward } from "./connections.ts";
import { addressText } from "../kernel/internet-addresses.ts";
import { captureInternetSocket, isLoopback, otherEnd } from "./internet-sockets.ts";
import type { JobPids } from "./job-pids.ts";
import { captureNetlinkSocket } from "./netlink-sockets.ts";
import { inspectSocket } from "./socket-context.ts";
import type { SocketContext } from "./socket-context.ts";
import { duplicateOf, inodeOf } from "./socket-queues.ts";
import type { SocketQueues } from "./socket-queues.ts";
import { captureUnixSocket } from "./unix-sockets.ts";

export class JobSockets {
  readonly #context: SocketContext;
  readonly #descriptions: readonly Description[];

  /** Precondition: the job is frozen. */
  constructor(descriptions: readonly Description[], queues: SocketQueues, pids: JobPids, warnings: string[]) {
    this.#descriptions = descriptions;
    const byInode = new Map<number, number>();
    const byReference = new Map<string, number>();
    for (const { id, references } of descriptions) {
      for (const { pid, fd } of references) byReference.set(`${pid} ${fd}`, id);
      if (references[0].target.kind === "socket") byInode.set(Number(references[0].target.inode), id);
    }
    const any = byInode.size > 0;
    this.#context = {
      unix: any ? listUnixSockets() : new Map(),
      internet: any ? listInternetSockets() : [],
      idOf: (inode) => byInode.get(inode),
      rightsOf: ({ rights }) => rights.flatMap(({ pid, fd }) => byReference.get(`${pid} ${fd}`) ?? []),
      open: (inode) => {
        const reference = descriptions[byInode.get(inode) ?? -1]?.references[0];
        return reference === undefined ? null : duplicateOf(reference);
      },
      unread: (inode) => queues.of(inode),
      pidOf: (pid) => pids.of(pid),
      warnings,
    };
  }

  capture(description: Description, common: { readonly id: number; readonly flags: number }): OpenFile {
    const reference = description.references[0];
    inspectSocket(reference);
    using own = duplicateOf(reference);
    switch (numberOption(own.fd, SOL_SOCKET, SO_DOMAIN)) {
      case AF_UNIX:
        return captureUnixSocket(this.#context, own.fd, reference, common);
      case AF_NETLINK:
        return captureNetlinkSocket(own.fd, reference, common);
      default:
        return captureInternetSocket(this.#context, own.fd, reference, common);
    }
  }

  /** What is on its way in connections inside the job, last of all: the network does not stand still. `files` are the image's. */
  settleConnections(files: readonly OpenFile[]): void {
    const referenceOf = (id: number): DescriptorReference | undefined => this.#descriptions.find((one) => one.id === id)?.references[0];
    for (const file of files) {
      if (file.kind !== "internet-socket" || file.protocol !== IPPROTO_TCP || file.peer === undefined) continue;
      const peer = files.find((one) => one.id === file.peer);
      const [here, there] = [referenceOf(file.id), referenceOf(file.peer)];
      if (peer?.kind !== "internet-socket" || here === undefined || there === undefined) continue;
      using sender = duplicateOf(here);
      using receiver = duplicateOf(there);
      settle({ sender: { file, fd: sender.fd, reference: here }, receiver: { file: peer, fd: receiver.fd } });
    }
  }

  /**
   * What a restart needs to keep the TCP connections that lead out of the job. `files` are the image's; their unread bytes are read anew, for
   * more may have come. Gives the connections that are held for the restart; null when none is. Precondition: the job is frozen.
   */
  saveConnections(files: readonly OpenFile[], rule: ConnectionRule): HeldConnections | null {
    if (rule === "leave") return null;
    const outward = files.flatMap((file): Outward[] => {
      const reference = this.#descriptions.find(({ id }) => id === file.id)?.references[0];
      const leadsOut = file.kind === "internet-socket" && file.protocol === IPPROTO_TCP && file.lost === "outside";
      return leadsOut && reference !== undefined ? [{ file, reference }] : [];
    });
    if (outward.length === 0) return null;
    if (rule === "hold") return new HeldConnections(outward);
    lookIntoConnections(outward);
    return null;
  }
}

/**
 * Connections that lead out of the job, in words, by open file description; for a look while the job runs. `descriptions` are all of
 * the job's.
 */
export function connectionsOutside(descriptions: readonly Description[]): Map<number, string> {
  const found = new Map<number, string>();
  const sockets = descriptions.filter(({ references: [one] }) => one.target.kind === "socket");
  if (sockets.length === 0) return found;
  const own = new Set(sockets.map(({ references: [one] }) => Number(inodeOf(one))));
  const unix = listUnixSockets();
  const internet = listInternetSockets();
  for (const { id, references } of sockets) {
    const inode = Number(inodeOf(references[0]));
    const peer = unix.get(inode)?.peerInode ?? 0;
    if (peer !== 0 && !own.has(peer)) found.set(id, "a Unix connection that leads out of the job");
    const facts = internet.find((one) => one.inode === inode);
    if (facts === undefined || facts.protocol !== IPPROTO_TCP || facts.remotePort === 0) continue;
    const other = otherEnd(internet, facts);
    // One that waits to be accepted has no inode yet.
    if (other === undefined ? !isLoopback(facts.remoteAddress) : other.inode !== 0 && !own.has(other.inode)) {
      found.set(id, `a TCP connection to ${addressText(facts.remoteAddress)}:${facts.remotePort}, outside the job`);
    }
  }
  return found;
}

/** unix(7): its names, its peer, what it listens to. */
import { lstatSync, readlinkSync, statSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import { encodeName } from "../base/names.ts";
import type { OpenFile } from "../image/mod.ts";
import type { Fd } from "../base/ids.ts";
import { asPid } from "../base/ids.ts";
import { POLLERR, POLLIN, pollNow } from "../kernel/descriptors.ts";
import { decodeDevice } from "../kernel/procfs/mod.ts";
import type { UnixSocketFacts } from "../kernel/socket-diagnostics.ts";
import { readOptions } from "../kernel/socket-options.ts";
import { AF_UNIX, SOCK_DGRAM, SOL_SOCKET, localAddress, remoteAddress, socketOption } from "../kernel/sockets.ts";
import type { DescriptorReference } from "./descriptors.ts";
import { messagesOf, refuseForNow, refuseSocket } from "./socket-context.ts";
import type { SocketContext } from "./socket-context.ts";
import { inodeOf } from "./socket-queues.ts";

type UnixSocket = Extract<OpenFile, { kind: "unix-socket" }>;

const SHUT_DOWN = 3;
const SO_PEERCRED = 17;
const PATH_AT = 2;

export function captureUnixSocket(
  context: SocketContext,
  fd: Fd,
  reference: DescriptorReference,
  common: { readonly id: number; readonly flags: number },
): OpenFile {
  const inode = Number(inodeOf(reference));
  const facts = context.unix.get(inode);
  if (facts === undefined)
    throw refuseSocket(reference, "a Unix socket of another network namespace", "Not carried over yet. The job was not changed");
  const local = nameOf(localAddress(fd));
  const remote = nameOf(remoteAddress(fd) ?? Buffer.alloc(0));
  return {
    kind: "unix-socket",
    ...common,
    ...credentialsOf(context, fd),
    type: facts.type as UnixSocket["type"],
    shutdown: facts.shutdown,
    options: readOptions(fd, AF_UNIX, 0).map(([level, name, value]) => [level, name, value.toString("base64")]),
    unread: messagesOf(context, reference),
    ...(local === null ? {} : { local: local.toString("base64"), ...fileOf(reference, local, facts) }),
    ...(remote === null || facts.type !== SOCK_DGRAM ? {} : { remote: remote.toString("base64") }),
    ...(facts.isListening ? { backlog: facts.sent } : connectionOf(context, fd, reference, facts)),
  };
}

/** struct ucred: pid, uid, gid. */
function credentialsOf(context: SocketContext, fd: Fd): Pick<UnixSocket, "credentials"> {
  const told = socketOption(fd, SOL_SOCKET, SO_PEERCRED);
  const pid = told === null ? 0 : context.pidOf(asPid(told.readInt32LE(0)));
  return told === null || pid === 0 ? {} : { credentials: { pid, uid: told.readUInt32LE(4), gid: told.readUInt32LE(8) } };
}

function connectionOf(
  context: SocketContext,
  fd: Fd,
  reference: DescriptorReference,
  facts: UnixSocketFacts,
): Pick<UnixSocket, "peer" | "waitsAt" | "lost"> {
  if (facts.peerInode === null) return {};
  const peer = facts.peerInode === 0 ? undefined : context.idOf(facts.peerInode);
  if (peer !== undefined) return { peer };
  if (facts.type === SOCK_DGRAM) return { lost: facts.peerInode === 0 ? "closed" : "outside" };
  for (const [listener, { waitingInodes }] of context.unix) {
    if (!waitingInodes.includes(facts.inode)) continue;
    const waitsAt = context.idOf(listener);
    if (waitsAt === undefined) return { lost: "outside" };
    if (facts.sent > 0) throw refuseForNow(reference, "a Unix connection that was not accepted yet, with bytes on their way");
    return { waitsAt };
  }
  if (facts.peerInode !== 0) return { lost: "outside" };
  // The other end is closed: the kernel has shut this one down, with an error if it had not read everything.
  if (facts.shutdown === SHUT_DOWN) return { lost: (pollNow(fd, POLLIN) & POLLERR) !== 0 ? "reset" : "closed" };
  return { lost: "outside" };
}

/** What follows the family in a struct sockaddr_un; null for a socket without a name. */
function nameOf(address: Buffer): Buffer | null {
  if (address.length <= PATH_AT) return null;
  const name = address.subarray(PATH_AT);
  // A path ends at its NUL, an abstract name begins with one and has its length.
  const end = name[0] === 0 ? name.length : name.indexOf(0);
  return name.subarray(0, end < 0 ? name.length : end);
}

function fileOf(reference: DescriptorReference, name: Buffer, facts: UnixSocketFacts): Pick<UnixSocket, "file"> {
  if (name[0] === 0) return {};
  const isAbsolute = name[0] === 0x2f;
  const path = isAbsolute ? name : Buffer.concat([workingDirectoryOf(reference), Buffer.from("/"), name]);
  const stat = facts.file === null ? undefined : lstatSync(path, { throwIfNoEntry: false });
  const isPresent = stat !== undefined && stat.ino === facts.file?.inode && isDevice(stat.dev, facts.file);
  const { mode, uid, gid } = isPresent ? stat : { mode: 0o755, uid: 0, gid: 0 };
  return { file: { name: encodeName(path), isPresent, mode: mode & 0o7777, uid, gid } };
}

function isDevice(device: number, { major, minor }: { readonly major: number; readonly minor: number }): boolean {
  const own = decodeDevice(device);
  return own.major === major && own.minor === minor;
}

/** A relative name is one of the directory in which the socket was bound: most likely that of the process that has it. */
function workingDirectoryOf({ pid }: DescriptorReference): Buffer {
  try {
    statSync(`/proc/${pid}/cwd`);
    return readlinkSync(`/proc/${pid}/cwd`, { encoding: "buffer" });
  } catch (error) {
    throw new CairnError("exited", `Process ${pid} ended while it was being saved`, { data: { pid }, cause: error });
  }
}

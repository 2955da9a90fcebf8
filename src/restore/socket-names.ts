/**
 * Names of Unix sockets that are files. A name is put there by binding, and serves those who connect by it; whether it stays
 * afterwards is as it was at the checkpoint: a program may have removed its socket's file and gone on.
 *
 * Invariants:
 * - a file that is no socket, and a socket that some program listens on, is never removed: `conflict`;
 * - a socket's file that nobody has open (the job's own, after a crash) makes room, and is made again by `undo`.
 */
import { chmodSync, chownSync, closeSync, lstatSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { nameToBuffer, nameToText } from "../base/names.ts";
import type { SocketFile } from "../image/mod.ts";
import { decodeDevice } from "../kernel/procfs/mod.ts";
import { listUnixSockets } from "../kernel/socket-diagnostics.ts";
import { AF_UNIX, SOCK_STREAM, bindSocket, connectSocket, openSocket } from "../kernel/sockets.ts";

type UnixSocket = Extract<SocketFile, { kind: "unix-socket" }>;
type SocketsFile = NonNullable<UnixSocket["file"]>;

interface Removed {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly name: Buffer;
  readonly path: Buffer;
}

export class SocketNames {
  /** By path: what was there before. */
  readonly #removed = new Map<string, Removed>();
  readonly #bound = new Set<string>();

  /** Throws a CairnError (`conflict`, `changed`, `permission`). */
  bind(fd: Fd, socket: UnixSocket): void {
    const name = Buffer.from(socket.local ?? "", "base64");
    if (socket.file === undefined) {
      this.#explain(`the abstract name @${name.subarray(1).toString("latin1")}`, () => bindSocket(fd, unixAddress(name)));
      return;
    }
    const path = nameToBuffer(socket.file.name);
    this.#makeRoom(path, name, socket.file);
    this.#explain(nameToText(socket.file.name), () => inDirectory(path, name, () => bindSocket(fd, unixAddress(name))));
    this.#bound.add(path.toString("latin1"));
  }

  /** Connects to a socket that has just been bound. */
  connect(fd: Fd, to: UnixSocket): void {
    const name = Buffer.from(to.local ?? "", "base64");
    if (to.file === undefined) connectSocket(fd, unixAddress(name));
    else inDirectory(nameToBuffer(to.file.name), name, () => connectSocket(fd, unixAddress(name)));
  }

  /** Where a relative name leads to the socket. */
  inDirectoryOf(socket: UnixSocket, work: () => void): void {
    const name = Buffer.from(socket.local ?? "", "base64");
    if (socket.file === undefined) work();
    else inDirectory(nameToBuffer(socket.file.name), name, work);
  }

  /** Nobody needs the name any more: it stays as it was at the checkpoint. */
  settle(socket: UnixSocket): void {
    if (socket.file === undefined) return;
    const path = nameToBuffer(socket.file.name);
    if (!socket.file.isPresent) {
      this.#remove(path);
      return;
    }
    const { mode, uid, gid } = socket.file;
    chmodSync(path, mode);
    if (process.geteuid?.() === 0) chownSync(path, uid, gid);
  }

  /** For a restart that is given up: every name as it was found. */
  undo(): void {
    for (const key of this.#bound) rmSync(Buffer.from(key, "latin1"), { force: true });
    for (const { mode, uid, gid, name, path } of this.#removed.values()) {
      const fd = openSocket(AF_UNIX, SOCK_STREAM, 0);
      try {
        inDirectory(path, name, () => bindSocket(fd, unixAddress(name)));
        chmodSync(path, mode);
        if (process.geteuid?.() === 0) chownSync(path, uid, gid);
      } finally {
        closeSync(fd);
      }
    }
    this.#bound.clear();
    this.#removed.clear();
  }

  #makeRoom(path: Buffer, name: Buffer, file: SocketsFile): void {
    if (this.#bound.has(path.toString("latin1"))) {
      this.#remove(path);
      return;
    }
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    const text = nameToText(file.name);
    if (!stat.isSocket()) {
      throw new CairnError("conflict", `Cannot restart: ${text}, where the job has a Unix socket, is something else now`, {
        data: { path: text },
        hint: "Move it away, then try again",
      });
    }
    const { major, minor } = decodeDevice(stat.dev);
    for (const { file: bound } of listUnixSockets().values()) {
      if (bound?.inode !== stat.ino || bound.major !== major || bound.minor !== minor) continue;
      throw new CairnError("conflict", `Cannot restart: another program has the Unix socket ${text} now`, {
        data: { path: text },
        hint: `End that program (ss -xlp shows which it is), then try again`,
      });
    }
    this.#removed.set(path.toString("latin1"), { mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, name, path });
    rmSync(path);
  }

  #remove(path: Buffer): void {
    rmSync(path, { force: true });
    this.#bound.delete(path.toString("latin1"));
  }

  #explain(text: string, bind: () => void): void {
    try {
      bind();
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (error.errnoName === "EADDRINUSE") {
        throw new CairnError("conflict", `Cannot restart: another program has ${text}, which a Unix socket of the job is bound to`, {
          hint: "End that program (ss -xlp shows which it is), then try again",
          cause: error,
        });
      }
      throw new CairnError(
        error.errnoName === "ENOENT" ? "changed" : error.code,
        `Cannot restart: cannot bind a Unix socket to ${text}: ${error.errnoName}`,
        {
          hint: error.errnoName === "ENOENT" ? "Make the directory again, then try again" : "Make sure that you may write there",
          cause: error,
        },
      );
    }
  }
}

/** struct sockaddr_un: the family, then the name; a path with its NUL. */
export function unixAddress(name: Uint8Array): Buffer {
  const address = Buffer.alloc(2 + name.length + (name[0] === 0 ? 0 : 1));
  address.writeUInt16LE(AF_UNIX, 0);
  address.set(name, 2);
  return address;
}

/** A relative name is one of the directory in which it is bound. */
function inDirectory(path: Buffer, name: Buffer, work: () => void): void {
  if (name[0] === 0x2f) {
    work();
    return;
  }
  const before = process.cwd();
  process.chdir(dirname(path.toString()));
  try {
    work();
  } finally {
    process.chdir(before);
  }
}

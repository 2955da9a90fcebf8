/**
 * TCP connections that lead out of the job: their state, for a restart that keeps them. Only TCP_REPAIR tells it, which needs
 * CAP_NET_ADMIN; where this user may not, a restart can't keep them.
 *
 * The job stands still, the network does not. So what is read is read again until two readings agree: the bytes that wait and the number
 * behind the last of them belong together. What was written can only become less, from its beginning.
 *
 * Invariants:
 * - killed at any moment, a socket is as it was: a guard takes it out of repair, takes its filter away, sets SO_REUSEADDR back;
 * - a connection that is held for a restart takes nothing in from the first look on, so that the image has all that its peer
 *   was told has arrived; what the peer sends meanwhile it sends again.
 */
import { CairnError, SyscallError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import type { Fd, Pid } from "../base/ids.ts";
import type { ConnectionState, OpenFile } from "../image/mod.ts";
import { PR_SET_NAME } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import type { OwnedFd } from "../kernel/descriptors.ts";
import { readStatus } from "../kernel/procfs/mod.ts";
import {
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_LAST_ACK,
} from "../kernel/socket-diagnostics.ts";
import {
  IPPROTO_TCP,
  SOL_SOCKET,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_SNDBUF,
  numberOption,
  peekMessage,
  setOption,
} from "../kernel/sockets.ts";
import { countStep } from "../kernel/syscall-ffi.ts";
import {
  REPAIR_OFF_QUIETLY,
  SO_DETACH_FILTER,
  TCP_NO_QUEUE,
  TCP_RECEIVE_QUEUE,
  TCP_REPAIR,
  TCP_SEND_QUEUE,
  TCP_USER_TIMEOUT,
  agreedOptions,
  dropContent,
  dropNothing,
  hasUpperLayer,
  leaveRepair,
  queueEnd,
  readableBytes,
  repairWindow,
  selectQueue,
  tcpInfo,
  timestampNow,
  tryEnterRepair,
  unacknowledgedBytes,
  unsentBytes,
} from "../kernel/tcp-repair.ts";
import type { TcpInfo } from "../kernel/tcp-repair.ts";
import { Guard } from "../tracee/guard.ts";
import type { GuardCall } from "../tracee/guard.ts";
import type { DescriptorReference } from "./descriptors.ts";
import { duplicateOf } from "./socket-queues.ts";

type InternetSocket = Extract<OpenFile, { kind: "internet-socket" }>;

/** What becomes of connections that lead out: looked into if this user may; held for the restart; left alone, since they end with the job. */
export type ConnectionRule = "look" | "hold" | "leave";

/** A connection with the socket of the image that it is, and where the job has it. */
export interface Outward {
  readonly file: InternetSocket;
  readonly reference: DescriptorReference;
}

const EPERM = 1;
const CAP_NET_ADMIN = 12n;
const GUARDED_AT_ONCE = 64;
const MOST_READINGS = 100;
const LONGEST_MS = 0x7fff_ffff;
const LARGEST_NUMBER = 0xffff_ffff;
/** Of all connections together: metadata have an end. A job that has written more than its peers take finds the rest of them reset. */
const MOST_QUEUED_BYTES = 64 << 20;
/** For how long connections are held: a restart on another day finds them reset. */
const HOLD_MS = 24 * 60 * 60 * 1000;
const SYNCHRONIZED = new Set([TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSING]);

export function callsOutOfRepair(fd: Fd, reuse: number): GuardCall[] {
  return [
    { number: SYSCALLS.setsockopt, arguments: [fd, IPPROTO_TCP, TCP_REPAIR, word(REPAIR_OFF_QUIETLY), 4] },
    // Leaving the mode forgets it.
    { number: SYSCALLS.setsockopt, arguments: [fd, SOL_SOCKET, SO_REUSEADDR, word(reuse), 4] },
  ];
}

/** Looks into connections of a job that runs on afterwards, if this user may. Precondition: the job is frozen. */
export function lookIntoConnections(outward: readonly Outward[]): void {
  if (!mayLook()) return;
  let queued = 0;
  for (let from = 0; from < outward.length; from += GUARDED_AT_ONCE) {
    using looked = new Sockets(outward.slice(from, from + GUARDED_AT_ONCE));
    using _guard = new Guard(
      looked.list.map(({ own }) => own.fd),
      looked.list.flatMap(({ own, reuse }) => callsOutOfRepair(own.fd, reuse)),
    );
    for (const one of looked.list) {
      const state = read(one, false);
      if (state === "forbidden") return;
      if (state === null) continue;
      queued += state.queued.length;
      if (queued <= MOST_QUEUED_BYTES) one.outward.file.connection = state;
    }
  }
}

/** A process in a user namespace of its own may have the capability and not be allowed all the same. */
function mayLook(): boolean {
  const capabilities = readStatus(asPid(process.pid))?.capabilities.effective ?? 0n;
  return ((capabilities >> CAP_NET_ADMIN) & 1n) === 1n;
}

/**
 * Connections of a job that is to end, held for its restart: the guard that would undo what is done here has the sockets open, and is told to go on
 * having them when the job is dead. Disposed of before that, everything is as it was.
 */
export class HeldConnections implements Disposable {
  readonly #sockets: Sockets;
  readonly #guard: Guard;
  #over = false;

  /** Throws a CairnError (`permission`, `unsupported`) for a connection that can't be held. Precondition: the job is frozen. */
  constructor(outward: readonly Outward[]) {
    if (!mayLook()) throw refusal(outward, "permission", "which needs CAP_NET_ADMIN");
    this.#sockets = new Sockets(outward);
    const { list } = this.#sockets;
    try {
      this.#guard = new Guard(
        list.map(({ own }) => own.fd),
        list.flatMap(({ own, reuse }) => [
          { number: SYSCALLS.setsockopt, arguments: [own.fd, SOL_SOCKET, SO_DETACH_FILTER, word(0), 4] },
          ...callsOutOfRepair(own.fd, reuse),
        ]),
        { calls: callsToHold(list.map(({ own }) => own.fd)), forMs: HOLD_MS },
      );
    } catch (error) {
      this.#sockets[Symbol.dispose]();
      throw error;
    }
    try {
      for (const one of list) {
        countStep("connection");
        quieten(one);
        const state = read(one, true);
        if (state === null) throw refusal([one.outward], "unsupported", "that is not connected, or not by TCP alone");
        if (state === "forbidden") throw refusal([one.outward], "permission", "which needs CAP_NET_ADMIN");
        one.outward.file.connection = state;
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Who holds, and which of its descriptors is which open file. */
  get pid(): Pid {
    return this.#guard.pid;
  }

  get sockets(): { readonly openFile: number; readonly fd: number }[] {
    return this.#sockets.list.map(({ outward, own }) => ({ openFile: outward.file.id, fd: own.fd }));
  }

  /** Precondition: no process of the job lives any more. */
  holdOn(): void {
    countStep("connection");
    this.#over = true;
    this.#guard.letHold();
    this.#sockets[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (this.#over) return;
    this.#over = true;
    for (const { own } of this.#sockets.list) {
      countStep("connection");
      dropNothing(own.fd);
    }
    this.#guard[Symbol.dispose]();
    this.#sockets[Symbol.dispose]();
  }
}

/** Whoever ends the guard resets the connections; until then nothing makes them end by themselves. */
function callsToHold(fds: readonly Fd[]): GuardCall[] {
  const set = (fd: Fd, level: number, name: number, value: Uint8Array): GuardCall => ({
    number: SYSCALLS.setsockopt,
    arguments: [fd, level, name, value, value.length],
  });
  const hardEnd = Buffer.alloc(8);
  hardEnd.writeInt32LE(1, 0);
  return [
    { number: SYSCALLS.prctl, arguments: [PR_SET_NAME, Buffer.from("cairn-holder\0")] },
    { number: SYSCALLS.chdir, arguments: [Buffer.from("/\0")] },
    // The standard streams of whoever took the checkpoint, and whatever else that had.
    ...closingAllBut(fds),
    ...fds.flatMap((fd) => [
      // So that the job can listen at its port again, whatever becomes of them.
      set(fd, SOL_SOCKET, SO_REUSEADDR, word(1)),
      set(fd, SOL_SOCKET, SO_LINGER, hardEnd),
      set(fd, SOL_SOCKET, SO_KEEPALIVE, word(0)),
      set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, word(LONGEST_MS)),
    ]),
  ];
}

function closingAllBut(fds: readonly Fd[]): GuardCall[] {
  const kept = [...fds].sort((a, b) => a - b);
  const starts = [0, ...kept.map((fd) => fd + 1)];
  const ends = [...kept.map((fd) => fd - 1), LARGEST_NUMBER];
  return starts.flatMap((start, index) => {
    const end = ends[index] ?? LARGEST_NUMBER;
    return start <= end ? [{ number: SYSCALLS.close_range, arguments: [start, end, 0] }] : [];
  });
}

interface Looked {
  readonly outward: Outward;
  readonly own: OwnedFd;
  readonly reuse: number;
}

/** Duplicates, closed when the scope ends. */
class Sockets implements Disposable {
  readonly list: Looked[] = [];

  constructor(outward: readonly Outward[]) {
    try {
      for (const one of outward) {
        const own = duplicateOf(one.reference);
        this.list.push({ outward: one, own, reuse: numberOption(own.fd, SOL_SOCKET, SO_REUSEADDR) ?? 0 });
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const { own } of this.list) own[Symbol.dispose]();
  }
}

/** Null for one that is not connected (any more), or not by TCP alone. What waits unread is set in the image's socket. */
function read({ outward, own: { fd }, reuse }: Looked, held: boolean): ConnectionState | "forbidden" | null {
  if (hasUpperLayer(fd)) return null;
  countStep("connection");
  const entered = tryEnterRepair(fd);
  if (entered === -EPERM) return "forbidden";
  if (entered < 0) return null;
  try {
    return inRepair(outward.file, fd, held);
  } finally {
    countStep("connection");
    leaveRepair(fd, REPAIR_OFF_QUIETLY);
    countStep("connection");
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, reuse);
  }
}

function inRepair(file: InternetSocket, fd: Fd, held: boolean): ConnectionState | null {
  for (let reading = 0; reading < MOST_READINGS; reading += 1) {
    const info = tcpInfo(fd);
    if (info === null || info.state === TCP_CLOSE || !SYNCHRONIZED.has(info.state)) return null;
    countStep("connection");
    selectQueue(fd, TCP_RECEIVE_QUEUE);
    const receiveSequence = queueEnd(fd);
    const unread = readableBytes(fd);
    const bytes = unread === 0 ? Buffer.alloc(0) : (peekMessage(fd, unread)?.bytes ?? Buffer.alloc(0));
    const window = repairWindow(fd);
    const isSteady = queueEnd(fd) === receiveSequence && bytes.length === unread && tcpInfo(fd)?.state === info.state;
    if (!isSteady) continue;
    countStep("connection");
    selectQueue(fd, TCP_SEND_QUEUE);
    const queued = unacknowledgedBytes(fd);
    const written = queued === 0 ? Buffer.alloc(0) : (peekMessage(fd, queued)?.bytes ?? Buffer.alloc(0));
    const sendSequence = queueEnd(fd);
    // After the bytes: what is sent meanwhile counts as sent.
    const notSent = Math.min(written.length, unsentBytes(fd));
    selectQueue(fd, TCP_NO_QUEUE);
    file.unread = bytes.length === 0 ? [] : [{ content: bytes.toString("base64") }];
    return stateFrom(fd, info, { sendSequence, receiveSequence, written, notSent, window, held });
  }
  return null;
}

interface Reading {
  readonly sendSequence: number;
  readonly receiveSequence: number;
  readonly written: Buffer;
  readonly notSent: number;
  readonly window: Buffer;
  readonly held: boolean;
}

function stateFrom(fd: Fd, info: TcpInfo, { written, notSent, window, ...reading }: Reading): ConnectionState {
  return {
    ...reading,
    state: info.state as ConnectionState["state"],
    queued: written.toString("base64"),
    notSentBytes: notSent,
    window: window.toString("base64"),
    ...agreedOptions(fd, info),
    timestamp: timestampNow(fd),
    buffers: [numberOption(fd, SOL_SOCKET, SO_SNDBUF) ?? 0, numberOption(fd, SOL_SOCKET, SO_RCVBUF) ?? 0],
  };
}

/** From here on the connection takes nothing in. */
function quieten({ outward, own }: Looked): void {
  try {
    dropContent(own.fd);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw refusal([outward], "unsupported", `to which no filter can be attached (${error.errnoName})`);
  }
}

function refusal(outward: readonly Outward[], code: "permission" | "unsupported", why: string): CairnError {
  const named = outward.map(({ reference: { pid, fd } }) => `descriptor ${fd} of process ${pid}`).join(" and ");
  const what = outward.length === 1 ? "the TCP connection that is" : "the TCP connections that are";
  return new CairnError(code, `Cannot hold ${what} ${named}, ${why}`, {
    data: { pid: outward[0]?.reference.pid, fd: outward[0]?.reference.fd, kind: "TCP connection" },
    hint:
      code === "permission"
        ? "Run the command as root, or without --tcp keep: the connection then ends with the job. The job was not changed"
        : "Try again without --tcp keep: the connection then ends with the job. The job was not changed",
  });
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value, 0);
  return bytes;
}

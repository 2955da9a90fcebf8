/**
 * TCP connections that lead out of the job, kept over a restart: taken from the process that holds them (see supervisor/held-connections.ts), or made
 * again by TCP_REPAIR as the checkpoint saw them, without a packet.
 *
 * A connection that was not held went on after the checkpoint, or may have. Made again as it was, it would be silently out of step with its peer:
 * bytes that the peer takes for repetitions, bytes that it never sends again. So its peer is asked first (see peer-check.ts), and
 * a connection that has gone on is refused. One that was held has not, up to the first restart from its checkpoint.
 *
 * Invariant: until `release` a restart that fails leaves each connection as it found it. One that was made again is deaf and in repair: it takes nothing
 * in and goes without a word. One that is held stays with its holder.
 */
import { closeSync } from "node:fs";
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import type { ConnectionState, ImageMetadata, SocketFile } from "../image/mod.ts";
import { TCP_CLOSE_WAIT, TCP_CLOSING, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK } from "../kernel/socket-diagnostics.ts";
import { LARGEST_BUFFER_BYTES, setBufferSizes } from "../kernel/socket-options.ts";
import {
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SOCK_STREAM,
  IPPROTO_TCP,
  bindSocket,
  connectSocket,
  openSocket,
  shutDown,
  trySend,
} from "../kernel/sockets.ts";
import { countStep } from "../kernel/syscall-ffi.ts";
import {
  HAS_TIMESTAMPS,
  REPAIR_OFF,
  TCP_NO_QUEUE,
  TCP_RECEIVE_QUEUE,
  TCP_SEND_QUEUE,
  dropEverything,
  dropNothing,
  leaveRepair,
  selectQueue,
  setAgreedOptions,
  setQueueStart,
  setRepairWindow,
  setTimestamp,
  tryEnterRepair,
} from "../kernel/tcp-repair.ts";
import { connectionText } from "./compare-connections.ts";
import type { MadeSockets } from "./made-sockets.ts";
import type { HeldForRestart, RestoreRequest } from "./mod.ts";
import { PeerCheck } from "./peer-check.ts";
import { collect, joinProblems } from "./problems.ts";

type InternetSocket = Extract<SocketFile, { kind: "internet-socket" }>;

const ENDED_BY_US: ReadonlySet<number> = new Set([TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_CLOSING]);
const ENDED_BY_PEER: ReadonlySet<number> = new Set([TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSING]);
/** The kernel makes one piece of each, and finds no room for very large ones. */
const PIECE_BYTES = 32 * 1024;
const EAGAIN = 11;

export class KeptConnections {
  readonly #metadata: ImageMetadata;
  readonly #held: HeldForRestart | null;
  readonly #takenUp: boolean;
  readonly #kept: InternetSocket[];
  /** By id; the descriptors are whoever's who has taken them from `made`, until the job is let go. */
  readonly #fds = new Map<number, Fd>();

  /** `kept`: which of the image's sockets are to be kept; none where the rule is another. */
  constructor(metadata: ImageMetadata, kept: ReadonlySet<number>, { held, takenUp }: Pick<RestoreRequest, "held" | "takenUp">) {
    this.#metadata = metadata;
    this.#held = held;
    this.#takenUp = takenUp;
    this.#kept = metadata.openFiles.filter((file): file is InternetSocket => file.kind === "internet-socket" && kept.has(file.id));
  }

  has(id: number): boolean {
    return this.#kept.some((one) => one.id === id);
  }

  /** Throws a CairnError that names every connection that can't be kept. */
  make(made: MadeSockets): void {
    const problems: CairnError[] = [];
    for (const socket of this.#kept) {
      countStep("connection");
      collect(problems, () => {
        const fd = this.#isHeld(socket) ? this.#take(socket) : this.#repaired(socket, made);
        this.#fds.set(socket.id, fd);
        made.add(socket.id, fd);
      });
    }
    for (const socket of this.#kept) {
      const { connection } = socket;
      if (connection === undefined || this.#isHeld(socket) || !made.has(socket.id)) continue;
      using check = new PeerCheck(made.of(socket.id), socket, connection);
      const why = check.run(connection.held && !this.#takenUp);
      if (why !== null) problems.push(this.#refusal(socket, why));
    }
    const [first, ...others] = problems;
    if (first !== undefined) throw joinProblems([first, ...others]);
  }

  /** The job is about to run: from here on the connections are its own. */
  release(made: MadeSockets): void {
    if (this.#kept.length > 0) countStep("connection");
    for (const socket of this.#kept) {
      const fd = this.#fds.get(socket.id) ?? made.of(socket.id);
      dropNothing(fd);
      // In repair already, unless it was held. The probe that goes out has the peer say where it is: what was lost meanwhile is sent again soon.
      if (tryEnterRepair(fd) >= 0) leaveRepair(fd, REPAIR_OFF);
      if (!this.#isHeld(socket)) endAsItWas(fd, socket);
      made.finishKept(socket, fd);
    }
    if (this.#kept.length > 0) this.#held?.end();
  }

  #isHeld({ id }: InternetSocket): boolean {
    return this.#held?.openFiles.has(id) === true;
  }

  /** The holder may end at any moment: its day is over, or somebody ends it. */
  #take(socket: InternetSocket): Fd {
    try {
      const taken = this.#held?.take(socket.id);
      if (taken !== undefined) return taken.fd;
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      throw this.#refusal(socket, `it can't be taken from the process that holds it: ${error.errnoName}`, error);
    }
    throw this.#refusal(socket, "nobody holds it any more");
  }

  #repaired(socket: InternetSocket, made: MadeSockets): Fd {
    const { connection } = socket;
    if (connection === undefined) throw new CairnError("damaged", `The image's TCP connection ${socket.id} has no state`);
    const fd = openSocket(socket.family, SOCK_STREAM, IPPROTO_TCP);
    try {
      made.prepare(fd, socket);
      repair(fd, socket, connection, Date.now() - Date.parse(this.#metadata.takenAt));
      return fd;
    } catch (error) {
      closeSync(fd);
      if (!(error instanceof SyscallError)) throw error;
      throw this.#refusal(socket, `${error.call} failed: ${error.errnoName}`, error);
    }
  }

  #refusal(socket: InternetSocket, why: string, cause?: unknown): CairnError {
    return new CairnError("changed", `Cannot restart: ${connectionText(this.#metadata, socket)} cannot be kept: ${why}`, {
      data: { openFile: socket.id },
      hint: "Without --tcp keep the program finds it reset",
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

/** Connected without a packet, deaf, and in repair. */
function repair(fd: Fd, socket: InternetSocket, connection: ConnectionState, elapsedMs: number): void {
  const unread = Buffer.concat(socket.unread.map(({ content }) => Buffer.from(content, "base64")));
  const queued = Buffer.from(connection.queued, "base64");
  const entered = tryEnterRepair(fd);
  if (entered < 0) throw new CairnError("permission", "Cannot restart: this user may not keep TCP connections (CAP_NET_ADMIN)");
  dropEverything(fd);
  setBufferSizes(fd, [LARGEST_BUFFER_BYTES, LARGEST_BUFFER_BYTES]);
  // The end of the stream is sent once more when all is in its place: the peer takes it for a repetition, or has not got it yet.
  const ended = ENDED_BY_US.has(connection.state) ? 1 : 0;
  selectQueue(fd, TCP_SEND_QUEUE);
  setQueueStart(fd, connection.sendSequence - ended - queued.length);
  selectQueue(fd, TCP_RECEIVE_QUEUE);
  // The peer's end of the stream has a number, too, which then is that of the last byte: the peer is told how far we are, not which byte is which.
  setQueueStart(fd, connection.receiveSequence - unread.length);
  selectQueue(fd, TCP_NO_QUEUE);
  bindSocket(fd, Buffer.from(socket.local ?? "", "base64"));
  connectSocket(fd, Buffer.from(socket.remote ?? "", "base64"));
  setAgreedOptions(fd, connection);
  // A peer drops what is older than what it has seen.
  if ((connection.options & HAS_TIMESTAMPS) !== 0) setTimestamp(fd, connection.timestamp + Math.max(0, elapsedMs));
  fill(fd, TCP_RECEIVE_QUEUE, unread);
  // All of it as if it had been sent: what the peer has got of it, it then may say.
  fill(fd, TCP_SEND_QUEUE, queued);
  selectQueue(fd, TCP_NO_QUEUE);
  setRepairWindow(fd, Buffer.from(connection.window, "base64"));
  setBufferSizes(fd, connection.buffers);
}

function fill(fd: Fd, queue: typeof TCP_RECEIVE_QUEUE | typeof TCP_SEND_QUEUE, bytes: Buffer): void {
  selectQueue(fd, queue);
  for (let done = 0; done < bytes.length;) {
    const result = trySend(fd, bytes.subarray(done, done + PIECE_BYTES));
    if (result < 0) {
      const why = result === -EAGAIN ? "there is no room for them" : `errno ${-result}`;
      throw new CairnError("io", `Cannot put back ${bytes.length - done} bytes that waited in a TCP connection: ${why}`);
    }
    done += result;
  }
}

function endAsItWas(fd: Fd, { connection, shutdown }: InternetSocket): void {
  if (connection === undefined) return;
  const reads = (shutdown & 1) !== 0 || ENDED_BY_PEER.has(connection.state);
  const writes = ENDED_BY_US.has(connection.state);
  if (reads || writes) shutDown(fd, reads && writes ? SHUT_RDWR : reads ? SHUT_RD : SHUT_WR);
}

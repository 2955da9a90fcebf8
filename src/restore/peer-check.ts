/**
 * Whether the peer of a connection is still where the checkpoint saw it.
 *
 * The connection, made again and deaf, sends what every kernel sends to learn about a window: a segment without content whose number lies before what
 * the peer waits for. Whoever has the connection answers with an acknowledgement, whoever has not with a reset; the answer is read from a raw
 * socket, for the connection itself hears nothing. It tells two things:
 *
 * - what it acknowledges: more than was ever written means that the job went on and wrote more;
 * - the timestamp that it echoes, the newest of ours that it has seen in its order: one that is not before the checkpoint's means that the peer
 *   was told something after it, which every acknowledgement of bytes that it sent is.
 *
 * Without timestamps the second can't be told, and what the peer sent and considers as arrived would be missing for ever. Such a
 * connection is kept only if it was held.
 */
import { closeSync } from "node:fs";
import type { Fd } from "../base/ids.ts";
import type { ConnectionState, SocketFile } from "../image/mod.ts";
import { pauseMicroseconds } from "../kernel/pause.ts";
import { AF_INET, AF_INET6, IPPROTO_TCP, openSocket, receiveNow } from "../kernel/sockets.ts";
import { countStep } from "../kernel/syscall-ffi.ts";
import { HAS_TIMESTAMPS, REPAIR_OFF, REPAIR_ON, TCP_REPAIR, leaveRepair, tryEnterRepair } from "../kernel/tcp-repair.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { Guard } from "../tracee/guard.ts";
import { addressOf, portOf } from "./compare-connections.ts";

type InternetSocket = Extract<SocketFile, { kind: "internet-socket" }>;

const SOCK_RAW = 3;
/** A peer answers such segments at most every half second, and one may get lost. */
const PROBES = 4;
const POLLS = 700;
const POLL_MICROSECONDS = 1000;
const RST = 4;
const ACK = 16;
const OPTION_END = 0;
const OPTION_NOTHING = 1;
const OPTION_TIMESTAMP = 8;
const LARGEST_PACKET_BYTES = 65536;

interface Segment {
  readonly flags: number;
  readonly acknowledged: number;
  /** Null where it has no timestamp. */
  readonly echoed: number | null;
}

export class PeerCheck implements Disposable {
  readonly #fd: Fd;
  readonly #connection: ConnectionState;
  readonly #localPort: number;
  readonly #remotePort: number;
  readonly #remote: Buffer;
  readonly #raw: Fd;
  /** For the moment in which the connection is not in repair: should we be killed in it, it is closed in repair all the same, without a word. */
  readonly #guard: Guard;

  /** `fd`: the connection, made again, in repair and deaf. Throws a SyscallError. */
  constructor(fd: Fd, socket: InternetSocket, connection: ConnectionState) {
    const local = Buffer.from(socket.local ?? "", "base64");
    const remote = Buffer.from(socket.remote ?? "", "base64");
    this.#fd = fd;
    this.#connection = connection;
    this.#localPort = portOf(local);
    this.#remotePort = portOf(remote);
    this.#remote = addressOf(remote);
    this.#raw = openSocket(this.#remote.length === 4 ? AF_INET : AF_INET6, SOCK_RAW, IPPROTO_TCP);
    try {
      const on = Buffer.alloc(4);
      on.writeInt32LE(REPAIR_ON, 0);
      this.#guard = new Guard([fd], [{ number: SYSCALLS.setsockopt, arguments: [fd, IPPROTO_TCP, TCP_REPAIR, on, on.length] }]);
    } catch (error) {
      closeSync(this.#raw);
      throw error;
    }
  }

  /**
   * Null when it is; otherwise why not, as a clause. `stoodStill`: nothing but the kernel's own acknowledgements can have gone out since the
   * checkpoint; then a peer that can't be reached yet is no obstacle.
   */
  run(stoodStill: boolean): string | null {
    if (!stoodStill && (this.#connection.options & HAS_TIMESTAMPS) === 0)
      return "it has no TCP timestamps, so that its peer can't tell whether it went on after the checkpoint";
    for (let probe = 0; probe < (stoodStill ? 1 : PROBES); probe += 1) {
      countStep("connection");
      leaveRepair(this.#fd, REPAIR_OFF);
      countStep("connection");
      tryEnterRepair(this.#fd);
      countStep("connection");
      for (let poll = 0; poll < POLLS; poll += 1) {
        const segment = this.#next();
        if (segment !== null) return this.#judge(segment, stoodStill);
        pauseMicroseconds(POLL_MICROSECONDS);
      }
    }
    return stoodStill ? null : "its peer does not answer";
  }

  #judge({ flags, acknowledged, echoed }: Segment, stoodStill: boolean): string | null {
    if ((flags & RST) !== 0) return "its peer does not know it any more";
    if (!stoodStill && echoed === null) return "its peer does not send the timestamps that were agreed upon";
    const { sendSequence, queued, timestamp } = this.#connection;
    // The end of the stream, if it was sent, counts as one.
    if (isAfter(sendSequence - Buffer.byteLength(queued, "base64") - 1, acknowledged)) return "its peer has another connection by now";
    const hasHeard = !stoodStill && !isAfter(timestamp, echoed ?? timestamp);
    return isAfter(acknowledged, sendSequence) || hasHeard ? "it went on after the checkpoint, and its peer has heard from it since" : null;
  }

  /** The next segment of this connection; null when there is none now. */
  #next(): Segment | null {
    for (;;) {
      const received = receiveNow(this.#raw, LARGEST_PACKET_BYTES);
      if (received === null) return null;
      const segment = this.#parse(received.bytes, received.from);
      if (segment !== null) return segment;
    }
  }

  /** An IPv4 packet comes with its header, one of IPv6 without. */
  #parse(packet: Buffer, from: Buffer): Segment | null {
    if (from.length < 8 || !addressOf(from).equals(this.#remote)) return null;
    const tcp = this.#remote.length === 4 ? packet.subarray(4 * ((packet[0] ?? 0) & 15)) : packet;
    if (tcp.length < 20 || tcp.readUInt16BE(0) !== this.#remotePort || tcp.readUInt16BE(2) !== this.#localPort) return null;
    const flags = tcp.readUInt8(13);
    if ((flags & (RST | ACK)) === 0) return null;
    const options = tcp.subarray(20, 4 * (tcp.readUInt8(12) >> 4));
    return { flags, acknowledged: tcp.readUInt32BE(8), echoed: echoedIn(options) };
  }

  [Symbol.dispose](): void {
    this.#guard[Symbol.dispose]();
    closeSync(this.#raw);
  }
}

/** RFC 7323: kind 8, length 10, the sender's value, the echo. */
function echoedIn(options: Buffer): number | null {
  for (let at = 0; at < options.length;) {
    const kind = options.readUInt8(at);
    if (kind === OPTION_END) return null;
    if (kind === OPTION_NOTHING) {
      at += 1;
      continue;
    }
    const length = options[at + 1] ?? 0;
    if (length < 2 || at + length > options.length) return null;
    if (kind === OPTION_TIMESTAMP && length === 10) return options.readUInt32BE(at + 6);
    at += length;
  }
  return null;
}

/** Numbers of TCP are compared around the circle. */
export function isAfter(one: number, other: number): boolean {
  return ((one - other) | 0) > 0;
}

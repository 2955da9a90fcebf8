/**
 * Options of a socket that a restart sets again, in the order in which it sets them. Options that only report, that take
 * something away (SO_ERROR), or that belong to a state of its own (a filter, a membership) are not here.
 */
import type { Fd } from "../base/ids.ts";
import {
  AF_INET,
  AF_INET6,
  IPPROTO_TCP,
  SOL_SOCKET,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_REUSEADDR,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  numberOption,
  socketOption,
  trySetOption,
} from "./sockets.ts";

const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const SO_REUSEPORT = 15;
const IPV6_V6ONLY = 26;
const SO_BUF_LOCK = 72;
const SNDBUF_LOCKED = 1;
const RCVBUF_LOCKED = 2;
/** Larger than what the kernel lets anybody have: it takes the most there is. */
export const LARGEST_BUFFER_BYTES = 64 << 20;

/** include/uapi/asm-generic/socket.h */
const OF_ALL = [
  SO_REUSEADDR,
  SO_REUSEPORT,
  1, // SO_DEBUG
  5, // SO_DONTROUTE
  6, // SO_BROADCAST
  9, // SO_KEEPALIVE
  10, // SO_OOBINLINE
  11, // SO_NO_CHECK
  12, // SO_PRIORITY
  13, // SO_LINGER
  16, // SO_PASSCRED
  18, // SO_RCVLOWAT
  20, // SO_RCVTIMEO
  21, // SO_SNDTIMEO
  25, // SO_BINDTODEVICE
  29, // SO_TIMESTAMP
  34, // SO_PASSSEC
  35, // SO_TIMESTAMPNS
  36, // SO_MARK
  37, // SO_TIMESTAMPING
  40, // SO_RXQ_OVFL
  41, // SO_WIFI_STATUS
  43, // SO_NOFCS
  45, // SO_SELECT_ERR_QUEUE
  46, // SO_BUSY_POLL
  47, // SO_MAX_PACING_RATE
  60, // SO_ZEROCOPY
  74, // SO_TXREHASH
  75, // SO_RCVMARK
  76, // SO_PASSPIDFD
];
/** include/uapi/linux/in.h */
const OF_IP = [
  1, // IP_TOS
  2, // IP_TTL
  4, // IP_OPTIONS
  6, // IP_RECVOPTS
  7, // IP_RETOPTS
  8, // IP_PKTINFO
  10, // IP_MTU_DISCOVER
  11, // IP_RECVERR
  12, // IP_RECVTTL
  13, // IP_RECVTOS
  15, // IP_FREEBIND
  19, // IP_TRANSPARENT
  20, // IP_RECVORIGDSTADDR
  21, // IP_MINTTL
  22, // IP_NODEFRAG
  23, // IP_CHECKSUM
  24, // IP_BIND_ADDRESS_NO_PORT
  25, // IP_RECVFRAGSIZE
  26, // IP_RECVERR_RFC4884
  32, // IP_MULTICAST_IF
  33, // IP_MULTICAST_TTL
  34, // IP_MULTICAST_LOOP
  49, // IP_MULTICAST_ALL
  50, // IP_UNICAST_IF
  51, // IP_LOCAL_PORT_RANGE
];
/** include/uapi/linux/in6.h */
const OF_IPV6 = [
  IPV6_V6ONLY,
  16, // IPV6_UNICAST_HOPS
  17, // IPV6_MULTICAST_IF
  18, // IPV6_MULTICAST_HOPS
  19, // IPV6_MULTICAST_LOOP
  23, // IPV6_MTU_DISCOVER
  25, // IPV6_RECVERR
  29, // IPV6_MULTICAST_ALL
  33, // IPV6_AUTOFLOWLABEL
  49, // IPV6_RECVPKTINFO
  51, // IPV6_RECVHOPLIMIT
  56, // IPV6_RECVRTHDR
  66, // IPV6_RECVTCLASS
  67, // IPV6_TCLASS
  70, // IPV6_DONTFRAG
  72, // IPV6_ADDR_PREFERENCES
  73, // IPV6_MINHOPCOUNT
  75, // IPV6_TRANSPARENT
  78, // IPV6_FREEBIND
];
/** include/uapi/linux/tcp.h */
const OF_TCP = [
  1, // TCP_NODELAY
  3, // TCP_CORK
  4, // TCP_KEEPIDLE
  5, // TCP_KEEPINTVL
  6, // TCP_KEEPCNT
  7, // TCP_SYNCNT
  8, // TCP_LINGER2
  9, // TCP_DEFER_ACCEPT
  13, // TCP_CONGESTION
  16, // TCP_THIN_LINEAR_TIMEOUTS
  18, // TCP_USER_TIMEOUT
  23, // TCP_FASTOPEN
  25, // TCP_NOTSENT_LOWAT
  30, // TCP_FASTOPEN_CONNECT
  34, // TCP_FASTOPEN_NO_COOKIE
  36, // TCP_INQ
];
/** include/uapi/linux/udp.h */
const OF_UDP = [
  1, // UDP_CORK
  100, // UDP_ENCAP
  103, // UDP_SEGMENT
  104, // UDP_GRO
];

const OF_NETLINK = [
  3, // NETLINK_PKTINFO
  4, // NETLINK_BROADCAST_ERROR
  5, // NETLINK_NO_ENOBUFS
  11, // NETLINK_EXT_ACK
  12, // NETLINK_GET_STRICT_CHK
];
const AF_NETLINK = 16;
const SOL_NETLINK = 270;

/** An option's level, its name and its value. */
export type SocketOption = readonly [number, number, Buffer];

function levelsOf(domain: number, protocol: number): (readonly [number, readonly number[]])[] {
  const levels: (readonly [number, readonly number[]])[] = [[SOL_SOCKET, OF_ALL]];
  if (domain === AF_INET || domain === AF_INET6) {
    levels.push([IPPROTO_IP, OF_IP]);
    if (domain === AF_INET6) levels.push([IPPROTO_IPV6, OF_IPV6]);
    levels.push([protocol, protocol === IPPROTO_TCP ? OF_TCP : OF_UDP]);
  }
  if (domain === AF_NETLINK) levels.push([SOL_NETLINK, OF_NETLINK]);
  return levels;
}

export function readOptions(fd: Fd, domain: number, protocol: number): SocketOption[] {
  const options: SocketOption[] = [];
  for (const [level, names] of levelsOf(domain, protocol)) {
    for (const name of names) {
      const value = socketOption(fd, level, name);
      if (value !== null) options.push([level, name, value]);
    }
  }
  // Sizes that the program has not set are the kernel's to choose, and to change as the connection goes.
  const locks = numberOption(fd, SOL_SOCKET, SO_BUF_LOCK) ?? 0;
  for (const [bit, name] of [
    [SNDBUF_LOCKED, SO_SNDBUF],
    [RCVBUF_LOCKED, SO_RCVBUF],
  ] as const) {
    const value = socketOption(fd, SOL_SOCKET, name);
    if ((locks & bit) !== 0 && value !== null) options.push([SOL_SOCKET, name, value]);
  }
  return options;
}

/** Those that have to be set before a socket gets its address or its connection. */
export function isForBinding([level, name]: SocketOption): boolean {
  if (level === SOL_SOCKET) return [SO_REUSEADDR, SO_REUSEPORT, 25, SO_RCVBUF, SO_SNDBUF].includes(name);
  return (level === IPPROTO_IPV6 && [IPV6_V6ONLY, 75, 78].includes(name)) || (level === IPPROTO_IP && [15, 19, 24].includes(name));
}

/** Sets what differs, so that nothing is asked that this user may not set and need not. Gives back what could not be set. */
export function writeOptions(fd: Fd, options: readonly SocketOption[]): SocketOption[] {
  return options.filter(([level, name, value]) => {
    const present = socketOption(fd, level, name);
    if (present !== null && present.equals(value)) return false;
    if (level === SOL_SOCKET && (name === SO_SNDBUF || name === SO_RCVBUF)) return !setBuffer(fd, name, value.readInt32LE(0));
    return trySetOption(fd, level, name, value) < 0;
  });
}

/** The kernel doubles what it is given, and shows it doubled. */
function setBuffer(fd: Fd, name: number, shownBytes: number): boolean {
  const wanted = shownBytes >> 1;
  if (trySetOption(fd, SOL_SOCKET, name === SO_SNDBUF ? SO_SNDBUFFORCE : SO_RCVBUFFORCE, wanted) >= 0) return true;
  return trySetOption(fd, SOL_SOCKET, name, wanted) >= 0 && socketOption(fd, SOL_SOCKET, name)?.readInt32LE(0) === shownBytes;
}

/** Buffers as large as the kernel showed them, which it may go on to change: SO_SNDBUF, SO_RCVBUF. */
export function setBufferSizes(fd: Fd, [send, receive]: readonly [number, number]): void {
  setBuffer(fd, SO_SNDBUF, send);
  setBuffer(fd, SO_RCVBUF, receive);
  trySetOption(fd, SOL_SOCKET, SO_BUF_LOCK, 0);
}

/** Which of its buffers the program has set itself, so that the kernel leaves them alone: those that are among its options. */
export function lockBuffers(fd: Fd, options: readonly SocketOption[]): void {
  const isSet = (wanted: number): boolean => options.some(([level, name]) => level === SOL_SOCKET && name === wanted);
  trySetOption(fd, SOL_SOCKET, SO_BUF_LOCK, (isSet(SO_SNDBUF) ? SNDBUF_LOCKED : 0) | (isSet(SO_RCVBUF) ? RCVBUF_LOCKED : 0));
}

/** Runs `work` while the socket takes as much to send, or to receive, as this user may let it; then it is as before. */
export function withLargestBuffer<T>(fd: Fd, name: typeof SO_SNDBUF | typeof SO_RCVBUF, work: () => T): T {
  const shown = numberOption(fd, SOL_SOCKET, name) ?? 0;
  const locks = numberOption(fd, SOL_SOCKET, SO_BUF_LOCK) ?? 0;
  const force = name === SO_SNDBUF ? SO_SNDBUFFORCE : SO_RCVBUFFORCE;
  if (trySetOption(fd, SOL_SOCKET, force, LARGEST_BUFFER_BYTES) < 0) {
    trySetOption(fd, SOL_SOCKET, name, LARGEST_BUFFER_BYTES);
    // The limit for this user may lie below what the kernel chose itself.
    if ((numberOption(fd, SOL_SOCKET, name) ?? 0) < shown) setBuffer(fd, name, shown);
  }
  try {
    return work();
  } finally {
    setBuffer(fd, name, shown);
    trySetOption(fd, SOL_SOCKET, SO_BUF_LOCK, locks);
  }
}

/**
 * Which multicast groups a UDP socket has joined. The kernel tells of groups by interface (/proc/net/igmp, /proc/net/igmp6), and a
 * socket answers whether it is in one of them: it has a filter of sources for it, or the error of one that has not joined.
 *
 *     /proc/net/igmp    1	lo        :     2      V3
 *                       				010000E0     1 0:00000000		0        groups are numbers of this machine's byte order
 *     /proc/net/igmp6   1    lo              ff020000000000000000000000000001     2 0000000C 0
 */
import { readFileSync } from "node:fs";
import type { Fd } from "../base/ids.ts";
import { AF_INET, AF_INET6, socketOption } from "../kernel/sockets.ts";

const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const MCAST_MSFILTER = 48;
/** struct group_filter: interface, padding, group (struct sockaddr_storage), mode, number of sources, sources. */
const FILTER_BYTES = 144;
const GROUP_AT = 8;

export function membershipsOf(fd: Fd, family: number): [string, number][] {
  const groups = family === AF_INET ? groupsOf4() : [...groupsOf4(), ...groupsOf6()];
  return groups.filter(([group, index]) => hasJoined(fd, group, index)).map(([group, index]) => [group.toString("base64"), index]);
}

function hasJoined(fd: Fd, group: Buffer, index: number): boolean {
  const filter = Buffer.alloc(FILTER_BYTES);
  filter.writeUInt32LE(index, 0);
  filter.writeUInt16LE(group.length === 4 ? AF_INET : AF_INET6, GROUP_AT);
  filter.set(group, GROUP_AT + (group.length === 4 ? 4 : 8));
  return socketOption(fd, group.length === 4 ? IPPROTO_IP : IPPROTO_IPV6, MCAST_MSFILTER, filter) !== null;
}

function groupsOf4(): [Buffer, number][] {
  const groups: [Buffer, number][] = [];
  let index = 0;
  for (const line of linesOf("/proc/net/igmp")) {
    const device = /^(\d+)\s/.exec(line);
    const group = /^\s+([0-9A-F]{8})\s/.exec(line);
    if (device !== null) index = Number(device[1]);
    else if (group !== null) groups.push([Buffer.from(group[1] as string, "hex").reverse(), index]);
  }
  return groups;
}

function groupsOf6(): [Buffer, number][] {
  return linesOf("/proc/net/igmp6").flatMap((line): [Buffer, number][] => {
    const found = /^(\d+)\s+\S+\s+([0-9a-f]{32})\s/.exec(line);
    return found === null ? [] : [[Buffer.from(found[2] as string, "hex"), Number(found[1])]];
  });
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, "latin1").split("\n");
  } catch {
    return []; // A kernel without it has no such groups.
  }
}

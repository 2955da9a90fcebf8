/** netlink(7): a socket with nothing unread in it is its protocol, its port and its groups. */
import type { OpenFile } from "../image/mod.ts";
import type { Fd } from "../base/ids.ts";
import { POLLIN, pollNow } from "../kernel/descriptors.ts";
import { readOptions } from "../kernel/socket-options.ts";
import { AF_NETLINK, SOL_SOCKET, SO_PROTOCOL, SO_TYPE, localAddress, numberOption, socketOption } from "../kernel/sockets.ts";
import type { DescriptorReference } from "./descriptors.ts";
import { refuseForNow } from "./socket-context.ts";

const SOL_NETLINK = 270;
const NETLINK_LIST_MEMBERSHIPS = 9;

export function captureNetlinkSocket(
  fd: Fd,
  reference: DescriptorReference,
  common: { readonly id: number; readonly flags: number },
): OpenFile {
  // What waits there is of this machine at this moment, and can't be put back: no program may put words in the kernel's mouth.
  if ((pollNow(fd, POLLIN) & POLLIN) !== 0) throw refuseForNow(reference, "a netlink socket with an unread answer of the kernel");
  const protocol = numberOption(fd, SOL_SOCKET, SO_PROTOCOL) ?? 0;
  return {
    kind: "netlink-socket",
    ...common,
    type: numberOption(fd, SOL_SOCKET, SO_TYPE) ?? 0,
    protocol,
    // struct sockaddr_nl: family, padding (u16 each), port, groups (u32 each).
    port: localAddress(fd).readUInt32LE(4),
    groups: groupsIn(socketOption(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS) ?? Buffer.alloc(0)),
    options: readOptions(fd, AF_NETLINK, protocol).map(([level, name, value]) => [level, name, value.toString("base64")]),
  };
}

/** A bit mask, groups from 1. */
function groupsIn(mask: Buffer): number[] {
  const groups: number[] = [];
  for (let bit = 0; bit < 8 * mask.length; bit += 1) if (((mask[bit >> 3] as number) >> (bit & 7)) & 1) groups.push(bit + 1);
  return groups;
}

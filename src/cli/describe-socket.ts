/** A socket of an image, in words. */
import { formatBytes } from "../base/bytes.ts";
import { nameToText } from "../base/names.ts";
import { plural } from "./format.ts";
import type { SocketFile } from "../image/mod.ts";

const TYPES: Readonly<Record<number, string>> = { 1: "stream", 2: "datagram", 5: "seqpacket" };
const LOST = { closed: "closed by the other side", reset: "broken off", outside: "leads out of the job; a restart breaks it off" } as const;

export function describeSocketFile(file: SocketFile): string {
  if (file.kind === "netlink-socket") return `protocol ${file.protocol}`;
  const words: string[] = [];
  if (file.kind === "unix-socket") {
    words.push(TYPES[file.type] ?? "", ...(file.local === undefined ? [] : [unixName(file.local)]));
  } else {
    words.push(file.protocol === 6 ? "TCP" : "UDP", ...(file.local === undefined ? [] : [internetAddress(file.local)]));
    if (file.remote !== undefined) words.push(`to ${internetAddress(file.remote)}`);
  }
  if (file.backlog !== undefined) words.push("listening");
  if (file.lost !== undefined) words.push(LOST[file.lost]);
  const unread = file.unread.reduce((sum, { content }) => sum + Buffer.byteLength(content, "base64"), 0);
  const what = unread > 0 ? `, ${formatBytes(unread)} unread` : "";
  const rights = file.unread.reduce((sum, message) => sum + (message.rights?.length ?? 0), 0);
  return `${words.join(" ")}${what}${rights > 0 ? `, ${plural(rights, "descriptor")} on the way` : ""}`;
}

/** An abstract name is shown with an @ for its NUL, as ss(8) does. */
function unixName(base64: string): string {
  const name = Buffer.from(base64, "base64");
  return name[0] === 0 ? `@${nameToText(name.subarray(1).toString("latin1"))}` : nameToText(name.toString());
}

/** struct sockaddr_in or sockaddr_in6: family, port (big-endian), and the address at 4 or 8. */
function internetAddress(base64: string): string {
  const address = Buffer.from(base64, "base64");
  const port = address.readUInt16BE(2);
  if (address.readUInt16LE(0) === 2) return `${[...address.subarray(4, 8)].join(".")}:${port}`;
  const parts = Array.from({ length: 8 }, (_, index) => address.readUInt16BE(8 + 2 * index).toString(16));
  return `[${parts.join(":")}]:${port}`;
}

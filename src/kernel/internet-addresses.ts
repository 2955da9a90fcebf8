/** IPv4 and IPv6 addresses as the kernel tells them: 4 or 16 bytes. */

const MAPPED = Buffer.from("00000000000000000000ffff", "hex");

/** The IPv4 address in an IPv6 one; any other as it is. */
export function plainAddress(address: Buffer): Buffer {
  return address.length === 16 && address.subarray(0, 12).equals(MAPPED) ? address.subarray(12) : address;
}

/** `10.0.0.7` or `[fe80:0:...]`. */
export function addressText(address: Buffer): string {
  const bytes = plainAddress(address);
  if (bytes.length === 4) return [...bytes].join(".");
  return `[${Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16)).join(":")}]`;
}

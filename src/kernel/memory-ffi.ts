/** Addresses of our own buffers, for system calls that take pointers. */
import koffi from "koffi";

/**
 * The address of `buffer`'s first byte. It holds as long as the buffer is alive and not transferred: the bytes of a
 * Buffer of 64 bytes or more lie outside the collected heap and do not move.
 */
export function addressOf(buffer: Uint8Array): bigint {
  return koffi.address(buffer);
}

/** A buffer of `length` bytes whose address is a multiple of `alignment` (a power of two), for direct I/O. */
export function alignedBuffer(length: number, alignment = 4096): Buffer {
  const whole = Buffer.alloc(length + alignment);
  const excess = Number(addressOf(whole) & BigInt(alignment - 1));
  return whole.subarray((alignment - excess) % alignment, ((alignment - excess) % alignment) + length);
}

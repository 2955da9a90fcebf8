/** Can the kernel be asked which pages have changed: the PAGEMAP_SCAN ioctl of Linux 6.7. */
import { closeSync, openSync } from "node:fs";
import { SYSCALLS } from "../../kernel/abi/x86-64/syscalls.ts";
import { errnoName } from "../../kernel/errno.ts";
import { addressOf, alignedBuffer } from "../../kernel/memory-ffi.ts";
import { systemCall } from "../../kernel/syscall-ffi.ts";
import { limited, ok } from "./check.ts";
import type { CheckDefinition, Finding } from "./check.ts";

export const scanCheck: CheckDefinition = {
  name: "pagemap-scan",
  title: "Page-map scan",
  why: "finds the pages that need saving without reading a map entry for each",
  essential: false,
};

/** _IOWR('f', 16, struct pm_scan_arg) of linux/fs.h. */
const PAGEMAP_SCAN = 0xc060_6610;
const ARGUMENT_BYTES = 96;
const PAGE_IS_PRESENT = 1n << 3n;

/** Scans one page of our own, which has just been written to. */
export function probeScan(): Finding {
  const page = alignedBuffer(4096);
  page.fill(1);
  const region = Buffer.alloc(64);
  const argument = Buffer.alloc(ARGUMENT_BYTES);
  const words: readonly bigint[] = [
    BigInt(ARGUMENT_BYTES),
    0n,
    addressOf(page),
    addressOf(page) + 4096n,
    0n,
    addressOf(region),
    1n,
    0n,
    0n,
    PAGE_IS_PRESENT,
    0n,
    PAGE_IS_PRESENT,
  ];
  words.forEach((word, index) => argument.writeBigUInt64LE(word, 8 * index));
  const fd = openSync("/proc/self/pagemap", "r");
  try {
    const result = systemCall(SYSCALLS.ioctl, fd, PAGEMAP_SCAN, addressOf(argument));
    if (result === 1) return ok("works");
    return limited(`answers ${result < 0 ? errnoName(-result) : result}`, "Linux 6.7 or newer makes checkpoints of large jobs faster");
  } finally {
    closeSync(fd);
  }
}

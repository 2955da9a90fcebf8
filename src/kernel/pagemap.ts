/**
 * Which pages of a process hold something that is its own: the PAGEMAP_SCAN ioctl (Linux 6.7), or /proc/PID/pagemap
 * read word by word where that is missing.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { assert } from "../base/assert.ts";
import { SyscallError } from "../base/errors.ts";
import type { Pid } from "../base/ids.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { systemCall } from "./syscall-ffi.ts";

const PAGE_BYTES = 4096;
/** _IOWR('f', 16, struct pm_scan_arg) of linux/fs.h */
const PAGEMAP_SCAN = 0xc0606610;
const SCAN_ARGUMENT_BYTES = 96;
const REGION_BYTES = 24;
const REGIONS = 4096;
const IS_FILE = 4n;
const IS_PRESENT = 8n;
const IS_SWAPPED = 16n;
const IS_ZERO_PAGE = 32n;
const IS_GUARD = 256n;

/** Bits of a word of /proc/PID/pagemap, in its upper half: present, swapped, file page or shared memory, guard page. */
const WORD_PRESENT = 0x8000_0000;
const WORD_SWAPPED = 0x4000_0000;
const WORD_FILE = 0x2000_0000;
const WORD_GUARD = 0x0400_0000;

/** `count` pages from `start` on. */
export interface PageRange {
  readonly start: bigint;
  readonly count: number;
}

/** /proc/PID/pagemap held open. */
export class PageMap implements Disposable {
  readonly #fd: number;
  readonly #pid: Pid;
  #hasScan = true;
  #hasGuards = true;

  constructor(pid: Pid) {
    this.#pid = pid;
    this.#fd = openSync(`/proc/${pid}/pagemap`, "r");
  }

  /**
   * Ranges of [start, end) with anonymous pages: touched private memory, and private copies of file pages. Pages that
   * were only read and never written (the shared zero page) are left out where the kernel tells.
   */
  anonymousPages(start: bigint, end: bigint): PageRange[] {
    if (this.#hasScan) {
      const found = this.#scan(start, end);
      if (found !== null) return found;
      this.#hasScan = false;
    }
    return this.#readWords(start, end);
  }

  /** Guard pages (MADV_GUARD_INSTALL, Linux 6.13), where the kernel tells of them. */
  guardPages(start: bigint, end: bigint): PageRange[] {
    return this.#hasScan && this.#hasGuards ? (this.#scanFor(start, end, { inverted: 0n, all: IS_GUARD, any: 0n }) ?? []) : [];
  }

  #scan(start: bigint, end: bigint): PageRange[] | null {
    // A guard page looks like one that was swapped out.
    const without = IS_FILE | IS_ZERO_PAGE | (this.#hasGuards ? IS_GUARD : 0n);
    const found = this.#scanFor(start, end, { inverted: without, all: without, any: IS_PRESENT | IS_SWAPPED });
    if (found !== null || !this.#hasGuards) return found;
    this.#hasGuards = false;
    return this.#scan(start, end);
  }

  /** Null when this kernel does not know the ioctl or a category. */
  #scanFor(
    start: bigint,
    end: bigint,
    wanted: { readonly inverted: bigint; readonly all: bigint; readonly any: bigint },
  ): PageRange[] | null {
    const argument = Buffer.alloc(SCAN_ARGUMENT_BYTES);
    const regions = Buffer.alloc(REGION_BYTES * REGIONS);
    const found: PageRange[] = [];
    for (let at = start; at < end;) {
      argument.fill(0);
      [
        BigInt(SCAN_ARGUMENT_BYTES),
        0n,
        at,
        end,
        0n,
        addressOf(regions),
        BigInt(REGIONS),
        0n,
        wanted.inverted,
        wanted.all,
        wanted.any,
        IS_PRESENT,
      ].forEach((value, index) => argument.writeBigUInt64LE(value, index * 8));
      const result = systemCall(SYSCALLS.ioctl, this.#fd, PAGEMAP_SCAN, addressOf(argument));
      if (result < 0) {
        if (found.length === 0 && at === start) return null;
        throw new SyscallError("ioctl(PAGEMAP_SCAN)", -result, errnoName(-result), { pid: this.#pid });
      }
      for (let i = 0; i < result; i += 1) {
        addRange(found, regions.readBigUInt64LE(i * REGION_BYTES), regions.readBigUInt64LE(i * REGION_BYTES + 8));
      }
      // The kernel's walk_end can lie before what it has told of (seen with huge pages on 6.18): a list that is not full
      // is complete, and a full one goes on behind its last range.
      if (result < REGIONS) break;
      at = regions.readBigUInt64LE((result - 1) * REGION_BYTES + 8);
    }
    return found;
  }

  #readWords(start: bigint, end: bigint): PageRange[] {
    assert(end <= 1n << 56n, "an address of the kernel's half");
    const found: PageRange[] = [];
    const words = Buffer.alloc(65536);
    for (let at = start; at < end;) {
      const wanted = Math.min(words.length, Number((end - at) / BigInt(PAGE_BYTES)) * 8);
      const count = readSync(this.#fd, words, 0, wanted, Number(at / BigInt(PAGE_BYTES)) * 8);
      if (count === 0) break;
      for (let i = 0; i < count; i += 8) {
        const upper = words.readUInt32LE(i + 4);
        const held = (upper & WORD_PRESENT) !== 0 || (upper & WORD_SWAPPED) !== 0;
        if (!held || (upper & (WORD_FILE | WORD_GUARD)) !== 0) continue;
        const page = at + BigInt(i / 8) * BigInt(PAGE_BYTES);
        addRange(found, page, page + BigInt(PAGE_BYTES));
      }
      at += BigInt(count / 8) * BigInt(PAGE_BYTES);
    }
    return found;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

function addRange(ranges: PageRange[], start: bigint, end: bigint): void {
  const count = Number((end - start) / BigInt(PAGE_BYTES));
  const last = ranges.at(-1);
  if (last !== undefined && last.start + BigInt(last.count * PAGE_BYTES) === start) {
    ranges[ranges.length - 1] = { start: last.start, count: last.count + count };
  } else {
    ranges.push({ start, count });
  }
}

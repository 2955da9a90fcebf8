/**
 * /proc/PID/smaps: the lines of maps, each followed by `Key: value` lines; only here are VmFlags. The kernel walks
 * every page table for it (tens of milliseconds for a GiB), so it is read once, and for the flags alone.
 */
import { asRemoteAddress, type Pid, type RemoteAddress } from "../../base/ids.ts";
import { bigHexadecimal, decimal, malformed } from "./fields.ts";
import { readProcRaw } from "./read.ts";

export interface VmFlags {
  /** The two-letter flags of proc(5), in the kernel's order: `rd wr mr mw me dc lo hg ...`. Shared between entries. */
  readonly flags: readonly string[];
  /** 4096, or the size of the huge pages of a hugetlbfs mapping. */
  readonly kernelPageBytes: number;
  /** 0 unless pkey_mprotect(2) was used. */
  readonly protectionKey: number;
}

const FILE = "/proc/PID/smaps";

export function parseVmFlags(raw: string): Map<RemoteAddress, VmFlags> {
  const byStart = new Map<RemoteAddress, VmFlags>();
  const interned = new Map<string, readonly string[]>();
  let at = 0;
  // VmFlags is the last line of a mapping's group, so from one to the next is one group.
  while (at < raw.length) {
    const flagsAt = raw.indexOf("\nVmFlags:", at);
    const dash = raw.indexOf("-", at);
    const pageSizeAt = raw.indexOf("\nKernelPageSize:", at);
    if (flagsAt < 0 || dash < 0 || dash > flagsAt) throw malformed(FILE, raw.slice(at));
    let lineEnd = raw.indexOf("\n", flagsAt + 1);
    if (lineEnd < 0) lineEnd = raw.length;
    const text = raw.slice(flagsAt + "\nVmFlags:".length, lineEnd).trim();
    let flags = interned.get(text);
    if (flags === undefined) {
      flags = text === "" ? [] : text.split(" ");
      interned.set(text, flags);
    }
    byStart.set(asRemoteAddress(bigHexadecimal(raw.slice(at, dash), FILE)), {
      flags,
      kernelPageBytes: pageSizeAt >= 0 && pageSizeAt < flagsAt ? kibibytesAt(raw, pageSizeAt + "\nKernelPageSize:".length) : 4096,
      protectionKey: protectionKeyBefore(raw, flagsAt),
    });
    at = lineEnd + 1;
  }
  return byStart;
}

function kibibytesAt(raw: string, at: number): number {
  return decimal(raw.slice(at, raw.indexOf(" kB", at)).trim(), FILE) * 1024;
}

/** The line just above VmFlags, where the processor has protection keys. */
function protectionKeyBefore(raw: string, flagsAt: number): number {
  const lineStart = raw.lastIndexOf("\n", flagsAt - 1) + 1;
  return raw.startsWith("ProtectionKey:", lineStart) ? decimal(raw.slice(lineStart + "ProtectionKey:".length, flagsAt).trim(), FILE) : 0;
}

/** By the start address of the mapping. */
export function readVmFlags(pid: Pid): Map<RemoteAddress, VmFlags> | null {
  const raw = readProcRaw(`/proc/${pid}/smaps`);
  return raw === null ? null : parseVmFlags(raw);
}

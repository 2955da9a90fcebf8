/**
 * Where a trampoline can stand in a tracee: in unused bytes of memory that it can execute.
 *
 * The vdso's last page ends in padding that nothing reads. Where a process has no vdso (or one without room), the zero
 * bytes behind the end of another private executable mapping serve. All are written through /proc/PID/mem into a private
 * copy of the page, and are zeroes again afterwards; if we are killed in between, what stays behind is never executed.
 */
import type { RemoteAddress } from "../../base/ids.ts";
import { asRemoteAddress } from "../../base/ids.ts";
import type { RemoteMemoryFile } from "../../kernel/remote-memory.ts";

/** Room left between what is used and us: tools that read the vdso as an ELF file see zero bytes as before. */
const MARGIN_BYTES = 16;

export interface ExecutableRange {
  readonly start: bigint;
  readonly end: bigint;
  readonly isVdso: boolean;
}

/** The start of `roomBytes` unused bytes, 16-aligned; null when no range has room. */
export function findTrampolinePlace(memory: RemoteMemoryFile, ranges: readonly ExecutableRange[], roomBytes: number): RemoteAddress | null {
  const vdsoFirst = [...ranges].sort((a, b) => Number(b.isVdso) - Number(a.isVdso));
  for (const range of vdsoFirst) {
    const last = asRemoteAddress(range.end - 4096n);
    const page = memory.read(last, 4096);
    if (page.length !== 4096) continue;
    let used = 4096;
    while (used > 0 && page[used - 1] === 0) used -= 1;
    const start = Math.ceil((used + MARGIN_BYTES) / 16) * 16;
    if (start + roomBytes <= 4096) return asRemoteAddress(range.end - 4096n + BigInt(start));
  }
  return null;
}

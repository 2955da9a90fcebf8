/**
 * What each mapping of a process is, and which of its pages have to be in the image.
 *
 *     private anonymous (heap, stacks, mmap)     pages that were touched
 *     private of a file                          pages that were changed; the rest comes from the file again
 *     of a file that was removed, of a memfd,    the file becomes an object of its own, saved once for all who map it;
 *       shared anonymous                           of private mappings, the pages that were changed, besides
 *     shared of a file                           nothing; the file's content is in the file (see files.ts)
 *     of a System V segment                      nothing; its content is saved once (see segments.ts)
 *     of an io_uring                             nothing; what it holds is saved with the descriptor (see rings.ts)
 *     vdso                                       its two pages, to be compared with, or to stand in for, the new kernel's
 */
import { CairnError } from "../base/errors.ts";
import type { Pid } from "../base/ids.ts";
import { encodeName, nameToText } from "../base/names.ts";
import { toWord } from "../base/words.ts";
import type { Mapping } from "../image/mod.ts";
import type { MapsEntry, VmFlags } from "../kernel/procfs/mod.ts";
import { findOtherName } from "./other-name.ts";
import { identityOf } from "./process.ts";
import { RING_PARTS } from "./rings.ts";

/** How the pages of a mapping are to be got. */
export type PageSource =
  | "none"
  /** Touched or changed pages, from the snapshot. */
  | "anonymous"
  /** Touched or changed pages, while frozen: a snapshot does not have them (MADV_DONTFORK, MADV_WIPEONFORK). */
  | "anonymous-now"
  /** Every page that can be read, while frozen. */
  | "all-now";

export interface PlannedMapping {
  readonly mapping: Mapping;
  readonly source: PageSource;
  /** For a shared object: what tells it from others. */
  readonly sharedKey?: string;
  /** For an io_uring: its inode. */
  readonly ringKey?: string;
}

/** VmFlags that a restart sets again, or needs to know of. */
const KEPT_FLAGS = new Set(["gd", "lo", "lf", "dc", "dd", "wf", "hg", "nh", "mg", "rr", "sr", "nr", "ac", "sl", "dp", "ht", "ar"]);
/** The VmFlag of what is writable, or may be made so by mprotect(2). */
const MAY_WRITE = "mw";
const MEMFD = "/memfd:";
const IO_URING = "anon_inode:[io_uring]";

function refuse(pid: Pid, entry: MapsEntry, what: string, hint: string): CairnError {
  const range = `0x${entry.start.toString(16)}-0x${entry.end.toString(16)}`;
  return new CairnError("unsupported", `Cannot save process ${pid}: memory ${range} ${what}`, { data: { pid, range, kind: what }, hint });
}

/** Throws a CairnError (`unsupported`) for a mapping that can't be carried over. */
export function planMapping(pid: Pid, entry: MapsEntry, vm: VmFlags | undefined): PlannedMapping | null {
  const flags = vm?.flags ?? [];
  const base = {
    start: toWord(entry.start),
    end: toWord(entry.end),
    permissions: entry.permissions,
    flags: flags.filter((flag) => KEPT_FLAGS.has(flag)),
    runs: [],
    ...(vm !== undefined && entry.permissions.endsWith("s") && !flags.includes(MAY_WRITE) ? { neverWritable: true } : {}),
  };
  if (entry.special === "vsyscall") return null;
  if (entry.special === "vdso") return { mapping: { ...base, kind: "vdso" }, source: "all-now" };
  if (entry.special === "vvar" || entry.special === "vvar_vclock") return { mapping: { ...base, kind: "vvar" }, source: "none" };
  const name = entry.name === null ? "" : nameToText(entry.name);
  if (flags.includes("ss"))
    throw refuse(pid, entry, "is a shadow stack (CET)", "Start the program with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off");
  if (vm !== undefined && vm.protectionKey !== 0) {
    throw refuse(pid, entry, `has protection key ${vm.protectionKey}`, "Protection keys (pkey_mprotect) are not carried over yet");
  }
  if (flags.includes("io") || flags.includes("pf"))
    throw refuse(pid, entry, `is device memory (${name})`, "A device's memory can't be saved");
  if (entry.special === "uprobes")
    throw refuse(pid, entry, "belongs to a uprobe", "End the tracing of this program (perf, bpftrace) and try again");
  const shared = entry.permissions.endsWith("s");
  const isNow = flags.includes("dc") || flags.includes("wf");
  if (name === "" || entry.special === "heap" || entry.special === "stack" || entry.special === "anon") {
    if (!shared) {
      const named = entry.anonymousName === null ? {} : { anonymousName: entry.anonymousName };
      return { mapping: { ...base, kind: "anonymous", ...named }, source: isNow ? "anonymous-now" : "anonymous" };
    }
    return planShared(base, entry);
  }
  if (name === IO_URING) return planRing(pid, base, entry);
  if (entry.special === "other" || name.startsWith("anon_inode:")) {
    throw refuse(pid, entry, `is ${name}`, "This kind of mapping is not carried over yet");
  }
  if (name === "/[aio]")
    throw refuse(
      pid,
      entry,
      "is an AIO context (io_setup)",
      "The kernel does not tell whether requests are under way in it; destroy it (io_destroy) before the checkpoint, or use io_uring. The job was not changed",
    );
  // Its descriptor, which would be refused, may be closed; and nobody but the process can read its pages.
  if (name === "/secretmem" && entry.deleted)
    throw refuse(pid, entry, "is secret memory (memfd_secret)", "Secret memory is not carried over yet. The job was not changed");
  if (isSegment(entry, name)) return planSegment(pid, base, entry, flags);
  if (flags.includes("ht")) return planHuge(pid, base, entry, vm as VmFlags, shared);
  const other = shared && entry.deleted && !isUnlinked(entry) ? otherName(pid, entry) : null;
  if (other === null && (entry.deleted || isUnlinked(entry))) {
    const plan = planShared(base, entry);
    return shared ? plan : { ...plan, source: isNow ? "anonymous-now" : "anonymous" };
  }
  if (name === "/dev/zero" && !shared) return { mapping: { ...base, kind: "anonymous" }, source: "anonymous" };
  const path = other ?? entry.name ?? "";
  const file = { name: path, offsetBytes: Number(entry.offset), identity: mappedIdentity(pid, entry, path) };
  if (shared) return { mapping: { ...base, kind: "file", file }, source: "none" };
  return { mapping: { ...base, kind: "file", file }, source: isNow ? "anonymous-now" : "anonymous" };
}

type Base = Omit<Mapping, "kind" | "file" | "shared">;

function planShared(base: Base, entry: MapsEntry): PlannedMapping {
  const key = `${entry.deviceMajor}:${entry.deviceMinor}:${entry.inode}`;
  return {
    mapping: { ...base, kind: "shared", shared: { id: 0, offsetBytes: Number(entry.offset) } },
    source: "none",
    sharedKey: key,
  };
}

function planRing(pid: Pid, base: Base, entry: MapsEntry): PlannedMapping {
  const offsetBytes = Number(entry.offset);
  // What begins in the middle of a part can't be made: the kernel maps parts from their beginning.
  if (!RING_PARTS.has(offsetBytes) || !entry.permissions.endsWith("s")) {
    throw refuse(pid, entry, `is the part of an io_uring at 0x${offsetBytes.toString(16)}`, "Only whole rings are carried over yet");
  }
  return { mapping: { ...base, kind: "io-uring", ioUring: { openFile: 0, offsetBytes } }, source: "none", ringKey: entry.inode.toString() };
}

/** The kernel's own name for a segment has the key in it, and counts as removed; a removed file of that name lies deeper. */
function isSegment(entry: MapsEntry, name: string): boolean {
  return entry.deleted && /^\/SYSV[0-9a-f]{8}$/.test(name) && entry.permissions.endsWith("s");
}

/** The inode of a segment is its id. What was attached with SHM_RDONLY may never be made writable. */
function planSegment(pid: Pid, base: Base, entry: MapsEntry, flags: readonly string[]): PlannedMapping {
  if (flags.includes("ht")) {
    throw refuse(pid, entry, "is System V shared memory in huge pages (SHM_HUGETLB)", "Not carried over yet. The job was not changed");
  }
  const segment = { id: Number(entry.inode), offsetBytes: Number(entry.offset), readOnly: !flags.includes("mw") };
  return { mapping: { ...base, kind: "segment", segment }, source: "none" };
}

export function beyondSegment(pid: Pid, mapping: Mapping): CairnError {
  return new CairnError(
    "unsupported",
    `Cannot save process ${pid}: memory ${mapping.start}-${mapping.end} reaches beyond the end of its System V segment`,
    {
      data: { pid, kind: "beyond a System V segment" },
      hint: "Not carried over yet. The job was not changed",
    },
  );
}

export function lostRing(pid: Pid, entry: MapsEntry): CairnError {
  return refuse(
    pid,
    entry,
    "is of an io_uring whose descriptor is closed, or not to be told from another's",
    "Not carried over yet. The job was not changed",
  );
}

function planHuge(pid: Pid, base: Base, entry: MapsEntry, vm: VmFlags, shared: boolean): PlannedMapping {
  if (shared || !nameToText(entry.name ?? "").includes("anon_hugepage")) {
    throw refuse(
      pid,
      entry,
      "is a shared or file-backed huge page mapping (hugetlbfs)",
      "Huge pages of hugetlbfs are carried over only when private and anonymous",
    );
  }
  return { mapping: { ...base, kind: "anonymous", hugePageBytes: vm.kernelPageBytes }, source: "all-now" };
}

/** By any other name a file that is mapped shared goes on being that file. */
function otherName(pid: Pid, entry: MapsEntry): MapsEntry["name"] {
  const { deviceMajor: major, deviceMinor: minor, inode } = entry;
  return findOtherName(pid, entry.name as NonNullable<MapsEntry["name"]>, { major, minor, inode });
}

function isUnlinked(entry: MapsEntry): boolean {
  return nameToText(entry.name ?? "").startsWith(MEMFD);
}

function mappedIdentity(pid: Pid, entry: MapsEntry, path: MapsEntry["name"]): ReturnType<typeof identityOf> {
  const bytes = typeof path === "string" ? Buffer.from(path) : Buffer.from(path?.base64 ?? "", "base64");
  try {
    const identity = identityOf(bytes);
    if (identity.inode === entry.inode.toString()) return identity;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  throw refuse(
    pid,
    entry,
    `is of ${nameToText(path ?? "")}, which is another file by now`,
    "It can be saved once the process is started with the present file",
  );
}

/** The name that a shared object had, as far as one can see it. */
export function sharedObjectName(entry: MapsEntry): { readonly kind: "anonymous" | "memfd"; readonly name: Mapping["anonymousName"] } {
  const name = entry.name === null ? "" : entry.name;
  const text = typeof name === "string" ? name : Buffer.from(name.base64, "base64").toString("latin1");
  if (text.startsWith(MEMFD)) return { kind: "memfd", name: encodeName(Buffer.from(text.slice(MEMFD.length))) };
  return { kind: "anonymous", name: "" };
}

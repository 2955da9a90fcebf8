/**
 * /proc/PID/maps: one line per mapping, ascending.
 *
 *     start-end perms offset major:minor inode      name
 *     7f2e52c03000-7f2e52c04000 rw-s 00000000 fe:00 2146330          /tmp/a\012b (deleted)
 *
 * Two things the text cannot say; `resolveMappedName` finds them out where it matters:
 * - A newline in a path is written `\012`, but a backslash is not escaped, so the name of a file that really holds
 *   `\012` reads the same. `escaped` marks such a name.
 * - A file may really be called `x (deleted)`. `deleted` tells what the text says.
 *
 * Everything but the path could also come from the PROCMAP_QUERY ioctl (Linux 6.11), one call per mapping; its
 * flags are only rwx and shared, so VmFlags need /proc/PID/smaps all the same (see smaps.ts).
 */
import * as fs from "node:fs";
import { CairnError } from "../../base/errors.ts";
import { asRemoteAddress, type Pid, type RemoteAddress } from "../../base/ids.ts";
import { bigDecimal, bigHexadecimal, hexadecimal, malformed } from "./fields.ts";
import { nameFromRaw, type Name } from "./name.ts";
import { readProcLinkBytes, readProcRaw } from "./read.ts";

/** Mappings that are no file's: `anon` has a name set by PR_SET_VMA_ANON_NAME, `other` is one not known here. */
export type SpecialMapping = "heap" | "stack" | "vdso" | "vvar" | "vvar_vclock" | "vsyscall" | "uprobes" | "anon" | "other";

export interface MapsEntry {
  readonly start: RemoteAddress;
  readonly end: RemoteAddress;
  /** `rwxp` or `rwxs`. */
  readonly permissions: string;
  readonly offset: bigint;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly inode: bigint;
  /** What is mapped, without ` (deleted)`: a path, `/memfd:x`, `/dev/zero`, `/SYSV...`, `anon_inode:[x]`. Null for none. */
  readonly name: Name | null;
  readonly deleted: boolean;
  /** The name had a `\012` in it: a newline, or these four characters. Read as a newline. */
  readonly escaped: boolean;
  readonly special: SpecialMapping | null;
  /** PR_SET_VMA_ANON_NAME, of private (`[anon:x]`) or shared (`[anon_shmem:x]`) memory. */
  readonly anonymousName: Name | null;
}

type Backing = Pick<MapsEntry, "name" | "deleted" | "escaped" | "special" | "anonymousName">;

const FILE = "/proc/PID/maps";
export const DELETED_SUFFIX = " (deleted)";
const NO_BACKING: Backing = { name: null, deleted: false, escaped: false, special: null, anonymousName: null };
const SPECIAL = new Map<string, SpecialMapping>([
  ["[heap]", "heap"],
  ["[stack]", "stack"],
  ["[vdso]", "vdso"],
  ["[vvar]", "vvar"],
  ["[vvar_vclock]", "vvar_vclock"],
  ["[vsyscall]", "vsyscall"],
  ["[uprobes]", "uprobes"],
]);

export function parseMaps(raw: string): MapsEntry[] {
  const entries: MapsEntry[] = [];
  // A library has five mappings in a row, a big heap thousands without a name: the last name is most often this one.
  let lastText = "";
  let lastBacking = NO_BACKING;
  let at = 0;
  while (at < raw.length) {
    let lineEnd = raw.indexOf("\n", at);
    if (lineEnd < 0) lineEnd = raw.length;
    const dash = raw.indexOf("-", at);
    const space1 = raw.indexOf(" ", dash);
    const space2 = raw.indexOf(" ", space1 + 1);
    const space3 = raw.indexOf(" ", space2 + 1);
    const colon = raw.indexOf(":", space3);
    const space4 = raw.indexOf(" ", colon);
    if (dash < 0 || space1 < 0 || space2 - space1 !== 5 || space3 < 0 || colon < 0 || space4 < 0 || space4 > lineEnd) {
      throw malformed(FILE, raw.slice(at, lineEnd));
    }
    let space5 = raw.indexOf(" ", space4 + 1);
    if (space5 < 0 || space5 > lineEnd) space5 = lineEnd;
    let nameStart = space5;
    while (nameStart < lineEnd && raw.charCodeAt(nameStart) === 0x20) nameStart++;
    const text = raw.slice(nameStart, lineEnd);
    if (text !== lastText) {
      lastText = text;
      lastBacking = parseMappingName(text);
    }
    entries.push({
      start: asRemoteAddress(bigHexadecimal(raw.slice(at, dash), FILE)),
      end: asRemoteAddress(bigHexadecimal(raw.slice(dash + 1, space1), FILE)),
      permissions: raw.slice(space1 + 1, space2),
      offset: bigHexadecimal(raw.slice(space2 + 1, space3), FILE),
      deviceMajor: hexadecimal(raw.slice(space3 + 1, colon), FILE),
      deviceMinor: hexadecimal(raw.slice(colon + 1, space4), FILE),
      inode: bigDecimal(raw.slice(space4 + 1, space5), FILE),
      name: lastBacking.name,
      deleted: lastBacking.deleted,
      escaped: lastBacking.escaped,
      special: lastBacking.special,
      anonymousName: lastBacking.anonymousName,
    });
    at = lineEnd + 1;
  }
  return entries;
}

function parseMappingName(text: string): Backing {
  if (text === "") return NO_BACKING;
  if (text.startsWith("[") && text.endsWith("]")) {
    const prefix = text.startsWith("[anon:") ? "[anon:" : text.startsWith("[anon_shmem:") ? "[anon_shmem:" : null;
    if (prefix !== null) {
      return { ...NO_BACKING, special: "anon", anonymousName: nameFromRaw(text.slice(prefix.length, -1)) };
    }
    return { ...NO_BACKING, special: SPECIAL.get(text) ?? "other", name: SPECIAL.has(text) ? null : nameFromRaw(text) };
  }
  const deleted = text.endsWith(DELETED_SUFFIX);
  const path = deleted ? text.slice(0, -DELETED_SUFFIX.length) : text;
  const escaped = path.includes("\\012");
  return {
    name: nameFromRaw(escaped ? path.replaceAll("\\012", "\n") : path),
    deleted,
    escaped,
    special: null,
    anonymousName: null,
  };
}

export function readMaps(pid: Pid): MapsEntry[] | null {
  const raw = readProcRaw(`/proc/${pid}/maps`);
  return raw === null ? null : parseMaps(raw);
}

/**
 * The true name of a mapping whose text is ambiguous (`escaped` or `deleted`), and whether the file is really gone. What
 * can't be found out stays as the text has it.
 */
export function resolveMappedName(pid: Pid, entry: MapsEntry): { readonly name: Name | null; readonly deleted: boolean } {
  if (entry.name === null || !(entry.deleted || entry.escaped)) return entry;
  const link = readMappedLink(pid, entry);
  if (link === null) return entry;
  const raw = link.toString("latin1");
  if (!raw.endsWith(DELETED_SUFFIX)) return { name: nameFromRaw(raw), deleted: false };
  if (hasInode(pid, link, entry.inode)) return { name: nameFromRaw(raw), deleted: false };
  return { name: nameFromRaw(raw.slice(0, -DELETED_SUFFIX.length)), deleted: true };
}

/** The kernel's own bytes, without escapes. Null when the mapping is gone, or this user may not ask. */
function readMappedLink(pid: Pid, entry: MapsEntry): Buffer | null {
  try {
    return readProcLinkBytes(`/proc/${pid}/map_files/${entry.start.toString(16)}-${entry.end.toString(16)}`);
  } catch (error) {
    if (error instanceof CairnError && error.code === "permission") return null;
    throw error;
  }
}

/** Devices are not compared: btrfs and overlayfs show other ones in maps than stat does. */
function hasInode(pid: Pid, path: Buffer, inode: bigint): boolean {
  try {
    return fs.lstatSync(Buffer.concat([Buffer.from(`/proc/${pid}/root`), path]), { bigint: true }).ino === inode;
  } catch {
    return false;
  }
}

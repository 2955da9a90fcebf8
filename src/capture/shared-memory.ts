/**
 * Memory that several processes share and that no file name leads to: MAP_SHARED anonymous memory, memfds, shared
 * mappings of removed files. Each object is saved once, while the job is frozen (a snapshot would go on sharing it).
 */
import { closeSync, openSync, statSync } from "node:fs";
import type { Fd, Pid } from "../base/ids.ts";
import type { ImageWriter, Name, PageRun, SharedMemory } from "../image/mod.ts";
import { tryControl } from "../kernel/descriptors.ts";
import type { MapsEntry } from "../kernel/procfs/mod.ts";
import { sharedObjectName } from "./mappings.ts";
import { readableMemory, writePages } from "./pages.ts";
import { saveFile } from "./saved-files.ts";

const F_GET_SEALS = 1034;
const PAGE_BYTES = 4096;

interface Shared {
  readonly id: number;
  kind: SharedMemory["kind"];
  name: Name;
  mode: number;
  /** A link of /proc through which its content can be read as a file. */
  path: string | null;
  sizeBytes: number;
  readonly mappings: {
    readonly pid: Pid;
    readonly start: bigint;
    readonly end: bigint;
    readonly offsetBytes: number;
    readonly isShared: boolean;
  }[];
}

export class SharedObjects {
  readonly #byKey = new Map<string, Shared>();

  #object(key: string): Shared {
    let object = this.#byKey.get(key);
    if (object === undefined) {
      object = { id: this.#byKey.size, kind: "anonymous", name: "", mode: 0o600, path: null, sizeBytes: 0, mappings: [] };
      this.#byKey.set(key, object);
    }
    return object;
  }

  addMapping(key: string, pid: Pid, entry: MapsEntry): number {
    const object = this.#object(key);
    const named = sharedObjectName(entry);
    if (named.kind === "memfd") {
      object.kind = "memfd";
      object.name = named.name ?? "";
    }
    const offsetBytes = Number(entry.offset);
    object.mappings.push({ pid, start: entry.start, end: entry.end, offsetBytes, isShared: entry.permissions.endsWith("s") });
    object.sizeBytes = Math.max(object.sizeBytes, offsetBytes + Number(entry.end - entry.start));
    object.path ??= readableLink(pid, entry);
    return object.id;
  }

  addDescriptor(
    key: string,
    found: { readonly path: string; readonly name: Name; readonly sizeBytes: number; readonly mode: number },
  ): number {
    const object = this.#object(key);
    object.kind = "memfd";
    object.name = found.name;
    object.mode = found.mode;
    object.path = found.path;
    return object.id;
  }

  async save(writer: ImageWriter): Promise<SharedMemory[]> {
    const saved: SharedMemory[] = [];
    for (const object of this.#byKey.values()) {
      const { id, kind, name, mode } = object;
      if (object.path === null) {
        saved.push({ id, kind, name, mode, seals: 0, sizeBytes: object.sizeBytes, runs: await readThroughMappings(writer, object) });
        continue;
      }
      const sizeBytes = statSync(object.path).size;
      const identity = { device: "0", inode: "0", sizeBytes, mtimeNs: "0" };
      saved.push({ id, kind, name, mode, seals: sealsOf(object.path), sizeBytes, runs: await saveFile(writer, object.path, identity) });
    }
    return saved;
  }
}

/** /proc/PID/map_files can be opened by root only; an ordinary user reads through a mapping. */
function readableLink(pid: Pid, entry: MapsEntry): string | null {
  const path = `/proc/${pid}/map_files/${entry.start.toString(16)}-${entry.end.toString(16)}`;
  try {
    closeSync(openSync(path, "r"));
    return path;
  } catch {
    return null;
  }
}

function sealsOf(path: string): number {
  const fd = openSync(path, "r") as Fd;
  try {
    return Math.max(0, tryControl(fd, F_GET_SEALS));
  } finally {
    closeSync(fd);
  }
}

async function readThroughMappings(writer: ImageWriter, object: Shared): Promise<PageRun[]> {
  const runs: PageRun[] = [];
  let covered = 0;
  // A private mapping shows its own changes where it has any: those that share come first.
  const shared = object.mappings.filter((mapping) => mapping.isShared);
  const byOffset = (shared.length > 0 ? shared : [...object.mappings]).sort((a, b) => a.offsetBytes - b.offsetBytes);
  for (const { pid, start, end, offsetBytes } of byOffset) {
    const from = Math.max(offsetBytes, covered);
    const until = offsetBytes + Number(end - start);
    if (from >= until) continue;
    const first = start + BigInt(from - offsetBytes);
    const found = await writePages(writer, readableMemory(pid), first, [{ start: first, count: (until - from) / PAGE_BYTES }], true);
    for (const [page, count, at] of found) runs.push([from / PAGE_BYTES + page, count, at]);
    covered = until;
  }
  return runs;
}

/**
 * Paths that lie elsewhere on this machine: `--map /old=/new`. They are replaced in the metadata once, before anything looks at
 * them, so that all of the restart sees only the new ones. What the program itself has in memory (its arguments, `$PWD`) stays.
 */
import { CairnError } from "../base/errors.ts";
import { encodeName, nameToBuffer } from "../base/names.ts";
import type { ImageMetadata, Name, OpenFile } from "../image/mod.ts";

export interface PathMove {
  readonly from: string;
  readonly to: string;
}

/** `/old=/new`, for the folder or file with this name and everything below. Throws a CairnError (`usage`). */
export function parsePathMove(text: string): PathMove {
  const at = text.indexOf("=/");
  const from = withoutSlashes(text.slice(0, at));
  if (at < 0 || !from.startsWith("/")) {
    throw new CairnError("usage", `Cannot map "${text}": it takes two absolute paths, and not the root folder as the first`, {
      hint: "Example: cairn restart lu --map /home/ada=/scratch/ada",
    });
  }
  return { from, to: withoutSlashes(text.slice(at + 1)) || "/" };
}

const withoutSlashes = (path: string): string => path.replace(/\/+$/, "");

/** Files that a restart opens by their name. */
const NAMED: ReadonlySet<OpenFile["kind"]> = new Set(["file", "directory", "path", "device", "fifo"]);

/** `unused`: moves that no path of the checkpoint begins with. Of several that fit, the longest counts. */
export function movePaths(
  metadata: ImageMetadata,
  moves: readonly PathMove[],
): { readonly metadata: ImageMetadata; readonly unused: readonly PathMove[] } {
  const unused = new Set(moves);
  const byLength = moves.toSorted((a, b) => b.from.length - a.from.length);
  const move = (name: Name): Name => {
    const bytes = nameToBuffer(name);
    const found = byLength.find(({ from }) => isAtOrBelow(bytes, Buffer.from(from)));
    if (found === undefined) return name;
    unused.delete(found);
    const rest = bytes.subarray(Buffer.byteLength(found.from));
    return encodeName(Buffer.concat([Buffer.from(found.to === "/" && rest.length > 0 ? "" : found.to), rest]));
  };
  const moved: ImageMetadata = {
    ...metadata,
    processes: metadata.processes.map((process) => ({
      ...process,
      alive: process.alive === null ? null : moveProcess(process.alive, move),
    })),
    openFiles: metadata.openFiles.map((file) => {
      if (file.kind === "unix-socket") return moveSocket(file, move);
      if (file.kind === "inotify") return { ...file, watches: file.watches.map((watch) => ({ ...watch, name: move(watch.name) })) };
      if (file.kind === "fanotify") return { ...file, marks: file.marks.map((mark) => ({ ...mark, name: move(mark.name) })) };
      return NAMED.has(file.kind) && "name" in file ? { ...file, name: move(file.name) } : file;
    }),
    savedFiles: metadata.savedFiles.map((file) => ({ ...file, name: move(file.name) })),
  };
  return { metadata: moved, unused: [...unused] };
}

type Live = NonNullable<ImageMetadata["processes"][number]["alive"]>;

function moveProcess(live: Live, move: (name: Name) => Name): Live {
  return {
    ...live,
    executable: move(live.executable),
    workingDirectory: move(live.workingDirectory),
    rootDirectory: move(live.rootDirectory),
    mappings: live.mappings.map((one) => (one.file === undefined ? one : { ...one, file: { ...one.file, name: move(one.file.name) } })),
  };
}

type UnixSocket = Extract<OpenFile, { kind: "unix-socket" }>;

/** A socket that was bound to an absolute path is bound to the new one; a relative name is the same in another folder. */
function moveSocket(socket: UnixSocket, move: (name: Name) => Name): UnixSocket {
  if (socket.file === undefined) return socket;
  const name = move(socket.file.name);
  const moved = { ...socket, file: { ...socket.file, name } };
  const isAbsolute = socket.local !== undefined && Buffer.from(socket.local, "base64").equals(nameToBuffer(socket.file.name));
  return isAbsolute ? { ...moved, local: nameToBuffer(name).toString("base64") } : moved;
}

function isAtOrBelow(path: Buffer, folder: Buffer): boolean {
  if (!path.subarray(0, folder.length).equals(folder)) return false;
  return path.length === folder.length || path[folder.length] === "/".charCodeAt(0);
}

/**
 * Files that the job had open, compared with what the checkpoint saw: `compareFiles` only looks, and says what is to be done or
 * why it can't be. Missing files are made before the job's are opened; the others are taken back by rewind.ts, when all else of
 * the restart has succeeded.
 */
import { closeSync, constants, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { CairnError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { nameToBuffer, nameToText } from "../base/names.ts";
import type { ImageMetadata, ImageReader, Name, OpenFile } from "../image/mod.ts";
import { describeChange, isUnchanged } from "./file-change.ts";
import { giveAccess, makeFolderOf } from "./file-access.ts";
import { mayChangeFile } from "./mapped-files.ts";
import { collect } from "./problems.ts";
import { writeRuns } from "./saved-files.ts";

const O_ACCMODE = 3;

/** Opened for reading and writing, not only at its end: it may have been changed anywhere. */
const isWrittenInPlace = (flags: number): boolean => (flags & O_ACCMODE) === constants.O_RDWR && (flags & constants.O_APPEND) === 0;

type RegularFile = Extract<OpenFile, { kind: "file" }>;
type ComparedFile = Pick<RegularFile, "name" | "mode" | "identity" | "savedFile"> & {
  readonly isWritten: boolean;
  readonly inPlace: boolean;
};
type SavedFile = ImageMetadata["savedFiles"][number];

export interface Rewinding {
  readonly path: Buffer;
  readonly text: string;
  readonly sizeBytes: number;
  readonly saved: SavedFile | null;
  /** Files made since beside it that carry its name (a database's journal): they would be taken for its own. */
  readonly companions: readonly string[];
  readonly grownBytes: number;
  /** Size and time of change are the same, but what is written through a mapping need not change the time: the content decides. */
  readonly byContent: boolean;
  /** Output: where it still begins with what it held, the rest is cut off. If not, it is another file under that name. */
  readonly onlyGrows: boolean;
}

export interface FileComparison {
  readonly problems: readonly CairnError[];
  readonly warnings: readonly string[];
  readonly rewinding: readonly Rewinding[];
  /** Missing files whose content is in the image: made before the job's files are opened. */
  readonly missing: readonly { readonly path: Buffer; readonly text: string; readonly saved: SavedFile; readonly mode: number }[];
}

/** `problems`: a CairnError (`changed`) for each that can't be taken back, or differs at all under `fail`. */
export function compareFiles(metadata: ImageMetadata, rule: "rewind" | "keep" | "fail"): FileComparison {
  const comparison = { problems: [], warnings: [], rewinding: [], missing: [] };
  const seen = new Set<string>();
  // A file counts once: for what tells most of it, its content; then for a writer's view of it, then for a reader's.
  const weight = (file: ComparedFile): number => (file.savedFile === undefined ? 0 : 4) + (file.inPlace ? 2 : 0) + (file.isWritten ? 1 : 0);
  const files = [...openedFiles(metadata), ...mappedFiles(metadata)].sort((a, b) => weight(b) - weight(a));
  const mapped = namesOfWritableMappings(metadata);
  for (const file of files) {
    const text = nameToText(file.name);
    if (seen.has(text)) continue;
    seen.add(text);
    collect(comparison.problems, () => compareFile(file, metadata, rule, mapped, comparison));
  }
  return comparison;
}

function compareFile(
  file: ComparedFile,
  metadata: ImageMetadata,
  rule: "rewind" | "keep" | "fail",
  mapped: ReadonlySet<string>,
  { warnings, rewinding, missing }: { warnings: string[]; rewinding: Rewinding[]; missing: FileComparison["missing"][number][] },
): void {
  const path = nameToBuffer(file.name);
  const text = nameToText(file.name);
  const saved = metadata.savedFiles.find((one) => one.id === file.savedFile) ?? null;
  const now = tryStat(path);
  if (now === null) {
    if (saved === null || rule === "fail") throw missingFile(text);
    missing.push({ path, text, saved, mode: file.mode });
    warnings.push(`File ${text} is missing; it is made again with its content at the checkpoint`);
    return;
  }
  const size = Number(now.size);
  const sameContent = isUnchanged(file.identity, now);
  if (!file.isWritten) {
    if (sameContent) return;
    warnings.push(`File ${text}, which the job reads, has changed since the checkpoint (${describeChange(file.identity, now)})`);
    if (rule === "fail") throw changedFile(text, describeChange(file.identity, now));
    return;
  }
  const companions = saved === null || !file.inPlace ? [] : companionsOf(path, metadata);
  const byContent = sameContent && companions.length === 0;
  if (byContent && !(saved !== null && mapped.has(text))) return;
  const onlyGrows = !file.inPlace;
  if (rule === "keep") return;
  if (rule === "fail") {
    if (byContent) return;
    throw changedFile(text, sameContent ? `${companions.join(", ")} was made since` : describeChange(file.identity, now));
  }
  if (saved === null && size < file.identity.sizeBytes) {
    throw changedFile(text, `it had ${file.identity.sizeBytes} bytes at the checkpoint and has ${size} now`);
  }
  if (saved === null && size === file.identity.sizeBytes) {
    warnings.push(
      `File ${text} has the length that it had, but was written to since (${describeChange(file.identity, now)}); what was changed inside it is not taken back`,
    );
    return;
  }
  const grownBytes = size - file.identity.sizeBytes;
  rewinding.push({
    path,
    text,
    sizeBytes: file.identity.sizeBytes,
    saved,
    companions,
    grownBytes,
    byContent: byContent || (onlyGrows && grownBytes === 0),
    onlyGrows,
  });
}

/** A directory of /proc that is there again once the job's processes are. */
export function isOfProcess(name: Name): boolean {
  return /^\/proc\/\d+(\/|$)/.test(nameToText(name));
}

/** A CairnError (`changed`) for each directory in which a process of the job stood and that is not there. */
export function compareDirectories(metadata: ImageMetadata): CairnError[] {
  const problems: CairnError[] = [];
  for (const { pid, alive } of metadata.processes) {
    if (alive === null) continue;
    for (const [what, name] of [
      ["working", alive.workingDirectory],
      ["root", alive.rootDirectory],
    ] as const) {
      const path = nameToText(name);
      collect(problems, () => {
        if (isOfProcess(name) || tryStat(nameToBuffer(name))?.isDirectory() === true) return;
        throw new CairnError("changed", `Cannot restart: ${path}, the ${what} directory of process ${pid}, is missing`, {
          data: { pid, path },
          hint: "Make the directory again (with what the program needs from it), or say where it is now with --map /OLD=/NEW; then try again",
        });
      });
    }
  }
  return problems;
}

/** What `rewindFiles` would do, in words. */
export function describeRewinding({ rewinding }: FileComparison): string[] {
  return rewinding.flatMap(({ text, saved, sizeBytes, grownBytes, companions, onlyGrows }) => [
    ...companions.map((companion) => `File ${companion} was made after the checkpoint; it would be put aside`),
    saved === null || (onlyGrows && grownBytes > 0)
      ? `File ${text} would be taken back to ${sizeBytes} bytes; the ${grownBytes} bytes written since would be kept aside`
      : `File ${text} would be taken back to its content at the checkpoint; what it is now would be kept aside`,
  ]);
}

/** Regular files with a name. */
function openedFiles(metadata: ImageMetadata): ComparedFile[] {
  return metadata.openFiles
    .filter((file): file is RegularFile => file.kind === "file" && !file.deleted)
    .map((file) => ({ ...file, isWritten: (file.flags & O_ACCMODE) !== 0, inPlace: isWrittenInPlace(file.flags) }));
}

function namesOfWritableMappings(metadata: ImageMetadata): Set<string> {
  const mappings = metadata.processes.flatMap(({ alive }) => alive?.mappings ?? []);
  return new Set(mappings.flatMap((one) => (one.file !== undefined && mayChangeFile(one) ? [nameToText(one.file.name)] : [])));
}

/** Files with saved content that nobody has open: they were changed through a mapping. */
function mappedFiles(metadata: ImageMetadata): ComparedFile[] {
  const opened = new Set(metadata.openFiles.map((file) => (file.kind === "file" ? file.savedFile : undefined)));
  return metadata.savedFiles
    .filter((saved) => !opened.has(saved.id))
    .map(({ id, name, mode, identity }) => ({ name, mode, identity, savedFile: id, isWritten: true, inPlace: true }));
}

function missingFile(text: string): CairnError {
  return new CairnError("changed", `Cannot restart: ${text}, which the job has open, is missing`, {
    data: { path: text },
    hint: "Put the file back where it was, or say where it is now with --map /OLD=/NEW; then try again",
  });
}

function changedFile(text: string, how: string): CairnError {
  return new CairnError("changed", `Cannot restart: ${text} is not as the checkpoint saw it: ${how}`, {
    data: { path: text },
    hint: "Put the file back, or accept it as it is with --files keep",
  });
}

function tryStat(path: Buffer): ReturnType<typeof statBig> | null {
  try {
    return statBig(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw error;
  }
}

function statBig(path: Buffer | string) {
  return statSync(path, { bigint: true });
}

function companionsOf(path: Buffer, metadata: ImageMetadata): string[] {
  const text = path.toString();
  const directory = dirname(text);
  const prefix = `${basename(text)}-`;
  const named = [...metadata.openFiles, ...metadata.savedFiles].flatMap((file) => ("name" in file ? [nameToText(file.name)] : []));
  const known = new Set(named);
  const takenAt = BigInt(metadata.clocks.realtimeNs);
  return readdirSync(directory)
    .filter((name) => name.startsWith(prefix))
    .map((name) => join(directory, name))
    .filter((candidate) => !known.has(candidate) && bornAfter(candidate, takenAt));
}

function bornAfter(path: string, moment: bigint): boolean {
  const stat = tryStat(Buffer.from(path));
  return stat !== null && stat.isFile() && stat.birthtimeNs > moment;
}

/** Makes missing files again. Gives what undoes it. */
export function makeMissing(reader: ImageReader, comparison: FileComparison): () => void {
  const made: Buffer[] = [];
  const folders: string[] = [];
  const undo = (): void => {
    for (const path of made.splice(0)) rmSync(path, { force: true });
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  };
  try {
    for (const { path, text, saved, mode } of comparison.missing) {
      const folder = makeFolderOf(path);
      if (folder !== null) folders.push(folder);
      const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600) as Fd;
      made.push(path);
      try {
        writeRuns(reader, fd, saved.runs, saved.identity.sizeBytes, text);
        giveAccess(fd, saved.access ?? { mode });
      } finally {
        closeSync(fd);
      }
    }
  } catch (error) {
    undo();
    throw error;
  }
  return undo;
}

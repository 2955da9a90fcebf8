/** Files that are mapped, and executables: compared with what the checkpoint saw, then opened once each. */
import { accessSync, constants, statSync } from "node:fs";
import { CairnError, SyscallError } from "../base/errors.ts";
import { nameToBuffer, nameToText } from "../base/names.ts";
import type { FileIdentity, ImageMetadata, LiveProcessImage, Mapping, Name } from "../image/mod.ts";
import { O_RDONLY, O_RDWR } from "../kernel/abi/constants.ts";
import { openFile } from "../kernel/open.ts";
import { describeChange, isUnchanged } from "./file-change.ts";
import type { PassedOn } from "./pass-on.ts";

const HINT =
  "The program's memory refers to these files as they were. Put them back (the same versions of the packages), say where they are now with --map /OLD=/NEW, or accept what is there with --files keep";

interface Mapped {
  readonly name: Name;
  readonly identity: FileIdentity;
  readonly isShared: boolean;
  readonly toWrite: boolean;
}

function mappedFiles(metadata: ImageMetadata): Mapped[] {
  const found = new Map<string, Mapped>();
  const add = (one: Mapped): void => {
    const key = `${one.isShared ? "shared" : "private"} ${keyOf(one.name, one.toWrite)}`;
    if (!found.has(key)) found.set(key, one);
  };
  for (const { alive } of metadata.processes) {
    if (alive === null) continue;
    add({ name: alive.executable, identity: alive.executableIdentity, isShared: false, toWrite: false });
    for (const mapping of alive.mappings) {
      if (mapping.file === undefined) continue;
      add({ ...mapping.file, isShared: mapping.permissions.endsWith("s"), toWrite: mayChangeFile(mapping) });
    }
  }
  return [...found.values()];
}

/** One CairnError (`changed`) for every file that is missing, another, or not to be read. */
export function compareMappedFiles(metadata: ImageMetadata, checkIdentity: boolean): CairnError[] {
  // What is shared may have changed: that is what it is shared for. It is made again where its content is in the image.
  const saved = new Set(metadata.savedFiles.map(({ name }) => nameToText(name)));
  return mappedFiles(metadata).flatMap(({ name, identity, isShared }) => {
    const path = nameToText(name);
    const problem = problemOf(nameToBuffer(name), identity, isShared, checkIdentity);
    if (problem === null || (isShared && problem === MISSING && saved.has(path))) return [];
    return [new CairnError("changed", `Cannot restart: ${path} ${problem}`, { data: { path }, hint: HINT })];
  });
}

const MISSING = "is missing";

function problemOf(path: Buffer, identity: FileIdentity, isShared: boolean, checkIdentity: boolean): string | null {
  try {
    const now = statSync(path, { bigint: true });
    if (checkIdentity && !isShared && !isUnchanged(identity, now))
      return `has changed since the checkpoint (${describeChange(identity, now)})`;
    accessSync(path, constants.R_OK);
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR" ? MISSING : `cannot be opened (${code ?? "unknown error"})`;
  }
}

export class MappedFiles {
  readonly #numbers = new Map<string, number>();

  /** Precondition: they have been compared. Throws a SyscallError for one that went meanwhile. */
  constructor(metadata: ImageMetadata, passed: PassedOn) {
    for (const { name, toWrite } of mappedFiles(metadata)) {
      const key = keyOf(name, toWrite);
      if (!this.#numbers.has(key)) this.#numbers.set(key, passed.addUntilMapped(openMapped(nameToBuffer(name), toWrite)));
    }
  }

  ofMapping(mapping: Mapping): number {
    return mapping.file === undefined ? -1 : (this.#numbers.get(keyOf(mapping.file.name, mayChangeFile(mapping))) ?? -1);
  }

  ofExecutable(live: LiveProcessImage): number {
    return this.#numbers.get(keyOf(live.executable, false)) ?? -1;
  }
}

/** Whether the mapping is, or may be made, one through which the file changes: only if it was open for writing. */
export function mayChangeFile(mapping: Mapping): boolean {
  return mapping.permissions.endsWith("s") && mapping.neverWritable !== true;
}

function keyOf(name: Name, toWrite: boolean): string {
  return `${toWrite ? "w" : "r"} ${nameToText(name)}`;
}

function openMapped(path: Buffer, toWrite: boolean): ReturnType<typeof openFile> {
  if (toWrite) {
    try {
      return openFile(path, O_RDWR);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
    }
  }
  return openFile(path, O_RDONLY);
}

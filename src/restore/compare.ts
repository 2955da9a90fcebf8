/**
 * This machine and what the checkpoint saw: everything that differs, before anything is started. What a problem is stands
 * against the restart; a note tells what will be otherwise than it was.
 */
import { accessSync, constants, statSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import { nameToBuffer, nameToText } from "../base/names.ts";
import type { ImageMetadata, Name } from "../image/mod.ts";
import { compareConnections } from "./compare-connections.ts";
import { compareHost } from "./compare-host.ts";
import { compareMappedFiles } from "./mapped-files.ts";
import { compareQueues } from "./message-queues.ts";
import type { RestoreRequest } from "./mod.ts";
import { compareDirectories, compareFiles } from "./output-files.ts";
import type { FileComparison } from "./output-files.ts";
import { credentialsToSet } from "./own-credentials.ts";
import { choosePids } from "./pids.ts";
import { collect, eachFileOnce } from "./problems.ts";
import { requireSeccomp } from "./seccomp.ts";
import { planTree } from "./tree-plan.ts";

export interface Comparison {
  readonly problems: readonly CairnError[];
  readonly notes: readonly string[];
  readonly files: FileComparison;
  readonly useNamespace: boolean;
  /** TCP connections that lead out of the job and are kept, by open file. */
  readonly keptConnections: ReadonlySet<number>;
}

export type CompareRules = Pick<RestoreRequest, "files" | "pids" | "tcp" | "held" | "takenUp">;

/** Only looks. */
export function compareAll(metadata: ImageMetadata, rules: CompareRules): Comparison {
  const host = compareHost(metadata);
  const files = compareFiles(metadata, rules.files);
  const pids = choosePids(metadata, rules.pids);
  const connections = compareConnections(metadata, rules);
  return {
    problems: eachFileOnce([
      ...host.problems,
      ...compareMappedFiles(metadata, rules.files !== "keep"),
      ...compareDirectories(metadata),
      ...files.problems,
      ...compareNamed(metadata),
      ...compareQueues(metadata),
      ...pids.problems,
      ...compareTree(metadata, pids.useNamespace),
      ...connections.problems,
    ]),
    notes: [...host.notes, ...files.warnings, ...pids.notes, ...connections.notes],
    files,
    useNamespace: pids.useNamespace,
    keptConnections: connections.kept,
  };
}

/** Relations between processes that can't be made again, and users whose processes this one may not make. */
function compareTree(metadata: ImageMetadata, useNamespace: boolean): CairnError[] {
  const problems: CairnError[] = [];
  collect(problems, () => planTree(metadata.processes));
  collect(problems, () => requireSeccomp(metadata));
  collect(problems, () => {
    for (const { alive } of metadata.processes) if (alive !== null) credentialsToSet(alive.credentials, useNamespace);
  });
  return problems;
}

const O_ACCMODE = 3;
const MODES = [constants.R_OK, constants.W_OK, constants.R_OK | constants.W_OK] as const;

/** What is opened again by its name, and has no content to compare. A FIFO that is missing is made again. */
function compareNamed({ openFiles }: ImageMetadata): CairnError[] {
  const problems: CairnError[] = [];
  for (const file of openFiles) {
    if (file.kind === "inotify") for (const { name } of file.watches) collect(problems, () => requireWatched(name, "inotify"));
    if (file.kind === "fanotify") for (const { name } of file.marks) collect(problems, () => requireWatched(name, "fanotify"));
    const isNamed = file.kind === "directory" || file.kind === "path" || file.kind === "device" || file.kind === "file";
    if (!isNamed || (file.kind === "file" && file.deleted)) continue;
    collect(problems, () => {
      const path = nameToText(file.name);
      if (statSync(nameToBuffer(file.name), { throwIfNoEntry: false }) === undefined) {
        // Regular files are compared by their content, and may be in the image.
        if (file.kind === "file") return;
        throw new CairnError("changed", `Cannot restart: ${path}, which the job has open, is missing`, {
          data: { path },
          hint: "Put the file back where it was, or say where it is now with --map /OLD=/NEW; then try again",
        });
      }
      if (file.kind === "path") return;
      requireAccess(path, nameToBuffer(file.name), MODES[(file.flags & O_ACCMODE) as 0 | 1 | 2] ?? 0);
    });
  }
  return problems;
}

function requireWatched(name: Name, by: string): void {
  if (statSync(nameToBuffer(name), { throwIfNoEntry: false }) !== undefined) return;
  const path = nameToText(name);
  throw new CairnError("changed", `Cannot restart: ${path}, which the job watches by ${by}, is missing`, {
    data: { path },
    hint: "Put it back where it was, or say where it is now with --map /OLD=/NEW; then try again",
  });
}

function requireAccess(path: string, name: Buffer, mode: number): void {
  try {
    accessSync(name, mode);
  } catch (error) {
    throw new CairnError(
      "permission",
      `Cannot restart: ${path} cannot be opened as the job had it open (${String((error as NodeJS.ErrnoException).code)})`,
      {
        data: { path },
        hint: "Restart as the user that the job ran as, or give this user access to the file",
        cause: error,
      },
    );
  }
}

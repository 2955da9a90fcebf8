/** What `cairn show --json` prints: docs/json.md. Names are text as for display; an image has them byte for byte. */
import { nameToText } from "../base/names.ts";
import { commandLineOf, environmentOf, mappingBytes, runBytes, summariseProcess } from "../image/mod.ts";
import type { ImageMetadata, LiveProcessImage, Mapping, ProcessImage } from "../image/mod.ts";
import { describeFlags, describeOpenFile } from "./describe-file.ts";
import type { CheckpointJson } from "./json.ts";

export interface MappingJson {
  readonly start: string;
  readonly end: string;
  readonly permissions: string;
  readonly kind: Mapping["kind"];
  readonly bytes: number;
  /** What of it lies in the image. */
  readonly savedBytes: number;
  readonly name: string | null;
}

export interface DescriptorJson {
  readonly fd: number;
  readonly kind: string;
  readonly access: string;
  readonly closeOnExec: boolean;
  /** The same for descriptors that share one open file description, in any process. */
  readonly openFile: number;
  readonly description: string;
}

export interface ProcessJson {
  readonly pid: number;
  readonly parentPid: number;
  readonly processGroup: number;
  readonly session: number;
  readonly state: ProcessImage["state"];
  readonly comm: string;
  readonly arguments: readonly string[];
  /** The rest is null, or empty, for a zombie. */
  readonly executable: string | null;
  readonly workingDirectory: string | null;
  readonly userId: number | null;
  readonly groupId: number | null;
  readonly mappedBytes: number;
  readonly savedBytes: number;
  readonly threads: readonly { readonly tid: number; readonly comm: string }[];
  readonly mappings: readonly MappingJson[];
  readonly descriptors: readonly DescriptorJson[];
  readonly environment: readonly string[];
}

export interface ShowJson extends CheckpointJson {
  readonly rootPid: number;
  readonly host: { readonly kernelRelease: string; readonly hostName: string; readonly machine: string; readonly processor: string };
  readonly processes: readonly ProcessJson[];
}

export function showJson(checkpoint: CheckpointJson, metadata: ImageMetadata): ShowJson {
  const { kernelRelease, hostName, machine, processor } = metadata.host;
  return {
    ...checkpoint,
    rootPid: metadata.rootPid,
    host: { kernelRelease, hostName, machine, processor },
    processes: metadata.processes.map((process) => processJson(process, metadata)),
  };
}

export function processJson(process: ProcessImage, metadata: ImageMetadata): ProcessJson {
  const { alive, pid, parentPid, processGroup, session, state, comm } = process;
  const { memory } = summariseProcess(process);
  return {
    pid,
    parentPid,
    processGroup,
    session,
    state,
    comm: nameToText(comm),
    arguments: alive === null ? [] : commandLineOf(alive).map(nameToText),
    executable: alive === null ? null : nameToText(alive.executable),
    workingDirectory: alive === null ? null : nameToText(alive.workingDirectory),
    userId: alive?.credentials.uids.effective ?? null,
    groupId: alive?.credentials.gids.effective ?? null,
    mappedBytes: memory.mappedBytes,
    savedBytes: memory.savedBytes,
    threads: (alive?.threads ?? []).map((thread) => ({ tid: thread.tid, comm: nameToText(thread.comm) })),
    mappings: (alive?.mappings ?? []).map((mapping) => mappingJson(mapping, alive)),
    descriptors: alive === null ? [] : descriptorsJson(alive, metadata),
    environment: alive === null ? [] : environmentOf(alive).map(nameToText),
  };
}

function mappingJson(mapping: Mapping, process: LiveProcessImage | null): MappingJson {
  const { start, end, permissions, kind, runs } = mapping;
  return { start, end, permissions, kind, bytes: mappingBytes(mapping), savedBytes: runBytes(runs), name: mappingName(mapping, process) };
}

function mappingName(mapping: Mapping, process: LiveProcessImage | null): string | null {
  if (mapping.file !== undefined) return nameToText(mapping.file.name);
  if (mapping.anonymousName !== undefined) return nameToText(mapping.anonymousName);
  if (mapping.segment !== undefined) return `System V segment ${mapping.segment.id}`;
  const layout = process?.memoryLayout;
  if (mapping.kind !== "anonymous" || layout === undefined) return null;
  // As the kernel tells them: whatever holds the break, and whatever holds the first stack frame.
  if (overlaps(mapping, BigInt(layout.startBrk), BigInt(layout.brk))) return "[heap]";
  return overlaps(mapping, BigInt(layout.startStack), BigInt(layout.startStack) + 1n) ? "[stack]" : null;
}

function overlaps(mapping: Mapping, start: bigint, end: bigint): boolean {
  return BigInt(mapping.start) < end && BigInt(mapping.end) > start;
}

function descriptorsJson(process: LiveProcessImage, metadata: ImageMetadata): DescriptorJson[] {
  return process.descriptors.flatMap(({ fd, openFile, closeOnExec }) => {
    const file = metadata.openFiles.find(({ id }) => id === openFile);
    if (file === undefined) return [];
    return [
      { fd, kind: file.kind, access: describeFlags(file.flags), closeOnExec, openFile, description: describeOpenFile(file, metadata) },
    ];
  });
}

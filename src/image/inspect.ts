/** What an image holds, in numbers and in words: for `cairn show` and for manifests. */
import { encodeName } from "../base/names.ts";
import type { Name } from "../base/names.ts";
import { fromWord } from "../base/words.ts";
import { PAGE_BYTES } from "./header.ts";
import type { ImageMetadata, LiveProcessImage, Mapping, OpenFileKind, PageRun, ProcessImage } from "./schema.ts";

export interface MemoryTotals {
  readonly mappings: number;
  /** Address space. */
  readonly mappedBytes: number;
  /** What of it lies in the image: the rest is untouched, or read again from the mapped file. */
  readonly savedBytes: number;
}

export interface ProcessSummary {
  readonly pid: number;
  readonly parentPid: number;
  readonly state: ProcessImage["state"];
  readonly comm: Name;
  /** Empty for a zombie, and for a program that has overwritten its arguments with nothing. */
  readonly arguments: readonly Name[];
  readonly threads: number;
  readonly descriptors: number;
  readonly memory: MemoryTotals;
}

export interface ImageSummary {
  readonly processes: number;
  readonly zombies: number;
  readonly threads: number;
  readonly descriptors: number;
  /** How many open file descriptions there are of each kind; kinds that are absent are left out. */
  readonly openFiles: Readonly<Partial<Record<OpenFileKind, number>>>;
  readonly memory: MemoryTotals;
  readonly memoryByKind: Readonly<Partial<Record<Mapping["kind"], MemoryTotals>>>;
  readonly sharedMemoryBytes: number;
  readonly savedFileBytes: number;
  readonly pipeBytes: number;
}

export function summariseImage(metadata: ImageMetadata): ImageSummary {
  const live = metadata.processes.flatMap(({ alive }) => (alive === null ? [] : [alive]));
  const mappings = live.flatMap((process) => process.mappings);
  const kinds = [...new Set(mappings.map(({ kind }) => kind))].toSorted();
  return {
    processes: metadata.processes.length,
    zombies: metadata.processes.length - live.length,
    threads: sum(live, ({ threads }) => threads.length),
    descriptors: sum(live, ({ descriptors }) => descriptors.length),
    openFiles: countKinds(metadata),
    memory: totals(mappings),
    memoryByKind: Object.fromEntries(kinds.map((kind) => [kind, totals(mappings.filter((mapping) => mapping.kind === kind))])),
    sharedMemoryBytes: sum(metadata.sharedMemory, ({ runs }) => runBytes(runs)),
    savedFileBytes: sum(metadata.savedFiles, ({ runs }) => runBytes(runs)),
    pipeBytes: sum(metadata.pipes, ({ content }) => sum(content, (part) => Buffer.byteLength(part, "base64"))),
  };
}

export function summariseProcess(process: ProcessImage): ProcessSummary {
  const { pid, parentPid, state, comm, alive } = process;
  return {
    pid,
    parentPid,
    state,
    comm,
    arguments: alive === null ? [] : commandLineOf(alive),
    threads: alive?.threads.length ?? 0,
    descriptors: alive?.descriptors.length ?? 0,
    memory: totals(alive?.mappings ?? []),
  };
}

export function commandLineOf(process: LiveProcessImage): Name[] {
  return splitAtNul(process.commandLine);
}

/** `NAME=value` as the process was started with, or has written over it since. */
export function environmentOf(process: LiveProcessImage): Name[] {
  return splitAtNul(process.environment);
}

export function mappingBytes(mapping: Mapping): number {
  return Number(fromWord(mapping.end) - fromWord(mapping.start));
}

export function runBytes(runs: readonly PageRun[]): number {
  return sum(runs, ([, pages]) => pages) * PAGE_BYTES;
}

function totals(mappings: readonly Mapping[]): MemoryTotals {
  return { mappings: mappings.length, mappedBytes: sum(mappings, mappingBytes), savedBytes: sum(mappings, ({ runs }) => runBytes(runs)) };
}

function countKinds(metadata: ImageMetadata): Partial<Record<OpenFileKind, number>> {
  const counts: Partial<Record<OpenFileKind, number>> = {};
  for (const { kind } of metadata.openFiles) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

function splitAtNul(base64: string): Name[] {
  const bytes = Buffer.from(base64, "base64");
  const parts: Name[] = [];
  for (let start = 0; start < bytes.length;) {
    const nul = bytes.indexOf(0, start);
    const end = nul === -1 ? bytes.length : nul;
    parts.push(encodeName(bytes.subarray(start, end)));
    start = end + 1;
  }
  return parts;
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}

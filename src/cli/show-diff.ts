/** `cairn show JOB --diff N M`: what changed from one checkpoint to another. */
import { formatBytes } from "../base/bytes.ts";
import { formatDuration } from "../base/duration.ts";
import { CairnError } from "../base/errors.ts";
import { nameToText } from "../base/names.ts";
import { ImageReader } from "../image/mod.ts";
import type { Job, WholeCheckpoint } from "../store/mod.ts";
import { chosenCheckpoint } from "../supervisor/chosen-checkpoint.ts";
import { diffJson } from "./diff-json.ts";
import type { Change, DiffJson, ProcessDiffJson } from "./diff-json.ts";
import { printJson, printOut, styleOut } from "./output.ts";
import type { DescriptorJson, MappingJson } from "./show-json.ts";
import { formatTable } from "./table.ts";
import type { Column } from "./table.ts";
import { outputWidth } from "./terminal-width.ts";

export interface ShowDiffJson extends DiffJson {
  readonly job: string;
  readonly from: { readonly number: number; readonly takenAt: string; readonly imageBytes: number };
  readonly to: { readonly number: number; readonly takenAt: string; readonly imageBytes: number };
}

/** The two numbers of `--diff N M`. Throws a CairnError (`usage`). */
export function parseDiffNumbers(words: readonly string[]): readonly [number, number] {
  const [from, to] = words.map(Number);
  if (words.length === 2 && words.every((word) => /^[0-9]{1,15}$/.test(word)) && from !== undefined && to !== undefined) return [from, to];
  throw new CairnError("usage", "--diff takes the numbers of two checkpoints", { hint: "Example: cairn show lu --diff 3 5" });
}

export function showDiff(job: Job, [from, to]: readonly [number, number], json: boolean): void {
  const [before, after] = [chosenCheckpoint(job, from), chosenCheckpoint(job, to)];
  using reader = ImageReader.open(before.imagePath);
  using other = ImageReader.open(after.imagePath);
  const diff = { job: job.name, from: briefly(before), to: briefly(after), ...diffJson(reader.metadata, other.metadata) };
  if (json) printJson(diff satisfies ShowDiffJson);
  else printOut(diffText(diff, outputWidth()));
}

function briefly({ number, manifest }: WholeCheckpoint): ShowDiffJson["from"] {
  return { number, takenAt: manifest.takenAt, imageBytes: manifest.imageBytes };
}

/** `maxWidth`: the terminal's. */
export function diffText(diff: ShowDiffJson, maxWidth: number | undefined): string {
  const { job, from, to } = diff;
  const apartMs = Date.parse(to.takenAt) - Date.parse(from.takenAt);
  const apart = `${formatDuration(Math.abs(apartMs))} ${apartMs < 0 ? "earlier" : "later"}`;
  const title = `Job "${job}", from checkpoint ${from.number} to ${to.number}, taken ${apart}`;
  const rows = rowsOf(diff);
  if (rows.length === 0) return `${title}: nothing changed but the contents of memory, if that\n`;
  const columns: Column[] = [
    { title: "PROCESS", align: "right" },
    { title: "WHAT" },
    { title: "BEFORE" },
    { title: "AFTER", flexible: true },
  ];
  const head = (text: string): string => styleOut("dim", text);
  return `${styleOut("bold", title)}\n${formatTable(columns, rows, { head, ...(maxWidth === undefined ? {} : { maxWidth }) })}`;
}

type Row = readonly [process: string, what: string, before: string, after: string];

function rowsOf({ processes, files, from, to }: ShowDiffJson): Row[] {
  const command = (one: DiffJson["processes"]["came"][number]): string =>
    one.arguments.length > 0 ? one.arguments.join(" ") : `[${one.comm}]`;
  return [
    ...(from.imageBytes === to.imageBytes ? [] : [["", "image", formatBytes(from.imageBytes), formatBytes(to.imageBytes)] as Row]),
    ...processes.came.map((one): Row => [String(one.pid), "process", "", command(one)]),
    ...processes.went.map((one): Row => [String(one.pid), "process", command(one), "ended"]),
    ...processes.changed.flatMap(processRows),
    ...files.map(({ name, ...change }): Row => ["", `size of ${name}`, ...bytesOf(change)]),
  ].map(([process, ...texts]): Row => [process, ...(texts.map((text) => nameToText(text)) as [string, string, string])]);
}

function bytesOf({ from, to }: Change<number>): [string, string] {
  const [before, after] = [formatBytes(from), formatBytes(to)];
  // Where three digits do not show it, all of them do.
  return before === after && from !== to ? [`${from} bytes`, `${to} bytes`] : [before, after];
}

function processRows(diff: ProcessDiffJson): Row[] {
  const pid = String(diff.pid);
  const { threads, mappedBytes, savedBytes, mappings, descriptors, environment } = diff;
  const sizes: [string, Change<number>][] = [
    ["address space", mappedBytes],
    ["memory in the image", savedBytes],
  ];
  return [
    ...diff.attributes.map(({ name, from, to }): Row => [pid, name, from, to]),
    ...threads.came.map(({ tid, comm }): Row => [pid, `thread ${tid}`, "", comm]),
    ...threads.went.map(({ tid, comm }): Row => [pid, `thread ${tid}`, comm, "ended"]),
    ...sizes.filter(([, { from, to }]) => from !== to).map(([name, change]): Row => [pid, name, ...bytesOf(change)]),
    ...mappings.appeared.map((one): Row => [pid, mappingText(one), "", sizeText(one)]),
    ...mappings.vanished.map((one): Row => [pid, mappingText(one), sizeText(one), "unmapped"]),
    ...mappings.changed.map(({ from, to }): Row => [pid, mappingText(to), ...changedMapping(from, to)]),
    ...descriptors.opened.map((one): Row => [pid, `descriptor ${one.fd}`, "", descriptorText(one)]),
    ...descriptors.closed.map((one): Row => [pid, `descriptor ${one.fd}`, descriptorText(one), "closed"]),
    ...descriptors.changed.map(({ fd, from, to }): Row => [pid, `descriptor ${fd}`, from, to]),
    ...environment.set.map((variable): Row => [pid, "environment", "", variable]),
    ...environment.unset.map((name): Row => [pid, "environment", name, "unset"]),
  ];
}

function mappingText({ start, kind, name }: MappingJson): string {
  return `memory ${start.slice(2)} ${name ?? kind}`;
}

function sizeText({ bytes, savedBytes, permissions }: MappingJson): string {
  return `${permissions} ${formatBytes(bytes)}, ${formatBytes(savedBytes)} saved`;
}

function changedMapping(from: MappingJson, to: MappingJson): [string, string] {
  const [before, after] = [sizeText(from), sizeText(to)];
  if (before !== after) return [before, after];
  return [`${from.bytes} bytes, ${from.savedBytes} saved`, `${to.bytes} bytes, ${to.savedBytes} saved`];
}

function descriptorText({ kind, description, access }: DescriptorJson): string {
  return `${kind} ${description} (${access})`;
}

/** What `cairn show --diff --json` prints: what changed from one checkpoint of a job to another. Pure. */
import { nameToText } from "../base/names.ts";
import type { ImageMetadata, LiveProcessImage, OpenFile, ProcessImage } from "../image/mod.ts";
import { LIMIT_LABELS } from "../kernel/procfs/mod.ts";
import { processJson } from "./show-json.ts";
import type { DescriptorJson, MappingJson, ProcessJson } from "./show-json.ts";

export interface Change<T> {
  readonly from: T;
  readonly to: T;
}

export type NamedChange<T> = Change<T> & { readonly name: string };

export interface ProcessBriefJson {
  readonly pid: number;
  readonly parentPid: number;
  readonly comm: string;
  readonly arguments: readonly string[];
}

export interface ProcessDiffJson {
  readonly pid: number;
  readonly comm: string;
  /** Command, folders, umask, user and group, limits, state. */
  readonly attributes: readonly NamedChange<string>[];
  readonly threads: { readonly came: ProcessJson["threads"]; readonly went: ProcessJson["threads"] };
  readonly mappedBytes: Change<number>;
  /** Bytes of pages that lie in the image. */
  readonly savedBytes: Change<number>;
  readonly mappings: {
    readonly appeared: readonly MappingJson[];
    readonly vanished: readonly MappingJson[];
    /** Grown, shrunk, of other permissions, or with more or fewer pages of its own. */
    readonly changed: readonly Change<MappingJson>[];
  };
  readonly descriptors: {
    readonly opened: readonly DescriptorJson[];
    readonly closed: readonly DescriptorJson[];
    /** Still open on the same thing, at another position or in another state. */
    readonly changed: readonly (Change<string> & { readonly fd: number; readonly kind: string })[];
  };
  readonly environment: { readonly set: readonly string[]; readonly unset: readonly string[] };
}

export interface DiffJson {
  readonly processes: {
    readonly came: readonly ProcessBriefJson[];
    readonly went: readonly ProcessBriefJson[];
    /** Those that are in both and differ. */
    readonly changed: readonly ProcessDiffJson[];
  };
  /** Sizes of files that the job had open both times. */
  readonly files: readonly NamedChange<number>[];
}

export function diffJson(before: ImageMetadata, after: ImageMetadata): DiffJson {
  const old = new Map(before.processes.map((one) => [one.pid, one]));
  const now = new Map(after.processes.map((one) => [one.pid, one]));
  const changed = after.processes.flatMap((to) => {
    const from = old.get(to.pid);
    const diff = from === undefined ? null : processDiff(from, before, to, after);
    return diff === null ? [] : [diff];
  });
  return {
    processes: {
      came: after.processes.filter(({ pid }) => !old.has(pid)).map((one) => brief(one, after)),
      went: before.processes.filter(({ pid }) => !now.has(pid)).map((one) => brief(one, before)),
      changed,
    },
    files: changesOf(sizesOf(before), sizesOf(after)),
  };
}

function brief(process: ProcessImage, metadata: ImageMetadata): ProcessBriefJson {
  const { pid, parentPid, comm, arguments: words } = processJson(process, metadata);
  return { pid, parentPid, comm, arguments: words };
}

function sizesOf({ openFiles }: ImageMetadata): Map<string, number> {
  return new Map(openFiles.flatMap((file) => (file.kind === "file" ? [[nameToText(file.name), file.identity.sizeBytes]] : [])));
}

/** Null when nothing has changed. */
function processDiff(from: ProcessImage, before: ImageMetadata, to: ProcessImage, after: ImageMetadata): ProcessDiffJson | null {
  const [old, now] = [processJson(from, before), processJson(to, after)];
  const threads = sides(old.threads, now.threads, ({ tid }) => tid);
  const diff: ProcessDiffJson = {
    pid: to.pid,
    comm: now.comm,
    attributes: changesOf(attributesOf(from, old), attributesOf(to, now)),
    threads: { came: threads.appeared, went: threads.vanished },
    mappedBytes: { from: old.mappedBytes, to: now.mappedBytes },
    savedBytes: { from: old.savedBytes, to: now.savedBytes },
    mappings: mappingsDiff(old.mappings, now.mappings),
    descriptors: descriptorsDiff(from.alive, before, old.descriptors, to.alive, after, now.descriptors),
    environment: environmentDiff(old.environment, now.environment),
  };
  return hasChanged(diff) ? diff : null;
}

function hasChanged({ attributes, threads, mappedBytes, savedBytes, mappings, descriptors, environment }: ProcessDiffJson): boolean {
  const lists = [attributes, ...[threads, mappings, descriptors, environment].flatMap((group) => Object.values(group) as unknown[][])];
  return lists.some((list) => list.length > 0) || mappedBytes.from !== mappedBytes.to || savedBytes.from !== savedBytes.to;
}

function attributesOf({ alive }: ProcessImage, shown: ProcessJson): Map<string, string> {
  const attributes = new Map([
    ["name", shown.comm],
    ["state", shown.state],
    ["parent", String(shown.parentPid)],
    ["process group", String(shown.processGroup)],
    ["session", String(shown.session)],
  ]);
  if (alive === null) return attributes;
  attributes.set("command", shown.arguments.join(" "));
  attributes.set("executable", nameToText(alive.executable));
  attributes.set("working directory", nameToText(alive.workingDirectory));
  attributes.set("root directory", nameToText(alive.rootDirectory));
  attributes.set("umask", alive.umask.toString(8).padStart(3, "0"));
  attributes.set("user", String(shown.userId));
  attributes.set("group", String(shown.groupId));
  for (const { resource, soft, hard } of alive.limits) {
    const label = LIMIT_LABELS[resource]?.replace(/^Max /, "") ?? String(resource);
    attributes.set(`limit of ${label}`, `${soft} (hard: ${hard})`);
  }
  return attributes;
}

/** Of what is in both: a process that has become a zombie has lost the rest, and its state says so. */
function changesOf<T>(before: ReadonlyMap<string, T>, after: ReadonlyMap<string, T>): NamedChange<T>[] {
  return [...after].flatMap(([name, to]) => {
    const from = before.get(name);
    return from === undefined || from === to ? [] : [{ name, from, to }];
  });
}

function sides<T>(before: readonly T[], after: readonly T[], keyOf: (one: T) => unknown): { appeared: T[]; vanished: T[] } {
  const [old, now] = [new Set(before.map(keyOf)), new Set(after.map(keyOf))];
  return { appeared: after.filter((one) => !old.has(keyOf(one))), vanished: before.filter((one) => !now.has(keyOf(one))) };
}

/** A mapping is the same while it starts, or ends, at the same address and is of the same thing: stacks grow downwards. */
function mappingsDiff(before: readonly MappingJson[], after: readonly MappingJson[]): ProcessDiffJson["mappings"] {
  const left = new Set(before);
  const byStart = new Map(before.map((one) => [one.start, one]));
  const byEnd = new Map(before.map((one) => [one.end, one]));
  const appeared: MappingJson[] = [];
  const changed: Change<MappingJson>[] = [];
  for (const to of after) {
    const from = [byStart.get(to.start), byEnd.get(to.end)].find((one) => one !== undefined && left.has(one) && isSameThing(one, to));
    if (from === undefined) {
      appeared.push(to);
      continue;
    }
    left.delete(from);
    const isEqual = from.bytes === to.bytes && from.savedBytes === to.savedBytes && from.permissions === to.permissions;
    if (!isEqual) changed.push({ from, to });
  }
  return { appeared, vanished: [...left], changed };
}

function isSameThing(one: MappingJson, other: MappingJson): boolean {
  return one.kind === other.kind && one.name === other.name;
}

function descriptorsDiff(
  from: LiveProcessImage | null,
  before: ImageMetadata,
  old: readonly DescriptorJson[],
  to: LiveProcessImage | null,
  after: ImageMetadata,
  now: readonly DescriptorJson[],
): ProcessDiffJson["descriptors"] {
  const known = new Map(old.map((one) => [one.fd, one]));
  const opened: DescriptorJson[] = [];
  const changed: ProcessDiffJson["descriptors"]["changed"][number][] = [];
  for (const one of now) {
    const was = known.get(one.fd);
    if (was === undefined || from === null || to === null || thingOf(was, before) !== thingOf(one, after)) {
      opened.push(one);
      continue;
    }
    known.delete(one.fd);
    const [stateBefore, stateAfter] = [stateText(was), stateText(one)];
    if (stateBefore !== stateAfter) changed.push({ fd: one.fd, kind: one.kind, from: stateBefore, to: stateAfter });
  }
  return { opened, closed: [...known.values()], changed };
}

/** What a descriptor is open on, apart from its state. */
function thingOf({ kind, openFile }: DescriptorJson, metadata: ImageMetadata): string {
  const file: OpenFile | undefined = metadata.openFiles.find(({ id }) => id === openFile);
  return `${kind} ${file !== undefined && "name" in file ? nameToText(file.name) : ""}`;
}

/** Numbers of pipes and terminals are an image's own. */
function stateText({ description, access }: DescriptorJson): string {
  return `${description.replace(/\b(pipe|pair) \d+/, "$1")} (${access})`;
}

function environmentDiff(before: readonly string[], after: readonly string[]): ProcessDiffJson["environment"] {
  const nameOf = (variable: string): string => variable.split("=", 1)[0] ?? "";
  const had = new Set(before);
  return { set: after.filter((variable) => !had.has(variable)), unset: sides(before, after, nameOf).vanished.map(nameOf) };
}

/** All open file descriptions of the tree, with the kernel objects behind them: pipes, terminals, shared memory, saved files. */
import { accessSync, constants, statSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import { encodeName, nameToBuffer, nameToText } from "../base/names.ts";
import type { Pid } from "../base/ids.ts";
import { toWord } from "../base/words.ts";
import type { ImageMetadata, ImageWriter, Name, OpenFile } from "../image/mod.ts";
import { duplicateFrom, openProcess } from "../kernel/descriptors.ts";
import type { OwnedFd } from "../kernel/descriptors.ts";
import { isEpollTarget } from "../kernel/kcmp.ts";
import { hasLease, leaseOf, ofdLocksOf } from "./description-locks.ts";
import type { Description, DescriptorReference } from "./descriptors.ts";
import { O_CLOEXEC } from "./descriptors.ts";
import { captureFanotify } from "./fanotify.ts";
import { inspectDescription, isWritable, leadsOutside, needsContent, ownerOf, regularFile, streamOf } from "./files.ts";
import type { Inspected } from "./files.ts";
import { captureInotify } from "./inotify.ts";
import type { JobPids } from "./job-pids.ts";
import { JobQueues } from "./message-queues.ts";
import { Pidfds } from "./pidfds.ts";
import { capacityOf, readPipeContent } from "./pipes.ts";
import type { PipeContent } from "./pipes.ts";
import { accessOf, identityOf } from "./process.ts";
import { captureRing } from "./rings.ts";
import { saveFile } from "./saved-files.ts";
import type { JobSockets } from "./sockets.ts";
import type { SharedObjects } from "./shared-memory.ts";
import { startingTerminalModes } from "./starting-terminal.ts";
import { readTerminal } from "./terminals.ts";
import type { WatchedPaths } from "./watched-paths.ts";

/** Larger files are taken back by truncation alone, and the user is told. */
export const LARGEST_SAVED_BYTES = 256 * 1024 * 1024;
/** Output that is larger is taken back by truncation alone, and has to be there: all of these together, and each. */
const LARGEST_OUTPUTS_BYTES = 16 * 1024 * 1024;
const LARGEST_OUTPUT_BYTES = 4 * 1024 * 1024;
const JOURNAL_SUFFIX = "-journal";
const OWNER_PROCESS_GROUP = 2;

export type OpenFileSections = Pick<ImageMetadata, "openFiles" | "pipes" | "ptys" | "savedFiles" | "messageQueues">;

export interface Found {
  readonly description: Description;
  readonly inspected: Inspected;
}

export async function captureOpenFiles(
  descriptions: readonly Description[],
  writer: ImageWriter,
  shared: SharedObjects,
  pids: JobPids,
  mapped: readonly Name[],
  sockets: JobSockets,
  watchedPaths: WatchedPaths,
  warnings: string[],
): Promise<OpenFileSections> {
  const found = descriptions.map((description) => ({ description, inspected: inspectDescription(description) }));
  const sections: OpenFileSections = { openFiles: [], pipes: [], ptys: [], savedFiles: [] };
  const pipes = new PipeEnds(found);
  const ptys = ptysInTree(found);
  const pidfds = new Pidfds(pids);
  const queues = new JobQueues(
    found.flatMap(({ description, inspected }) =>
      inspected.what === "message-queue" ? [{ key: inspected.key, reference: description.references[0] }] : [],
    ),
  );
  const saved = new Map<string, number>();
  let savedOutputBytes = 0;
  for (const { description, inspected } of found) {
    const reference = description.references[0];
    const file = await openFile(description, inspected);
    const owner = ownerOf(reference);
    if (owner !== null) file.owner = { ...owner, pid: ownerPid(owner, pids) };
    const flock = reference.info.locks.find((lock) => lock.type === "FLOCK" && !lock.waiting);
    if (flock !== undefined) file.flock = flock.mode === "WRITE" ? "exclusive" : "shared";
    const ofdLocks = ofdLocksOf(reference);
    if (ofdLocks.length > 0) file.ofdLocks = ofdLocks;
    const lease = leaseOf(reference, pids);
    if (lease !== undefined) file.lease = lease;
    sections.openFiles.push(file);
  }
  // A file that is changed through a mapping is like one that is open for reading and writing.
  for (const name of mapped) await saveContent(name, nameToBuffer(name), statSync(nameToBuffer(name)).mode & 0o7777, false, null);
  for (const name of sections.openFiles.flatMap(nameWrittenInPlace)) await saveJournal(name);
  resolveEpollTargets(sections.openFiles, descriptions);
  if (queues.queues.length > 0) sections.messageQueues = queues.queues;
  return sections;

  async function openFile(description: Description, inspected: Inspected): Promise<OpenFile> {
    const reference = description.references[0];
    const common = { id: description.id, flags: reference.info.flags & ~O_CLOEXEC };
    switch (inspected.what) {
      case "plain":
        return inspected.file;
      case "terminal":
        return {
          kind: "terminal",
          ...common,
          name: inspected.name,
          stream: streamOf(description),
          ...startingTerminalModes(description, pids),
        };
      case "socket": {
        const socket = sockets.capture(description, common);
        // A standard stream of whoever started the job is bound to the restarter's own, like a pipe would be.
        const isStandardStream = description.references.some(({ fd }) => fd <= 2);
        if (!("lost" in socket) || socket.lost !== "outside" || !isStandardStream) return socket;
        return { kind: "outside", ...common, description: `socket:[${inspected.inode}]`, stream: streamOf(description) };
      }
      case "io-uring":
        return captureRing(writer, reference, common);
      case "inotify":
        return captureInotify(reference, common, watchedPaths, warnings);
      case "fanotify":
        return captureFanotify(reference, common, watchedPaths, warnings);
      case "pidfd":
        return pidfds.describe(reference, common);
      case "message-queue":
        return { kind: "message-queue", ...common, queue: queues.idOf(inspected, reference) };
      case "pipe":
        return pipeFile(description, inspected, common);
      case "memfd":
        return {
          kind: "memfd",
          ...common,
          shared: shared.addDescriptor(inspected.key, inspected),
          positionBytes: Number(reference.info.pos),
        };
      case "pty-master":
        return { kind: "pty-master", ...common, pty: ptyId(inspected.index, reference) };
      case "pty-slave":
        if (!ptys.has(inspected.index))
          return {
            kind: "terminal",
            ...common,
            name: inspected.name,
            stream: streamOf(description),
            ...startingTerminalModes(description, pids),
          };
        return { kind: "pty-slave", ...common, pty: ptyId(inspected.index, ptys.get(inspected.index) as DescriptorReference) };
      case "regular":
        return regular(description, inspected);
    }
  }

  function pipeFile(
    description: Description,
    inspected: Extract<Inspected, { what: "pipe" }>,
    common: { id: number; flags: number },
  ): OpenFile {
    const reference = description.references[0];
    const ends = pipes.of(inspected.key);
    const half = inspected.name === null && !(ends.reader !== null && ends.writes);
    if (half && leadsOutside(reference, inspected.reads)) {
      return { kind: "outside", ...common, description: inspected.key.replace(/^pipe (\d+)$/, "pipe:[$1]"), stream: streamOf(description) };
    }
    let known = sections.pipes.find((pipe) => pipe.id === ends.id);
    if (known === undefined) {
      known = { id: ends.id, ...contentOf(ends.reader, reference) };
      sections.pipes.push(known);
    }
    if (inspected.name !== null) {
      const access = accessOf(`/proc/${reference.pid}/fd/${reference.fd}`);
      return { kind: "fifo", ...common, pipe: ends.id, name: inspected.name, access };
    }
    return { kind: "pipe", ...common, pipe: ends.id };
  }

  function ptyId(index: number, master: DescriptorReference): number {
    const known = sections.ptys.find((pty) => pty.index === index);
    if (known !== undefined) return known.id;
    using process = openProcess(master.pid);
    using own = duplicateFrom(process, master.pid, master.fd);
    using slave = ownSlave(found, index);
    const { session, foregroundGroup, ...state } = readTerminal(own.fd, slave, (problem) =>
      warnings.push(`Terminal /dev/pts/${index}: ${problem}`),
    );
    const id = sections.ptys.length;
    sections.ptys.push({
      id,
      index,
      ...state,
      session: pids.of(session as Pid),
      foregroundGroup: pids.ofGroup(foregroundGroup as Pid),
    });
    return id;
  }

  async function regular(description: Description, inspected: Extract<Inspected, { what: "regular" }>): Promise<OpenFile> {
    const file = regularFile(description, inspected);
    if (file.deleted && statSync(inspected.path).nlink > 0) {
      warnings.push(
        `File ${nameToText(file.name)} has lost this name and has another, which is not known: restarted, the job reads a copy`,
      );
    }
    if (file.deleted || needsContent(file.flags)) {
      const reference = description.references[0];
      const id = await saveContent(file.name, inspected.path, file.mode, file.deleted, hasLease(reference) ? reference : null);
      if (id !== null) file.savedFile = id;
    } else if (isWritable(file.flags)) {
      const id = await saveOutput(description.references[0], file.name, inspected.path, file.mode);
      if (id !== null) file.savedFile = id;
    }
    return file;
  }

  /** Small output: the file may be there under another name later, or not at all, as what is written aside and then renamed. */
  async function saveOutput(reference: DescriptorReference, name: Name, path: string | Buffer, mode: number): Promise<number | null> {
    const { sizeBytes } = identityOf(path);
    // Opened for writing only, it can't be read through the descriptor of who holds a lease.
    if (sizeBytes > LARGEST_OUTPUT_BYTES || savedOutputBytes + sizeBytes > LARGEST_OUTPUTS_BYTES || hasLease(reference)) return null;
    if (!mayRead(path)) return null;
    savedOutputBytes += sizeBytes;
    return saveContent(name, path, mode, false, null);
  }

  /** A database that has closed its journal removes it next, and fails where it is gone already. */
  async function saveJournal(name: Name): Promise<void> {
    const path = Buffer.concat([nameToBuffer(name), Buffer.from(JOURNAL_SUFFIX)]);
    const journal = statSync(path, { throwIfNoEntry: false });
    if (journal?.isFile() !== true || journal.size > LARGEST_SAVED_BYTES || !mayRead(path)) return;
    await saveContent(encodeName(path), path, journal.mode & 0o7777, false, null);
  }

  /** `leased`: the descriptor through which the file has to be read, for to open it would break a lease. */
  async function saveContent(
    name: Name,
    path: string | Buffer,
    mode: number,
    deleted: boolean,
    leased: DescriptorReference | null,
  ): Promise<number | null> {
    const identity = identityOf(path);
    const key = `${identity.device}:${identity.inode}`;
    const known = saved.get(key);
    if (known !== undefined) return known;
    if (!deleted && identity.sizeBytes > LARGEST_SAVED_BYTES) {
      warnings.push(
        `File ${nameToText(name)} is written in place and too large to be kept in the checkpoint (${identity.sizeBytes} bytes): a restart takes back its length, not changes inside it`,
      );
      return null;
    }
    const id = sections.savedFiles.length;
    saved.set(key, id);
    const entry = { id, name, mode, access: accessOf(path), identity, runs: await saveFile(writer, path, identity, leased) };
    sections.savedFiles.push(entry);
    return id;
  }
}

function nameWrittenInPlace(file: OpenFile): Name[] {
  return file.kind === "file" && !file.deleted && needsContent(file.flags) ? [file.name] : [];
}

function mayRead(path: string | Buffer): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** Which ends of each pipe the tree holds. */
export class PipeEnds {
  readonly #byKey = new Map<string, { readonly id: number; reader: DescriptorReference | null; writes: boolean }>();

  constructor(found: readonly Found[]) {
    for (const { description, inspected } of found) {
      if (inspected.what !== "pipe") continue;
      let ends = this.#byKey.get(inspected.key);
      if (ends === undefined) {
        ends = { id: this.#byKey.size, reader: null, writes: false };
        this.#byKey.set(inspected.key, ends);
      }
      if (inspected.reads) ends.reader ??= description.references[0];
      if (inspected.writes) ends.writes = true;
    }
  }

  of(key: string): { readonly id: number; readonly reader: DescriptorReference | null; readonly writes: boolean } {
    const ends = this.#byKey.get(key);
    if (ends === undefined) throw new CairnError("damaged", `The pipe ${key} vanished`);
    return ends;
  }
}

function contentOf(reader: DescriptorReference | null, any: DescriptorReference): PipeContent {
  const reference = reader ?? any;
  using process = openProcess(reference.pid);
  using own = duplicateFrom(process, reference.pid, reference.fd);
  if (reader === null) return { capacityBytes: capacityOf(own.fd), content: [], packets: [] };
  return readPipeContent(own.fd);
}

function ptysInTree(found: readonly Found[]): Map<number, DescriptorReference> {
  const masters = new Map<number, DescriptorReference>();
  for (const { description, inspected } of found) {
    if (inspected.what === "pty-master") masters.set(inspected.index, description.references[0]);
  }
  return masters;
}

/** A descriptor of ours on what the tree has open as a terminal's slave; null when it has none. */
function ownSlave(found: readonly Found[], index: number): OwnedFd | null {
  const open = found.find(({ inspected }) => inspected.what === "pty-slave" && inspected.index === index);
  if (open === undefined) return null;
  const { pid, fd } = open.description.references[0];
  using process = openProcess(pid);
  return duplicateFrom(process, pid, fd);
}

function ownerPid(owner: { type: number; pid: number }, pids: JobPids): number {
  const own = pids.of(owner.pid as Pid);
  // A group led from outside the tree keeps its number: there is nothing better to say.
  return own === 0 && owner.type === OWNER_PROCESS_GROUP ? owner.pid : own;
}

/**
 * An epoll instance names what it watches by descriptor number at the time of adding. The number may be closed or open on something
 * else by now, so kcmp(2) tells which description it is.
 */
export function resolveEpollTargets(openFiles: OpenFile[], descriptions: readonly Description[]): void {
  const byReference = new Map<string, Description>();
  for (const description of descriptions) for (const { pid, fd } of description.references) byReference.set(`${pid} ${fd}`, description);
  for (const description of descriptions) {
    const file = openFiles[description.id];
    if (file?.kind !== "epoll") continue;
    const { pid, fd, info } = description.references[0];
    const seen = new Map<number, number>();
    for (const target of info.epoll) {
      const nth = seen.get(target.fd) ?? 0;
      seen.set(target.fd, nth + 1);
      const isIt = ({ references: [one] }: Description): boolean => isEpollTarget(one.pid, one.fd, pid, fd, target.fd, nth);
      const likely = byReference.get(`${pid} ${target.fd}`);
      const id = (likely !== undefined && isIt(likely) ? likely : descriptions.find(isIt))?.id;
      if (id === undefined) {
        throw new CairnError(
          "unsupported",
          `Cannot save process ${pid}: epoll descriptor ${fd} watches something that no process of the job has open`,
          {
            data: { pid, fd, target: target.fd },
            hint: "Not carried over yet. The job was not changed",
          },
        );
      }
      file.targets.push({ fd: target.fd, openFile: id, events: target.events, data: toWord(target.data) });
    }
  }
}

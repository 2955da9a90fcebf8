/**
 * The rules that metadata keep beyond their shape, so that a restart can rely on them without looking twice:
 * - pids are unique, tids are unique; `rootPid` is one of the processes; a parent stands before its children;
 * - a process is a zombie exactly when the rest of it is absent;
 * - mappings ascend, don't overlap, begin and end on pages; a file or shared mapping says of what;
 * - page runs ascend, are not empty, and lie inside their mapping (shared memory, saved file) and inside the data section;
 * - ids are unique in their table, and what refers to an id finds it; descriptors of one process are unique;
 * - a mapping of a System V segment lies inside it; no two objects of a kind have the same id, or the same key;
 * - a pidfd is of a process or thread of the image; watches of an inotify instance ascend by their number;
 * - an io_uring has a size that the kernel takes, and a mapping of kind io-uring is of one;
 * - messages of a POSIX queue have room in it, and descend by priority;
 * - a seccomp filter consists of whole instructions; those of a thread are there;
 * - names have no NUL and survive UTF-8.
 *
 * Errors: `damaged`, with the reason alone as the message.
 */
import { CairnError } from "../base/errors.ts";
import { PAGE_BYTES } from "./header.ts";
import type {
  ConnectionState,
  ImageMetadata,
  LiveProcessImage,
  Mapping,
  MessageQueue,
  Name,
  OpenFile,
  PageRun,
  ProcessImage,
  SysvIpc,
} from "./schema.ts";

function check(condition: boolean, reason: () => string): asserts condition {
  if (!condition) throw new CairnError("damaged", reason());
}

interface Tables {
  readonly openFiles: ReadonlySet<number>;
  readonly pipes: ReadonlySet<number>;
  readonly ptys: ReadonlySet<number>;
  readonly messageQueues: ReadonlySet<number>;
  readonly sharedMemory: ReadonlySet<number>;
  readonly savedFiles: ReadonlySet<number>;
  readonly ioUrings: ReadonlySet<number>;
  readonly seccompFilters: ReadonlySet<number>;
  readonly sockets: ReadonlySet<number>;
  /** Size in pages by id. */
  readonly segments: ReadonlyMap<number, number>;
  /** By tid; the first thread of a process has its pid, also when it has ended. */
  readonly threads: ReadonlySet<number>;
}

const LARGEST_SUBMISSION_ENTRIES = 32768;
const LARGEST_COMPLETION_ENTRIES = 65536;
const LARGEST_OFFSET = (1n << 63n) - 1n;
const LARGEST_COUNT = 0xffff_ffff;
/** struct io_sqring_offsets and struct io_cqring_offsets. */
const RING_OFFSETS_BYTES = 80;
const REQUEST_BYTES = 64;
/** struct sock_filter. */
const FILTER_INSTRUCTION_BYTES = 8;
/** struct tcp_repair_window */
const REPAIR_WINDOW_BYTES = 20;
/** Bounds what a ring's pages can be, whatever their layout: 16 bytes an answer, 4 an index, and a few words before. */
const RING_HEAD_BYTES = 4096;

export function validateMetadata(metadata: ImageMetadata, dataPages: number): void {
  const tables: Tables = {
    openFiles: uniqueIds(metadata.openFiles, "open file"),
    pipes: uniqueIds(metadata.pipes, "pipe"),
    ptys: uniqueIds(metadata.ptys, "pseudo-terminal"),
    messageQueues: uniqueIds(metadata.messageQueues ?? [], "POSIX message queue"),
    sharedMemory: uniqueIds(metadata.sharedMemory, "shared memory"),
    savedFiles: uniqueIds(metadata.savedFiles, "saved file"),
    sockets: new Set(metadata.openFiles.filter(({ kind }) => kind === "unix-socket" || kind === "internet-socket").map(({ id }) => id)),
    ioUrings: new Set(metadata.openFiles.filter(({ kind }) => kind === "io-uring").map(({ id }) => id)),
    seccompFilters: uniqueIds(metadata.seccompFilters ?? [], "seccomp filter"),
    segments: new Map(metadata.sysvIpc?.segments.map(({ id, sizeBytes }) => [id, Math.ceil(sizeBytes / PAGE_BYTES)])),
    threads: new Set(metadata.processes.flatMap((one) => [one.pid, ...threadIds(one)])),
  };
  for (const file of metadata.openFiles) checkOpenFile(file, tables, dataPages);
  for (const { id, name, sizeBytes, runs } of metadata.sharedMemory) {
    checkName(name, () => `shared memory ${id}`);
    checkRuns(runs, Math.ceil(sizeBytes / PAGE_BYTES), dataPages, () => `shared memory ${id}`);
  }
  for (const { id, name, identity, runs } of metadata.savedFiles) {
    checkName(name, () => `saved file ${id}`);
    checkRuns(runs, Math.ceil(identity.sizeBytes / PAGE_BYTES), dataPages, () => `saved file ${id}`);
  }
  for (const queue of metadata.messageQueues ?? []) checkMessageQueue(queue);
  for (const { id, program } of metadata.seccompFilters ?? []) {
    check(Buffer.byteLength(program, "base64") % FILTER_INSTRUCTION_BYTES === 0, () => `seccomp filter ${id} ends inside an instruction`);
  }
  if (metadata.sysvIpc !== undefined) checkSysvIpc(metadata.sysvIpc, dataPages);
  checkProcesses(metadata, tables, dataPages);
}

function checkSysvIpc({ segments, semaphoreSets, queues }: SysvIpc, dataPages: number): void {
  for (const [objects, what] of [
    [segments, "System V segment"],
    [semaphoreSets, "semaphore set"],
    [queues, "message queue"],
  ] as const) {
    uniqueIds(objects, what);
    const keys = new Set<number>();
    for (const { id, key } of objects) {
      check(key === 0 || !keys.has(key), () => `${what} ${id} has the key of another`);
      keys.add(key);
    }
  }
  for (const { id, sizeBytes, runs } of segments) {
    check(sizeBytes > 0, () => `System V segment ${id} is empty`);
    checkRuns(runs, Math.ceil(sizeBytes / PAGE_BYTES), dataPages, () => `System V segment ${id}`);
  }
  for (const { id, messages } of queues) {
    for (const { type } of messages) check(BigInt(type) > 0n, () => `a message of queue ${id} has no valid type`);
  }
}

function uniqueIds(entries: readonly { readonly id: number }[], what: string): Set<number> {
  const ids = new Set<number>();
  for (const { id } of entries) {
    check(!ids.has(id), () => `${what} ${id} is there twice`);
    ids.add(id);
  }
  return ids;
}

function checkOpenFile(file: OpenFile, tables: Tables, dataPages: number): void {
  const where = () => `open file ${file.id}`;
  const refer = (table: ReadonlySet<number>, id: number, what: string) => {
    check(table.has(id), () => `${where()} refers to ${what} ${id}, which is missing`);
  };
  if ("name" in file) checkName(file.name, where);
  switch (file.kind) {
    case "file":
      if (file.savedFile !== undefined) refer(tables.savedFiles, file.savedFile, "saved file");
      break;
    case "pipe":
    case "fifo":
      refer(tables.pipes, file.pipe, "pipe");
      break;
    case "message-queue":
      refer(tables.messageQueues, file.queue, "message queue");
      break;
    case "memfd":
      refer(tables.sharedMemory, file.shared, "shared memory");
      break;
    case "pty-master":
    case "pty-slave":
      refer(tables.ptys, file.pty, "pseudo-terminal");
      break;
    case "epoll":
      for (const target of file.targets) refer(tables.openFiles, target.openFile, "open file");
      break;
    case "unix-socket":
    case "internet-socket":
      if (file.peer !== undefined) refer(tables.sockets, file.peer, "socket");
      if (file.waitsAt !== undefined) refer(tables.sockets, file.waitsAt, "socket");
      for (const { rights } of file.unread) for (const right of rights ?? []) refer(tables.openFiles, right, "open file");
      if (file.kind === "unix-socket" && file.file !== undefined) checkName(file.file.name, where);
      if (file.kind === "internet-socket" && file.connection !== undefined) checkConnection(file.connection, where);
      break;
    case "inotify": {
      let last = 0;
      for (const { watch, name } of file.watches) {
        check(watch > last, () => `watch ${watch} of ${where()} is there twice`);
        checkName(name, where);
        last = watch;
      }
      break;
    }
    case "fanotify":
      for (const { name } of file.marks) checkName(name, where);
      break;
    case "pidfd":
      check(file.pid === 0 || tables.threads.has(file.pid), () => `${where()} refers to process ${file.pid}, which is missing`);
      break;
    case "io-uring":
      checkIoUring(file, dataPages);
      break;
    default:
  }
}

function checkMessageQueue({ id, name, maxMessages, messageBytes, messages = [] }: MessageQueue): void {
  const where = () => `message queue ${id}`;
  checkName(name, where);
  check(maxMessages > 0 && messageBytes > 0 && messages.length <= maxMessages, () => `${where()} has no room for its messages`);
  messages.forEach(({ priority, content }, index) => {
    check(Buffer.byteLength(content, "base64") <= messageBytes, () => `${where()} has no room for its messages`);
    check(priority <= (messages[index - 1]?.priority ?? priority), () => `messages of ${where()} are not in their order`);
  });
}

function checkConnection({ queued, notSentBytes, window }: ConnectionState, where: () => string): void {
  check(Buffer.byteLength(window, "base64") === REPAIR_WINDOW_BYTES, () => `${where()} has no valid window`);
  check(notSentBytes <= Buffer.byteLength(queued, "base64"), () => `${where()} has more bytes that were not sent than bytes`);
}

function checkIoUring(file: Extract<OpenFile, { kind: "io-uring" }>, dataPages: number): void {
  const where = () => `io_uring ${file.id}`;
  const { submissionEntries, completionEntries } = file;
  const isSize = (entries: number, largest: number) => entries >= 1 && entries <= largest && (entries & (entries - 1)) === 0;
  check(isSize(submissionEntries, LARGEST_SUBMISSION_ENTRIES), () => `${where()} has no valid size`);
  check(
    isSize(completionEntries, LARGEST_COMPLETION_ENTRIES) && completionEntries >= submissionEntries,
    () => `${where()} has no valid size`,
  );
  check(file.requests <= LARGEST_COUNT, () => `${where()} has more requests than it counts`);
  check(Buffer.byteLength(file.offsets, "base64") === RING_OFFSETS_BYTES, () => `${where()} has no valid offsets`);
  const ringBytes = RING_HEAD_BYTES + 16 * completionEntries + 4 * submissionEntries;
  checkRuns(file.ringRuns, Math.ceil(ringBytes / PAGE_BYTES), dataPages, where);
  checkRuns(file.requestRuns, Math.ceil((submissionEntries * REQUEST_BYTES) / PAGE_BYTES), dataPages, where);
}

function checkProcesses(metadata: ImageMetadata, tables: Tables, dataPages: number): void {
  const pids = new Set<number>();
  const ownerOfTid = new Map<number, number>();
  for (const process of metadata.processes) {
    const { pid, parentPid, alive, state } = process;
    check(pid > 0 && !pids.has(pid), () => `process ${pid} is there twice`);
    check(parentPid === 0 || pids.has(parentPid), () => `process ${pid} stands before its parent ${parentPid}`);
    check((state === "zombie") === (alive === null), () => `process ${pid} is neither alive nor a zombie`);
    pids.add(pid);
    checkName(process.comm, () => `process ${pid}`);
    for (const tid of threadIds(process)) {
      check(tid > 0 && !ownerOfTid.has(tid), () => `thread ${tid} is there twice`);
      ownerOfTid.set(tid, pid);
    }
    if (alive !== null) checkLive(process, alive, tables, dataPages);
  }
  for (const [tid, pid] of ownerOfTid) check(tid === pid || !pids.has(tid), () => `thread ${tid} has the pid of another process`);
  check(pids.has(metadata.rootPid), () => `the root process ${metadata.rootPid} is missing`);
}

function threadIds({ pid, alive }: ProcessImage): number[] {
  return alive === null ? [pid] : alive.threads.map(({ tid }) => tid);
}

function checkLive(process: ProcessImage, alive: LiveProcessImage, tables: Tables, dataPages: number): void {
  const where = () => `process ${process.pid}`;
  for (const name of [alive.executable, alive.workingDirectory, alive.rootDirectory]) checkName(name, where);
  for (const { tid, comm, seccompFilters } of alive.threads) {
    checkName(comm, where);
    for (const filter of seccompFilters ?? []) {
      check(tables.seccompFilters.has(filter), () => `thread ${tid} refers to seccomp filter ${filter}, which is missing`);
    }
  }

  const fds = new Set<number>();
  for (const { fd, openFile } of alive.descriptors) {
    check(!fds.has(fd), () => `${where()} has descriptor ${fd} twice`);
    check(tables.openFiles.has(openFile), () => `descriptor ${fd} of ${where()} refers to open file ${openFile}, which is missing`);
    fds.add(fd);
  }
  for (const { fd, startBytes, lengthBytes } of alive.recordLocks) {
    check(fds.has(fd), () => `${where()} holds a lock on descriptor ${fd}, which is missing`);
    const isInFile = BigInt(startBytes) + BigInt(lengthBytes) <= LARGEST_OFFSET + 1n;
    check(isInFile, () => `${where()} holds a lock on descriptor ${fd} behind the end of any file`);
  }

  const tids = new Set(alive.threads.map(({ tid }) => tid));
  for (const { id, notify, threadId } of alive.posixTimers) {
    check(notify !== "thread-id" || tids.has(threadId), () => `timer ${id} of ${where()} refers to thread ${threadId}, which is missing`);
  }

  let previousEnd = 0;
  for (const mapping of alive.mappings) {
    previousEnd = checkMapping(mapping, previousEnd, where, tables, dataPages);
  }
}

/** Returns the page at which the mapping ends. */
function checkMapping(mapping: Mapping, previousEnd: number, whose: () => string, tables: Tables, dataPages: number): number {
  const where = () => `mapping ${mapping.start}-${mapping.end} of ${whose()}`;
  const start = pageNumber(mapping.start);
  const end = pageNumber(mapping.end);
  check(start !== undefined && end !== undefined && start < end, () => `${where()} has no valid bounds`);
  check(start >= previousEnd, () => `${where()} overlaps the one before it`);
  check((mapping.kind === "file") === (mapping.file !== undefined), () => `${where()} doesn't say of which file it is`);
  check((mapping.kind === "shared") === (mapping.shared !== undefined), () => `${where()} doesn't say of which shared memory it is`);
  check((mapping.kind === "io-uring") === (mapping.ioUring !== undefined), () => `${where()} doesn't say of which io_uring it is`);
  if (mapping.file !== undefined) {
    checkName(mapping.file.name, where);
    check(mapping.file.offsetBytes % PAGE_BYTES === 0, () => `${where()} has no valid offset`);
  }
  if (mapping.shared !== undefined) {
    const { id, offsetBytes } = mapping.shared;
    check(tables.sharedMemory.has(id), () => `${where()} refers to shared memory ${id}, which is missing`);
    check(offsetBytes % PAGE_BYTES === 0, () => `${where()} has no valid offset`);
  }
  check((mapping.kind === "segment") === (mapping.segment !== undefined), () => `${where()} doesn't say of which System V segment it is`);
  if (mapping.segment !== undefined) {
    const { id, offsetBytes } = mapping.segment;
    const pages = tables.segments.get(id);
    check(pages !== undefined, () => `${where()} refers to System V segment ${id}, which is missing`);
    const isInside = offsetBytes % PAGE_BYTES === 0 && offsetBytes / PAGE_BYTES + end - start <= pages;
    check(isInside, () => `${where()} does not lie inside its System V segment`);
    check(mapping.permissions.endsWith("s") && mapping.runs.length === 0, () => `${where()} has memory of its own`);
  }
  if (mapping.ioUring !== undefined) {
    const { openFile } = mapping.ioUring;
    check(tables.ioUrings.has(openFile), () => `${where()} refers to io_uring ${openFile}, which is missing`);
    check(mapping.permissions.endsWith("s") && mapping.runs.length === 0, () => `${where()} has memory of its own`);
  }
  if (mapping.anonymousName !== undefined) checkName(mapping.anonymousName, where);
  checkRuns(mapping.runs, end - start, dataPages, where);
  return end;
}

/** undefined for an address that is not at the beginning of a page. Page numbers have 52 bits: a number holds them, where an address needs a bigint. */
function pageNumber(address: string): number | undefined {
  return address.endsWith("000") || address === "0x0" ? Number(address) / PAGE_BYTES : undefined;
}

function checkRuns(runs: readonly PageRun[], pages: number, dataPages: number, where: () => string): void {
  let next = 0;
  for (const [first, count, dataPage] of runs) {
    check(count > 0 && first >= next && first + count <= pages, () => `a page run of ${where()} lies outside it`);
    check(dataPage + count <= dataPages, () => `a page run of ${where()} lies outside the data section`);
    next = first + count;
  }
}

function checkName(name: Name, where: () => string): void {
  const sound = typeof name === "string" ? name.isWellFormed() && !name.includes("\0") : !Buffer.from(name.base64, "base64").includes(0);
  check(sound, () => `a name of ${where()} is not valid`);
}

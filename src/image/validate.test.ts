import assert from "node:assert/strict";
import { test } from "node:test";
import { CairnError } from "../base/errors.ts";
import { SAMPLE_PAGES, sampleMetadata } from "./testing/sample.ts";
import type { ImageMetadata, LiveProcessImage, Mapping, MessageQueue, OpenFile, ProcessImage, SysvIpc } from "./schema.ts";
import { decodeMetadata } from "./metadata.ts";
import { validateMetadata } from "./validate.ts";

type Draft<T> = { -readonly [K in keyof T]: T[K] extends object | undefined ? Draft<T[K]> : T[K] };

/** The sample with one thing changed; its parts by name, so that a case is one line. */
interface Parts {
  readonly metadata: Draft<ImageMetadata>;
  readonly root: Draft<ProcessImage>;
  readonly zombie: Draft<ProcessImage>;
  readonly live: Draft<LiveProcessImage>;
  readonly heap: Draft<Mapping>;
  readonly library: Draft<Mapping>;
  readonly sharedMapping: Draft<Mapping>;
  readonly ringMapping: Draft<Mapping>;
  readonly file: <K extends OpenFile["kind"]>(kind: K) => Draft<Extract<OpenFile, { kind: K }>>;
}

function parts(): Parts {
  const metadata: Draft<ImageMetadata> = structuredClone(sampleMetadata());
  const [root, , zombie] = metadata.processes;
  const live = root?.alive;
  const [library, heap, sharedMapping, ringMapping] = live?.mappings ?? [];
  assert.ok(root && zombie && live && heap && library && sharedMapping && ringMapping);
  return {
    metadata,
    root,
    zombie,
    live,
    heap,
    library,
    sharedMapping,
    ringMapping,
    file: <K extends OpenFile["kind"]>(kind: K) =>
      metadata.openFiles.find((file) => file.kind === kind) as Draft<Extract<OpenFile, { kind: K }>>,
  };
}

function must<T>(value: T | undefined): T {
  assert.ok(value !== undefined);
  return value;
}

/** An open file on a queue with two messages, then one thing changed. */
function withQueue(all: Parts, change: (parts: { metadata: Parts["metadata"]; queue: Draft<MessageQueue> }) => void): void {
  const { metadata } = all;
  const queue: Draft<MessageQueue> = {
    id: 4,
    name: "sample",
    removed: false,
    access: { mode: 0o600, uid: 0, gid: 0 },
    maxMessages: 2,
    messageBytes: 3,
    messages: [
      { priority: 5, content: "AAAA" },
      { priority: 0, content: "" },
    ],
  };
  metadata.messageQueues = [queue];
  metadata.openFiles.push({ kind: "message-queue", id: 900, flags: 2, queue: 4 });
  change({ metadata, queue });
}

/** One segment of two pages, which the shared mapping of the sample becomes a mapping of, and a queue with a message. */
function withIpc({ metadata, sharedMapping }: Parts): Draft<SysvIpc> {
  const common = { key: 0, mode: 0o600, owner: { uid: 0, gid: 0 }, creator: { uid: 0, gid: 0 } };
  const pages = Number(BigInt(sharedMapping.end) - BigInt(sharedMapping.start)) / 4096;
  const ipc: Draft<SysvIpc> = {
    namespace: "4026531839",
    isOwn: false,
    segments: [
      { ...common, id: 5, key: 9, sizeBytes: pages * 4096, destroyed: false, locked: false, maker: 100, runs: [] },
      { ...common, id: 6, sizeBytes: 1, destroyed: false, locked: false, maker: 0, runs: [] },
    ],
    semaphoreSets: [{ ...common, id: 5, operated: true, semaphores: [[3, 100]] }],
    queues: [{ ...common, id: 0, limitBytes: 16384, sender: 100, receiver: 0, messages: [{ type: "1", content: "" }] }],
  };
  metadata.sysvIpc = ipc;
  delete sharedMapping.shared;
  sharedMapping.kind = "segment";
  sharedMapping.segment = { id: 5, offsetBytes: 0, readOnly: false };
  return ipc;
}

type Connection = NonNullable<Draft<Extract<OpenFile, { kind: "internet-socket" }>>["connection"]>;

/** A TCP connection that leads out of the job, with three bytes that were not sent. */
function withConnection({ metadata }: Parts): Connection {
  const connection: Connection = {
    state: 1,
    sendSequence: 1003,
    receiveSequence: 2000,
    queued: Buffer.from("abc").toString("base64"),
    notSentBytes: 3,
    window: Buffer.alloc(20).toString("base64"),
    mss: 1460,
    options: 7,
    sendScale: 7,
    receiveScale: 7,
    timestamp: 1,
    buffers: [1, 1],
    held: false,
  };
  metadata.openFiles.push({
    kind: "internet-socket",
    id: 1000,
    flags: 2,
    family: 2,
    protocol: 6,
    shutdown: 0,
    options: [],
    unread: [],
    lost: "outside",
    connection,
  });
  return connection;
}

test("a connection that leads out of the job is valid with its state", () => {
  const all = parts();
  withConnection(all);
  validateMetadata(all.metadata, SAMPLE_PAGES);
});

const cases: Readonly<Record<string, readonly [(parts: Parts) => void, RegExp]>> = {
  "a pid that is there twice": [({ zombie }) => (zombie.pid = 100), /process 100 is there twice/],
  "a pid of nobody": [({ zombie }) => (zombie.pid = 0), /process 0/],
  "a tid that is there twice": [({ live }) => (must(live.threads[1]).tid = 200), /thread 200 is there twice/],
  "a thread with another process's pid": [({ live }) => (must(live.threads[1]).tid = 300), /thread 300 is there twice/],
  "a child before its parent": [({ root }) => (root.parentPid = 200), /process 100 stands before its parent 200/],
  "a process that is its own parent": [({ root }) => (root.parentPid = 100), /stands before its parent/],
  "a root that is missing": [({ metadata }) => (metadata.rootPid = 400), /root process 400 is missing/],
  "a zombie that lives": [({ root }) => (root.state = "zombie"), /process 100 is neither alive nor a zombie/],
  "a living process without a life": [({ zombie }) => (zombie.state = "stopped"), /process 300 is neither/],
  "a mapping of a segment that is missing": [(all) => (must(withIpc(all).segments[0]).id = 7), /refers to System V segment 5/],
  "a mapping that is longer than its segment": [
    (all) => (must(withIpc(all).segments[0]).sizeBytes = 1),
    /does not lie inside its System V/,
  ],
  "a mapping that begins in its segment off the page grid": [
    (all) => {
      withIpc(all);
      must(all.sharedMapping.segment).offsetBytes = 1;
    },
    /does not lie inside its System V/,
  ],
  "a mapping of no segment": [
    (all) => {
      withIpc(all);
      delete all.sharedMapping.segment;
    },
    /doesn't say of which System V segment/,
  ],
  "a segment that is there twice": [(all) => (must(withIpc(all).segments[1]).id = 5), /System V segment 5 is there twice/],
  "a key that two segments have": [(all) => (must(withIpc(all).segments[1]).key = 9), /segment 6 has the key of another/],
  "an empty segment": [(all) => (must(withIpc(all).segments[1]).sizeBytes = 0), /System V segment 6 is empty/],
  "a run behind the end of a segment": [(all) => (must(withIpc(all).segments[1]).runs = [[0, 2, 0]]), /System V segment 6 lies outside it/],
  "a queue that is not there": [
    (all) => withQueue(all, ({ metadata }) => (metadata.messageQueues = [])),
    /refers to message queue 4, which is missing/,
  ],
  "messages out of their order": [
    (all) => withQueue(all, ({ queue }) => queue.messages?.reverse()),
    /messages of message queue 4 are not in their order/,
  ],
  "more messages than a queue takes": [(all) => withQueue(all, ({ queue }) => (queue.maxMessages = 1)), /message queue 4 has no room/],
  "a message longer than a queue takes": [(all) => withQueue(all, ({ queue }) => (queue.messageBytes = 2)), /message queue 4 has no room/],
  "half an instruction of a filter": [
    ({ metadata }) => (metadata.seccompFilters = [{ id: 0, program: Buffer.alloc(12).toString("base64"), logs: false }]),
    /filter 0 ends inside an instruction/,
  ],
  "a filter that is not there": [({ live }) => (must(live.threads[0]).seccompFilters = [3]), /seccomp filter 3, which is missing/],
  "a message without a type": [(all) => (must(must(withIpc(all).queues[0]).messages[0]).type = "0"), /message of queue 0/],
  "a connection with more bytes not sent than bytes": [(all) => (withConnection(all).notSentBytes = 4), /more bytes that were not sent/],
  "a connection whose window is no window": [(all) => (withConnection(all).window = ""), /open file 1000 has no valid window/],
  "a mapping that ends before it begins": [({ heap }) => (heap.end = "0x4ff000"), /has no valid bounds/],
  "an empty mapping": [({ heap }) => (heap.end = heap.start), /has no valid bounds/],
  "a mapping off the page grid": [({ heap }) => (heap.end = "0x504001"), /has no valid bounds/],
  "mappings that overlap": [({ heap }) => (heap.start = "0x401000"), /mapping 0x401000-0x504000 of process 100 overlaps/],
  "mappings that descend": [({ live }) => (live.mappings = live.mappings.toReversed()), /overlaps/],
  "a file mapping of no file": [({ library }) => delete library.file, /doesn't say of which file/],
  "an anonymous mapping of a file": [({ library }) => (library.kind = "anonymous"), /doesn't say of which file/],
  "a shared mapping of nothing": [({ sharedMapping }) => delete sharedMapping.shared, /doesn't say of which shared memory/],
  "a shared mapping of what is missing": [({ sharedMapping }) => (must(sharedMapping.shared).id = 9), /refers to shared memory 9/],
  "a file offset off the page grid": [({ library }) => (must(library.file).offsetBytes = 1), /has no valid offset/],
  "a run behind the end of its mapping": [
    ({ heap }) => (heap.runs = [[3, 2, 0]]),
    /page run of mapping 0x500000-0x504000 of process 100 lies outside it/,
  ],
  "an empty run": [({ heap }) => (heap.runs = [[0, 0, 0]]), /lies outside it/],
  "runs that descend": [({ heap }) => (heap.runs = heap.runs.toReversed()), /lies outside it/],
  "runs that overlap": [
    ({ heap }) =>
      (heap.runs = [
        [0, 2, 0],
        [1, 1, 0],
      ]),
    /lies outside it/,
  ],
  "a run behind the end of the data section": [({ heap }) => (heap.runs = [[0, 2, SAMPLE_PAGES - 1]]), /lies outside the data section/],
  "a run so long that numbers lose precision": [({ heap }) => (heap.runs = [[1, Number.MAX_SAFE_INTEGER, 1]]), /lies outside it/],
  "a run behind the end of shared memory": [
    ({ metadata }) => (must(metadata.sharedMemory[1]).runs = [[1, 2, 0]]),
    /page run of shared memory 2 lies outside it/,
  ],
  "a run behind the end of a saved file": [
    ({ metadata }) => (must(metadata.savedFiles[0]).runs = [[4, 1, 0]]),
    /page run of saved file 1 lies outside it/,
  ],
  "a descriptor that is there twice": [({ live }) => (must(live.descriptors[1]).fd = 0), /process 100 has descriptor 0 twice/],
  "a descriptor of nothing": [
    ({ live }) => (must(live.descriptors[1]).openFile = 99),
    /descriptor 1 of process 100 refers to open file 99/,
  ],
  "a lock on a descriptor that is missing": [({ live }) => (must(live.recordLocks[0]).fd = 99), /holds a lock on descriptor 99/],
  "a lock behind the end of any file": [
    ({ live }) => Object.assign(must(live.recordLocks[0]), { startBytes: "9223372036854775807", lengthBytes: "2" }),
    /behind the end of any file/,
  ],
  "a timer of a thread that is missing": [
    ({ live }) => (must(live.posixTimers[0]).threadId = 200),
    /timer 0 of process 100 refers to thread 200/,
  ],
  "an id that is there twice": [({ metadata }) => (must(metadata.pipes[1]).id = 1), /pipe 1 is there twice/],
  "a pipe that is missing": [({ file }) => (file("pipe").pipe = 9), /open file 8 refers to pipe 9/],
  "a FIFO's pipe that is missing": [({ file }) => (file("fifo").pipe = 9), /refers to pipe 9/],
  "a pseudo-terminal that is missing": [({ file }) => (file("pty-master").pty = 9), /refers to pseudo-terminal 9/],
  "shared memory that is missing": [({ file }) => (file("memfd").shared = 9), /refers to shared memory 9/],
  "a saved file that is missing": [({ file }) => (file("file").savedFile = 9), /refers to saved file 9/],
  "a target of epoll that is missing": [({ file }) => (must(file("epoll").targets[0]).openFile = 99), /refers to open file 99/],
  "a pidfd of a process that is missing": [({ file }) => (file("pidfd").pid = 999), /open file 18 refers to process 999/],
  "a watch that is there twice": [
    ({ file }) => file("inotify").watches.push(must(file("inotify").watches[0])),
    /watch 2 of open file 19 is there twice/,
  ],
  "an io_uring of a size that no kernel makes": [({ file }) => (file("io-uring").submissionEntries = 3), /io_uring 17 has no valid size/],
  "an io_uring with more requests than answers fit": [
    ({ file }) => (file("io-uring").completionEntries = 4),
    /io_uring 17 has no valid size/,
  ],
  "an io_uring that counts too far": [({ file }) => (file("io-uring").requests = 2 ** 32), /more requests than it counts/],
  "an io_uring that says too little of its layout": [({ file }) => (file("io-uring").offsets = ""), /io_uring 17 has no valid offsets/],
  "a run behind the end of an io_uring's requests": [
    ({ file }) => (file("io-uring").requestRuns = [[1, 1, 0]]),
    /page run of io_uring 17 lies outside it/,
  ],
  "a mapping of no io_uring": [({ ringMapping }) => delete ringMapping.ioUring, /doesn't say of which io_uring/],
  "a mapping of an io_uring that is something else": [
    ({ ringMapping }) => (must(ringMapping.ioUring).openFile = 8),
    /refers to io_uring 8, which is missing/,
  ],
  "a private mapping of an io_uring": [({ ringMapping }) => (ringMapping.permissions = "rw-p"), /has memory of its own/],
  "a name with NUL": [({ root }) => (root.comm = "a\0b"), /a name of process 100 is not valid/],
  "a name with NUL in base64": [({ live }) => (live.executable = { base64: "AA==" }), /a name of process 100 is not valid/],
  "a name that is no UTF-8": [({ file }) => (file("file").name = "\ud800"), /a name of open file 4 is not valid/],
};

/** What a field's type alone would let through, and the kernel, or the buffer for it, would not. */
const outOfRange: Readonly<Record<string, (parts: Parts) => unknown>> = {
  "a timer's id": ({ live }) => (must(live.posixTimers[0]).id = 2 ** 31),
  "a timer's clock": ({ live }) => (must(live.posixTimers[0]).clock = Number.MAX_SAFE_INTEGER),
  "a timer's signal": ({ live }) => (must(live.posixTimers[0]).signal = 65),
  "a timer's time": ({ live }) => (must(live.posixTimers[0]).valueNs = "-1"),
  "an interval timer": ({ live }) => (must(live.intervalTimers[0]).which = 3),
  "a lock's start": ({ live }) => (must(live.recordLocks[0]).startBytes = "18446744073709551615"),
  "a lock's length": ({ live }) => (must(live.recordLocks[0]).lengthBytes = "-1"),
  "a descriptor": ({ live }) => (must(live.descriptors[0]).fd = 2 ** 31),
  "a queued signal's record": ({ live }) => (live.pendingSignals = ["AAAA"]),
  "a limit": ({ live }) => (must(live.limits[0]).soft = "-1"),
  "a user": ({ live }) => (live.credentials.uids.real = 2 ** 32),
  "an eventfd's count": ({ file }) => (file("eventfd").count = "18446744073709551615"),
  "a timerfd's ticks": ({ file }) => (file("timerfd").ticks = "-1"),
  "a timerfd's clock": ({ file }) => (file("timerfd").clock = Number.MAX_SAFE_INTEGER),
  "the kind of an owner": ({ file }) => (must(file("pipe").owner).type = Number.MAX_SAFE_INTEGER),
  "an owner": ({ file }) => (must(file("pipe").owner).pid = Number.MAX_SAFE_INTEGER),
  "a terminal's modes": ({ metadata }) => (must(metadata.ptys[0]).termios = "A".repeat(9000)),
  "a terminal's size": ({ metadata }) => (must(metadata.ptys[0]).windowSize = "AAAA"),
  "the mode of shared memory": ({ metadata }) => (must(metadata.sharedMemory[0]).mode = Number.MAX_SAFE_INTEGER),
  "a zombie's status": ({ zombie }) => (zombie.exitStatus = 2 ** 16),
};

for (const [what, change] of Object.entries(outOfRange)) {
  test(`metadata whose field for ${what} is out of range are damaged`, () => {
    const changed = parts();
    change(changed);
    assert.throws(
      () => decodeMetadata(Buffer.from(JSON.stringify(changed.metadata)), SAMPLE_PAGES),
      (error) => error instanceof CairnError && error.code === "damaged" && /not valid at/.test(error.message),
    );
  });
}

test("the sample itself keeps all rules", () => {
  validateMetadata(sampleMetadata(), SAMPLE_PAGES);
});

test("the sample with System V IPC keeps all rules", () => {
  const all = parts();
  withIpc(all);
  validateMetadata(all.metadata, SAMPLE_PAGES);
});

for (const [what, [change, message]] of Object.entries(cases)) {
  test(`metadata with ${what} are refused`, () => {
    const changed = parts();
    change(changed);
    assert.throws(
      () => validateMetadata(changed.metadata, SAMPLE_PAGES),
      (error) => error instanceof CairnError && error.code === "damaged" && message.test(error.message),
    );
  });
}

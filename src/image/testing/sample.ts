/** Metadata for tests: a shell with a child and a zombie, one of every kind of open file. */
import type { ImageMetadata, LiveProcessImage, Mapping, OpenFile, ProcessImage, Thread } from "../schema.ts";

const identity = { device: "2049", inode: "131077", sizeBytes: 12345, mtimeNs: "1700000000123456789" };

export function sampleThread(tid: number): Thread {
  return {
    tid,
    comm: "sample",
    registers: Buffer.alloc(216, tid & 0xff).toString("base64"),
    extendedRegisters: Buffer.alloc(832, 1).toString("base64"),
    signalMask: "0x4002",
    pendingSignals: [Buffer.alloc(128, 2).toString("base64")],
    alternateStack: { address: "0x0", flags: 2, sizeBytes: "0x0" },
    robustList: { address: "0x7f0000001000", lengthBytes: 24 },
    clearChildTid: "0x7f0000002000",
    rseq: { address: "0x7f0000003000", lengthBytes: 32, signature: 0x53053053, flags: 0 },
    scheduling: {
      policy: 0,
      flags: 0,
      nice: -5,
      priority: 0,
      runtimeNs: "0",
      deadlineNs: "0",
      periodNs: "0",
      affinity: "Aw==",
      ioPriority: 0,
      timerSlackNs: "50000",
    },
    parentDeathSignal: 0,
  };
}

/** Four pages of memory, of which the first three are page 0 to 2 of the data section and a file, a heap and a shared mapping. */
export function sampleMappings(): Mapping[] {
  return [
    {
      start: "0x400000",
      end: "0x402000",
      permissions: "r-xp",
      flags: ["dw"],
      kind: "file",
      file: { name: "/usr/bin/sample", offsetBytes: 4096, identity },
      runs: [[1, 1, 0]],
    },
    {
      start: "0x500000",
      end: "0x504000",
      permissions: "rw-p",
      flags: [],
      kind: "anonymous",
      anonymousName: "heap",
      runs: [
        [0, 1, 1],
        [2, 1, 2],
      ],
    },
    {
      start: "0x7f0000000000",
      end: "0x7f0000002000",
      permissions: "rw-s",
      flags: ["sh"],
      kind: "shared",
      shared: { id: 1, offsetBytes: 0 },
      runs: [],
    },
    {
      start: "0x7f0000010000",
      end: "0x7f0000011000",
      permissions: "rw-s",
      flags: [],
      kind: "io-uring",
      ioUring: { openFile: 17, offsetBytes: 0x10000000 },
      runs: [],
    },
    { start: "0x7ffff7fc0000", end: "0x7ffff7fc2000", permissions: "r-xp", flags: [], kind: "vdso", runs: [] },
    { start: "0xffffffffff600000", end: "0xffffffffff601000", permissions: "--xp", flags: [], kind: "vsyscall", runs: [] },
  ];
}

export function sampleLive(tids: readonly number[], openFiles: readonly OpenFile[]): LiveProcessImage {
  return {
    executable: "/usr/bin/sample",
    executableIdentity: identity,
    commandLine: Buffer.from("sample\0--fast\0").toString("base64"),
    environment: Buffer.from("HOME=/\0LANG=C\0").toString("base64"),
    workingDirectory: { base64: Buffer.from([0x2f, 0xff]).toString("base64") },
    rootDirectory: "/",
    umask: 18,
    personality: 0,
    oomScoreAdjustment: -17,
    dumpable: 1,
    childSubreaper: false,
    keepCapabilities: false,
    transparentHugePagesDisabled: false,
    credentials: {
      uids: { real: 1000, effective: 1000, saved: 1000, fileSystem: 1000 },
      gids: { real: 1000, effective: 1000, saved: 1000, fileSystem: 1000 },
      groups: [4, 24, 1000],
      capabilities: { inheritable: "0x0", permitted: "0x0", effective: "0x0", bounding: "0x1ffffffffff", ambient: "0x0" },
      secureBits: 0,
      noNewPrivileges: true,
    },
    limits: [{ resource: 7, soft: "1024", hard: "unlimited" }],
    memoryLayout: {
      startCode: "0x400000",
      endCode: "0x401000",
      startData: "0x500000",
      endData: "0x500800",
      startBrk: "0x501000",
      brk: "0x504000",
      startStack: "0x7ffffffde000",
      argStart: "0x7ffffffde100",
      argEnd: "0x7ffffffde10e",
      envStart: "0x7ffffffde10e",
      envEnd: "0x7ffffffde11c",
      auxv: Buffer.alloc(32).toString("base64"),
    },
    mappings: sampleMappings(),
    lockFuture: "none",
    signalActions: [{ signal: 10, handler: "0x401000", flags: "0x14000000", restorer: "0x401100", mask: "0x0" }],
    pendingSignals: [],
    intervalTimers: [{ which: 0, intervalUs: "0", valueUs: "1500000" }],
    posixTimers: [
      { id: 0, clock: 1, notify: "thread-id", signal: 34, value: "0x0", threadId: tids[0] ?? 0, intervalNs: "0", valueNs: "5", overrun: 0 },
    ],
    threads: tids.map(sampleThread),
    descriptors: openFiles.map(({ id }, fd) => ({ fd, openFile: id, closeOnExec: fd > 2 })),
    recordLocks: [{ fd: 3, exclusive: true, startBytes: "0", lengthBytes: "0" }],
  };
}

/** Ids 1 and up, in this order. */
export function sampleOpenFiles(): OpenFile[] {
  const common = (id: number) => ({ id, flags: 0o100002 });
  return [
    { kind: "terminal", ...common(1), name: "/dev/pts/3", stream: 0 },
    { kind: "outside", ...common(2), description: "pipe:[4711]", stream: 1 },
    { kind: "device", ...common(3), name: "/dev/null", major: 1, minor: 3 },
    {
      kind: "file",
      ...common(4),
      name: "/home/user/out.log",
      deleted: true,
      positionBytes: 12345,
      identity,
      mode: 33188,
      savedFile: 1,
      flock: "exclusive",
      ofdLocks: [{ exclusive: false, startBytes: "100", lengthBytes: "0" }],
      lease: { exclusive: false, pid: 100 },
    },
    { kind: "directory", ...common(5), name: "/home/user", position: "9223372036854775807" },
    { kind: "path", ...common(6), name: "/home" },
    { kind: "proc", ...common(7), name: "/proc/self/maps", positionBytes: 0 },
    { kind: "pipe", ...common(8), pipe: 1, owner: { type: 1, pid: 100, signal: 0 } },
    { kind: "fifo", ...common(9), pipe: 2, name: "/tmp/fifo" },
    { kind: "eventfd", ...common(10), count: "18446744073709551614", semaphore: false },
    { kind: "epoll", ...common(11), targets: [{ fd: 7, openFile: 8, events: 1, data: "0xdeadbeef" }] },
    { kind: "signalfd", ...common(12), mask: "0x4002" },
    { kind: "timerfd", ...common(13), clock: 1, ticks: "0", settimeFlags: 0, valueNs: "1", intervalNs: "0" },
    { kind: "memfd", ...common(14), shared: 2, positionBytes: 10 },
    { kind: "pty-master", ...common(15), pty: 1 },
    { kind: "pty-slave", ...common(16), pty: 1 },
    {
      kind: "io-uring",
      ...common(17),
      submissionEntries: 8,
      completionEntries: 16,
      requests: 3,
      offsets: Buffer.alloc(80, 4).toString("base64"),
      hasIndexArray: true,
      ringRuns: [[0, 1, 6]],
      requestRuns: [[0, 1, 7]],
    },
    { kind: "pidfd", ...common(18), pid: 0, ended: { process: 1, exitStatus: 256 } },
    { kind: "inotify", ...common(19), watches: [{ watch: 2, name: "/home/user", mask: 0x80000fff }], unreadBytes: 16 },
  ];
}

function process(pid: number, parentPid: number, alive: LiveProcessImage | null): ProcessImage {
  return {
    pid,
    parentPid,
    processGroup: 100,
    session: 0,
    state: alive === null ? "zombie" : "running",
    stopSignal: 0,
    exitStatus: alive === null ? 256 : 0,
    exitSignal: 17,
    comm: "sample",
    alive,
  };
}

/** Pages in the data section that `sampleMetadata` refers to. */
export const SAMPLE_PAGES = 8;

export function sampleMetadata(): ImageMetadata {
  const openFiles = sampleOpenFiles();
  return {
    takenAt: "2026-01-02T03:04:05.678Z",
    host: {
      kernelRelease: "6.18.0",
      hostName: "host",
      machine: "x86_64",
      bootId: "b0b0b0b0-0000-4000-8000-000000000001",
      processor: "Sample CPU",
      extendedFeatures: "0x7",
      extendedSizeBytes: 832,
    },
    clocks: { realtimeNs: "1700000000123456789", monotonicNs: "5000000000", boottimeNs: "5000000001" },
    rootPid: 100,
    processes: [
      process(100, 0, sampleLive([100, 101], openFiles)),
      process(200, 100, sampleLive([200], openFiles)),
      process(300, 200, null),
    ],
    openFiles,
    pipes: [
      { id: 1, capacityBytes: 65536, content: [Buffer.from("in flight").toString("base64")] },
      { id: 2, capacityBytes: 65536, content: [] },
    ],
    ptys: [
      {
        id: 1,
        index: 3,
        termios: Buffer.alloc(60, 1).toString("base64"),
        windowSize: Buffer.of(24, 0, 80, 0, 0, 0, 0, 0).toString("base64"),
        locked: false,
        packetMode: false,
        exclusive: false,
        session: 200,
        foregroundGroup: 200,
        output: "",
        input: Buffer.from("ls\n").toString("base64"),
      },
    ],
    sharedMemory: [
      { id: 1, kind: "anonymous", name: "/dev/zero", sizeBytes: 8192, seals: 0, mode: 0, runs: [[0, 2, 3]] },
      { id: 2, kind: "memfd", name: "memfd:cache", sizeBytes: 5000, seals: 1, mode: 511, runs: [[1, 1, 5]] },
    ],
    savedFiles: [{ id: 1, name: "/home/user/out.log", mode: 0o644, identity, runs: [[0, 2, 6]] }],
    warnings: [],
  };
}

/** As little as an image can be: a zombie, no memory, no files. */
export function smallMetadata(): ImageMetadata {
  return { ...sampleMetadata(), processes: [process(100, 0, null)], openFiles: [], pipes: [], ptys: [], sharedMemory: [], savedFiles: [] };
}

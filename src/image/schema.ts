/**
 * What an image says about a process tree, apart from the bytes of its memory.
 *
 * The metadata is JSON. Three encodings keep it exact:
 * - addresses and other 64-bit words are lower-case hexadecimal strings, `0x7ffc0000`;
 * - binary records of the kernel (registers, siginfo, termios) are base64;
 * - names (paths, comm) are strings when they are valid UTF-8, else `{ base64 }`: a Linux name is bytes.
 *
 * Page contents are not here: a `PageRun` says which pages of a mapping lie where in the data section.
 *
 * Invariants (checked by `validate.ts` after decoding):
 * - processes are in parents-first order, pids and tids are unique;
 * - every reference by id (open files, pipes, ptys, shared memory) is to an entry that exists;
 * - every page run lies inside its mapping and inside the data section, and runs ascend;
 * - mappings of one process ascend and do not overlap.
 */
import * as v from "valibot";
import {
  base64,
  base64Of,
  decimal,
  decimalUpTo,
  fileMode,
  id,
  list,
  nameSchema,
  pageRunsSchema,
  pid,
  positive32,
  positive64,
  siginfo,
  signal,
  signed32,
  terminalModes,
  text,
  unsigned32,
  unsigned64,
  wholeNumber,
  windowSize,
  word,
} from "./schema-values.ts";

import { sysvIpcSchema } from "./schema-ipc.ts";

export type { IpcQueue, IpcSegment, IpcSemaphoreSet, SysvIpc } from "./schema-ipc.ts";
export { nameSchema } from "./schema-values.ts";
export type { Name, PageRun } from "./schema-values.ts";

/** What tells one file from another that took its name: compared at the restart. */
export const fileIdentitySchema = v.strictObject({
  device: decimal,
  inode: decimal,
  sizeBytes: wholeNumber,
  mtimeNs: decimal,
});
export type FileIdentity = v.InferOutput<typeof fileIdentitySchema>;

/** set_mempolicy(2), mbind(2): the mode with its flags, and the mask of nodes, least significant byte first. */
export const memoryPolicySchema = v.strictObject({ mode: wholeNumber, nodes: base64 });
export type MemoryPolicy = v.InferOutput<typeof memoryPolicySchema>;

export const mappingSchema = v.strictObject({
  start: word,
  end: word,
  /** As in /proc/PID/maps: `rwxp` or `rwxs`. */
  permissions: v.pipe(v.string(), v.regex(/^[r-][w-][x-][ps]$/)),
  /** The two-letter VmFlags of /proc/PID/smaps that a restart has to set: `gd`, `lo`, `dc`, `wf`, `hg`, ... */
  flags: list(v.pipe(v.string(), v.maxLength(2))),
  kind: v.picklist(["anonymous", "file", "shared", "segment", "io-uring", "vdso", "vvar", "vsyscall"]),
  /** For kind `file`: what is mapped, from where. */
  file: v.optional(v.strictObject({ name: nameSchema, offsetBytes: wholeNumber, identity: fileIdentitySchema })),
  /** For kind `shared`: the entry of `sharedMemory`, and where in it the mapping starts; mapped privately where the permissions say so. */
  shared: v.optional(v.strictObject({ id, offsetBytes: wholeNumber })),
  /** For kind `segment`: the System V segment, where in it the mapping starts, and whether it was attached with SHM_RDONLY. */
  segment: v.optional(v.strictObject({ id, offsetBytes: wholeNumber, readOnly: v.boolean() })),
  /** For kind `io-uring`: the open file that is the ring, and which part of it: the offset that mmap(2) takes. */
  ioUring: v.optional(v.strictObject({ openFile: id, offsetBytes: wholeNumber })),
  /** Protection keys and the like are refused at the checkpoint; what is here is carried over. */
  hugePageBytes: v.optional(wholeNumber),
  /** Where it has one of its own. */
  memoryPolicy: v.optional(memoryPolicySchema),
  /** A shared mapping that mprotect(2) can't make writable: its file was opened for reading only, or sealed against writing. */
  neverWritable: v.optional(v.boolean()),
  /** PR_SET_VMA_ANON_NAME. */
  anonymousName: v.optional(nameSchema),
  /** Pages that fault (MADV_GUARD_INSTALL): first page of the mapping and number of pages each. */
  guards: v.optional(list(v.strictTuple([wholeNumber, wholeNumber]))),
  runs: pageRunsSchema,
});
export type Mapping = v.InferOutput<typeof mappingSchema>;

/** Memory that lives apart from a process: MAP_SHARED anonymous memory, memfds, removed files that are mapped. */
export const sharedMemorySchema = v.strictObject({
  id,
  kind: v.picklist(["anonymous", "memfd"]),
  name: nameSchema,
  sizeBytes: wholeNumber,
  seals: unsigned32,
  hugePageBytes: v.optional(wholeNumber),
  mode: fileMode,
  runs: pageRunsSchema,
});
export type SharedMemory = v.InferOutput<typeof sharedMemorySchema>;

export const signalActionSchema = v.strictObject({
  signal: v.pipe(wholeNumber, v.minValue(1), v.maxValue(64)),
  handler: word,
  flags: word,
  restorer: word,
  mask: word,
});

export const credentialsSchema = v.strictObject({
  uids: v.strictObject({ real: unsigned32, effective: unsigned32, saved: unsigned32, fileSystem: unsigned32 }),
  gids: v.strictObject({ real: unsigned32, effective: unsigned32, saved: unsigned32, fileSystem: unsigned32 }),
  groups: list(unsigned32),
  capabilities: v.strictObject({ inheritable: word, permitted: word, effective: word, bounding: word, ambient: word }),
  secureBits: unsigned32,
  noNewPrivileges: v.boolean(),
});
export type Credentials = v.InferOutput<typeof credentialsSchema>;

export const threadSchema = v.strictObject({
  tid: pid,
  comm: nameSchema,
  /** NT_PRSTATUS: `struct user_regs_struct` of the image's architecture. */
  registers: base64,
  /** NT_X86_XSTATE: the xsave area, uncompacted. */
  extendedRegisters: base64,
  signalMask: word,
  /** siginfo_t of each signal queued for this thread alone, in order. */
  pendingSignals: list(siginfo),
  alternateStack: v.strictObject({ address: word, flags: unsigned32, sizeBytes: word }),
  robustList: v.strictObject({ address: word, lengthBytes: wholeNumber }),
  clearChildTid: word,
  rseq: v.nullable(v.strictObject({ address: word, lengthBytes: unsigned32, signature: unsigned32, flags: unsigned32 })),
  scheduling: v.strictObject({
    policy: unsigned32,
    flags: wholeNumber,
    nice: signed32,
    priority: unsigned32,
    runtimeNs: unsigned64,
    deadlineNs: unsigned64,
    periodNs: unsigned64,
    /** sched_setaffinity's mask, least significant byte first. */
    affinity: base64,
    ioPriority: positive32,
    timerSlackNs: unsigned64,
  }),
  /** PR_SET_PDEATHSIG; 0 for none. */
  parentDeathSignal: signal,
  /** Where they are not those of the process: in Linux each thread has its own. */
  credentials: v.optional(credentialsSchema),
  /** PR_SET_TSC: rdtsc is a SIGSEGV. */
  timeStampCounterForbidden: v.optional(v.literal(true)),
  /** PR_MCE_KILL, where it is not PR_MCE_KILL_DEFAULT. */
  machineCheckKill: v.optional(wholeNumber),
  /** Where it is not MPOL_DEFAULT. */
  memoryPolicy: v.optional(memoryPolicySchema),
  /** Those that it has on top of what the job was started under, the oldest first. */
  seccompFilters: v.optional(list(id)),
});
export type Thread = v.InferOutput<typeof threadSchema>;

export const processSchema = v.strictObject({
  /** Pids are those that the job sees (of its innermost pid namespace). */
  pid,
  /** 0 when the parent is not in the image: the keeper, init or a subreaper takes its place. */
  parentPid: pid,
  /** 0 when the group or the session is led from outside the tree: the restarter's own is used. */
  processGroup: pid,
  session: pid,
  state: v.picklist(["running", "stopped", "zombie"]),
  /** For a stopped process, the signal that stopped it; 0 otherwise. */
  stopSignal: signal,
  /**
   * What its parent can still learn of it by wait(2), where the parent is in the image and it lives: that it was stopped, or goes on
   * again. "none" is written for a stopped process whose parent knows; an absent one means what the state says.
   */
  waitReport: v.optional(v.picklist(["stopped", "continued", "none"])),
  /** For a zombie, its wait status as waitpid gives it; 0 otherwise. */
  exitStatus: v.pipe(wholeNumber, v.maxValue(0xffff)),
  /** The signal its parent gets when it ends: SIGCHLD, but a raw clone may have chosen another. */
  exitSignal: v.pipe(wholeNumber, v.maxValue(0xff)),
  comm: nameSchema,
  /** The rest is absent for a zombie. */
  alive: v.nullable(
    v.strictObject({
      executable: nameSchema,
      executableIdentity: fileIdentitySchema,
      commandLine: base64,
      environment: base64,
      workingDirectory: nameSchema,
      rootDirectory: nameSchema,
      umask: fileMode,
      personality: unsigned32,
      oomScoreAdjustment: signed32,
      dumpable: positive32,
      childSubreaper: v.boolean(),
      keepCapabilities: v.boolean(),
      transparentHugePagesDisabled: v.boolean(),
      /** With PR_THP_DISABLE_EXCEPT_ADVISED: disabled only where nothing was advised. */
      transparentHugePagesWhereAdvised: v.optional(v.literal(true)),
      /** membarrier(2): the commands MEMBARRIER_CMD_REGISTER_* that were given. */
      membarriers: v.optional(wholeNumber),
      /** PR_SET_MDWE: memory that was ever writable is not to become executable. */
      denyWriteExecute: v.optional(wholeNumber),
      /** PR_SET_MEMORY_MERGE: pages with the same content are to be one (KSM). */
      mergeMemory: v.optional(v.literal(true)),
      /** /proc/PID/coredump_filter. */
      coreDumpFilter: v.optional(wholeNumber),
      credentials: credentialsSchema,
      /** By name as /proc/PID/limits has it ("Max open files" is `nofile`); `unlimited` or a decimal. */
      limits: list(
        v.strictObject({
          resource: positive32,
          soft: v.union([unsigned64, v.literal("unlimited")]),
          hard: v.union([unsigned64, v.literal("unlimited")]),
        }),
      ),
      /** The fields of struct prctl_mm_map. */
      memoryLayout: v.strictObject({
        startCode: word,
        endCode: word,
        startData: word,
        endData: word,
        startBrk: word,
        brk: word,
        startStack: word,
        argStart: word,
        argEnd: word,
        envStart: word,
        envEnd: word,
        auxv: base64,
      }),
      mappings: list(mappingSchema),
      /** mlockall(MCL_FUTURE): whether mappings made from now on are locked. */
      lockFuture: v.picklist(["none", "locked", "on-fault"]),
      /** Address range of the group of vdso and vvar mappings, if there is one. */
      signalActions: list(signalActionSchema),
      /** siginfo_t of each signal queued for the whole process, in order. */
      pendingSignals: list(siginfo),
      intervalTimers: list(v.strictObject({ which: v.pipe(wholeNumber, v.maxValue(2)), intervalUs: positive64, valueUs: positive64 })),
      posixTimers: list(
        v.strictObject({
          id: positive32,
          clock: signed32,
          notify: v.picklist(["signal", "none", "thread-id"]),
          signal,
          value: word,
          threadId: pid,
          intervalNs: positive64,
          valueNs: positive64,
          overrun: positive32,
        }),
      ),
      threads: v.pipe(list(threadSchema), v.minLength(1)),
      descriptors: list(v.strictObject({ fd: positive32, openFile: id, closeOnExec: v.boolean() })),
      /** Lock records held by the process: POSIX record locks, by descriptor. */
      recordLocks: list(v.strictObject({ fd: positive32, exclusive: v.boolean(), startBytes: positive64, lengthBytes: positive64 })),
    }),
  ),
});
export type ProcessImage = v.InferOutput<typeof processSchema>;
export type LiveProcessImage = NonNullable<ProcessImage["alive"]>;

/** What every open file description has, whatever it is open on. */
const openFileCommon = {
  id,
  /** fcntl(F_GETFL): access mode and status flags. */
  flags: unsigned32,
  owner: v.optional(v.strictObject({ type: v.pipe(wholeNumber, v.maxValue(2)), pid: signed32, signal })),
  /** flock(2) lock held through this description. */
  flock: v.optional(v.picklist(["shared", "exclusive"])),
  /** Locks of ranges that belong to this description (F_OFD_SETLK). */
  ofdLocks: v.optional(list(v.strictObject({ exclusive: v.boolean(), startBytes: decimal, lengthBytes: decimal }))),
  /** F_SETLEASE, and the process that took it; 0 when that is not in the image. */
  lease: v.optional(v.strictObject({ exclusive: v.boolean(), pid })),
};

/** Level, name, value as getsockopt(2) gave it. */
const socketOptions = list(v.strictTuple([wholeNumber, wholeNumber, base64]));
/** A struct sockaddr without its padding: of a Unix socket the name as it was bound, of others address and port. */
const socketAddress = base64;
const socketMessages = list(
  v.strictObject({
    content: base64,
    /** The sender's address, where it has one. */
    from: v.optional(socketAddress),
    /** Open files that were sent along (SCM_RIGHTS), with the first byte of the content. */
    rights: v.optional(list(id)),
  }),
);
const socketCommon = {
  /** Bit 1: shut down for reading, bit 2: for writing. */
  shutdown: v.pipe(wholeNumber, v.maxValue(3)),
  options: socketOptions,
  /** What nobody has read yet: messages; of a stream, runs of bytes. */
  unread: socketMessages,
  /** For a listening socket: how many connections may wait. */
  backlog: v.optional(wholeNumber),
  /** The other end of a connection, or the one to which datagrams go, where it is in the image. */
  peer: v.optional(id),
  /** For a connection that waits to be accepted: the listening socket. */
  waitsAt: v.optional(id),
  /** What became of a connection whose other end is not in the image: the other side closed it, it broke, or it leads out of the job. */
  lost: v.optional(v.picklist(["closed", "reset", "outside"])),
};

/** Whose a file was and who might use it, for one that has to be made again. */
const fileAccessSchema = v.strictObject({ mode: fileMode, uid: unsigned32, gid: unsigned32 });
export type FileAccess = v.InferOutput<typeof fileAccessSchema>;

/** What the kernel knows of a TCP connection that leads out of the job, at one moment: all that TCP_REPAIR gives and takes. */
const connectionSchema = v.strictObject({
  /** include/net/tcp_states.h: established, or closed by one side. */
  state: v.picklist([1, 4, 5, 8, 9, 11]),
  /** The number behind the last byte that was written, and that was received. The end of a stream counts as a byte. */
  sendSequence: unsigned32,
  receiveSequence: unsigned32,
  /** What was written and is not acknowledged, and how many bytes of it, at its end, were not sent. */
  queued: base64,
  notSentBytes: wholeNumber,
  /** struct tcp_repair_window */
  window: base64,
  mss: unsigned32,
  /** Bits of tcpi_options: timestamps, selective acknowledgements, window scale. */
  options: unsigned32,
  sendScale: v.pipe(wholeNumber, v.maxValue(14)),
  receiveScale: v.pipe(wholeNumber, v.maxValue(14)),
  /** The value of the TCP timestamp. */
  timestamp: unsigned32,
  /** SO_SNDBUF and SO_RCVBUF as they are shown, also where the kernel has chosen them. */
  buffers: v.strictTuple([wholeNumber, wholeNumber]),
  /** Nothing was received after this: the job ended with it, and the connection was held for the restart. */
  held: v.boolean(),
});
export type ConnectionState = v.InferOutput<typeof connectionSchema>;

export const openFileSchema = v.variant("kind", [
  v.strictObject({
    kind: v.literal("file"),
    ...openFileCommon,
    name: nameSchema,
    /** Unlinked: its content is in the image, and the restart makes a file without a name again. */
    deleted: v.boolean(),
    positionBytes: wholeNumber,
    identity: fileIdentitySchema,
    mode: fileMode,
    /** The entry of `savedFiles` with its content, where that is saved. */
    savedFile: v.optional(id),
  }),
  v.strictObject({
    kind: v.literal("directory"),
    ...openFileCommon,
    name: nameSchema,
    /** A cookie of the file system's. */ position: decimal,
  }),
  v.strictObject({ kind: v.literal("path"), ...openFileCommon, name: nameSchema }),
  v.strictObject({ kind: v.literal("device"), ...openFileCommon, name: nameSchema, major: unsigned32, minor: unsigned32 }),
  v.strictObject({ kind: v.literal("proc"), ...openFileCommon, name: nameSchema, positionBytes: wholeNumber }),
  v.strictObject({ kind: v.literal("pipe"), ...openFileCommon, pipe: id }),
  v.strictObject({ kind: v.literal("fifo"), ...openFileCommon, pipe: id, name: nameSchema, access: v.optional(fileAccessSchema) }),
  v.strictObject({ kind: v.literal("message-queue"), ...openFileCommon, queue: id }),
  v.strictObject({ kind: v.literal("eventfd"), ...openFileCommon, count: decimalUpTo((1n << 64n) - 2n), semaphore: v.boolean() }),
  v.strictObject({
    kind: v.literal("epoll"),
    ...openFileCommon,
    targets: list(v.strictObject({ fd: positive32, openFile: id, events: unsigned32, data: word })),
  }),
  v.strictObject({ kind: v.literal("signalfd"), ...openFileCommon, mask: word }),
  v.strictObject({
    kind: v.literal("timerfd"),
    ...openFileCommon,
    clock: positive32,
    ticks: unsigned64,
    settimeFlags: unsigned32,
    valueNs: positive64,
    intervalNs: positive64,
  }),
  /** An inotify(7) instance: numbers, names and masks of its watches, ascending by number. */
  v.strictObject({
    kind: v.literal("inotify"),
    ...openFileCommon,
    watches: list(v.strictObject({ watch: wholeNumber, name: nameSchema, mask: wholeNumber })),
    /** Of events that were not read: a restart lets the program read IN_Q_OVERFLOW in their place. */
    unreadBytes: wholeNumber,
  }),
  /** A fanotify(7) group: the flags that it was made with, and what is marked; a mount or file system by where it is mounted. */
  v.strictObject({
    kind: v.literal("fanotify"),
    ...openFileCommon,
    groupFlags: unsigned32,
    eventFlags: unsigned32,
    marks: list(
      v.strictObject({
        on: v.picklist(["file", "mount", "file system"]),
        name: nameSchema,
        markFlags: unsigned32,
        mask: unsigned32,
        ignoredMask: unsigned32,
      }),
    ),
  }),
  /** A process or, by O_EXCL (PIDFD_THREAD) in the flags, a thread of the tree: its pid or tid; 0 when it has ended and was reaped. */
  v.strictObject({
    kind: v.literal("pidfd"),
    ...openFileCommon,
    pid,
    /** For one that was reaped: a number that all pidfds of the same process have in common, and its wait status where the kernel tells. */
    ended: v.optional(v.strictObject({ process: wholeNumber, exitStatus: v.optional(wholeNumber) })),
  }),
  /** An io_uring(7) with no request under way. */
  v.strictObject({
    kind: v.literal("io-uring"),
    ...openFileCommon,
    submissionEntries: wholeNumber,
    completionEntries: wholeNumber,
    /** Requests taken and answered since the ring was made: how far the kernel has come in both rings. */
    requests: wholeNumber,
    /** The kernel's struct io_sqring_offsets and struct io_cqring_offsets, by which the program finds its way in `ringRuns`. */
    offsets: base64,
    /** Whether the index array in `ringRuns` counts; otherwise request N of the ring is the N-th in `requestRuns`. */
    hasIndexArray: v.boolean(),
    /** What is mapped at offset 0: both rings. */
    ringRuns: pageRunsSchema,
    /** What is mapped at IORING_OFF_SQES: the requests. */
    requestRuns: pageRunsSchema,
  }),
  v.strictObject({
    kind: v.literal("unix-socket"),
    ...openFileCommon,
    ...socketCommon,
    /** What it tells of its other end (SO_PEERCRED), or to others where it listens; absent where that process is not in the image. */
    credentials: v.optional(v.strictObject({ pid, uid: wholeNumber, gid: wholeNumber })),
    /** SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET. */
    type: v.picklist([1, 2, 5]),
    local: v.optional(socketAddress),
    /** Of one bound to a file: where that is, and whether the name still led to it. */
    file: v.optional(v.strictObject({ name: nameSchema, isPresent: v.boolean(), mode: wholeNumber, uid: wholeNumber, gid: wholeNumber })),
    /** Of a datagram socket: where it sends to. */
    remote: v.optional(socketAddress),
  }),
  v.strictObject({
    kind: v.literal("internet-socket"),
    ...openFileCommon,
    ...socketCommon,
    /** AF_INET or AF_INET6. */
    family: v.picklist([2, 10]),
    /** IPPROTO_TCP or IPPROTO_UDP. */
    protocol: v.picklist([6, 17]),
    local: v.optional(socketAddress),
    remote: v.optional(socketAddress),
    /** Of a TCP connection: bytes that were written and that the peer has not received yet. */
    unsent: v.optional(base64),
    /** Of a TCP connection that leads out of the job, where it could be looked into. */
    connection: v.optional(connectionSchema),
    /** Multicast groups: address (4 or 16 bytes) and index of the interface. */
    memberships: v.optional(list(v.strictTuple([base64, wholeNumber]))),
  }),
  v.strictObject({
    kind: v.literal("netlink-socket"),
    ...openFileCommon,
    type: wholeNumber,
    protocol: wholeNumber,
    /** 0 when it was not bound. */
    port: wholeNumber,
    groups: list(wholeNumber),
    options: socketOptions,
  }),
  v.strictObject({ kind: v.literal("memfd"), ...openFileCommon, shared: id, positionBytes: wholeNumber }),
  v.strictObject({ kind: v.literal("pty-master"), ...openFileCommon, pty: id }),
  v.strictObject({ kind: v.literal("pty-slave"), ...openFileCommon, pty: id }),
  /** The terminal the job was started on: bound to the restarter's. */
  v.strictObject({
    kind: v.literal("terminal"),
    ...openFileCommon,
    name: nameSchema,
    stream: v.picklist([0, 1, 2]),
    /** As the job had set it, if it was in the foreground; the group is 0 when it was led from outside the tree. */
    modes: v.optional(v.strictObject({ termios: terminalModes, windowSize, foregroundGroup: pid })),
  }),
  /** A pipe or socket that leads out of the tree: bound to the restarter's standard stream. */
  v.strictObject({ kind: v.literal("outside"), ...openFileCommon, description: text, stream: v.picklist([0, 1, 2]) }),
]);
export type OpenFile = v.InferOutput<typeof openFileSchema>;
export type SocketFile = Extract<OpenFile, { kind: "unix-socket" | "internet-socket" | "netlink-socket" }>;
export type SocketMessage = v.InferOutput<typeof socketMessages>[number];
export type OpenFileKind = OpenFile["kind"];

/** A pipe or FIFO: its buffer and the bytes in it. */
export const pipeSchema = v.strictObject({
  id,
  capacityBytes: positive32,
  /** One entry for each of the kernel's buffers: in packet mode (O_DIRECT) a packet each. */
  content: list(base64),
  /** Entries of `content` that are packets; absent in older images, where all are if a writing end has O_DIRECT. */
  packets: v.optional(list(wholeNumber)),
});

/** A POSIX message queue. */
export const messageQueueSchema = v.strictObject({
  id,
  /** Without the slash. */
  name: nameSchema,
  /** Its name was removed (mq_unlink). */
  removed: v.boolean(),
  access: fileAccessSchema,
  maxMessages: positive32,
  messageBytes: positive32,
  /** In the order in which they are received; absent where the job only writes into a queue that others may read. */
  messages: v.optional(list(v.strictObject({ priority: v.pipe(wholeNumber, v.maxValue(32767)), content: base64 }))),
});
export type MessageQueue = v.InferOutput<typeof messageQueueSchema>;

/** A pseudo-terminal whose master is held in the tree. */
export const ptySchema = v.strictObject({
  id,
  index: positive32,
  termios: terminalModes,
  windowSize,
  locked: v.boolean(),
  packetMode: v.boolean(),
  exclusive: v.boolean(),
  /** Session whose controlling terminal it is, and its foreground group; 0 for none. */
  session: pid,
  foregroundGroup: pid,
  /** Every process that had the slave open has closed it, so that the master reads an error after the output. */
  slaveClosed: v.optional(v.boolean()),
  /** Output was stopped, by Ctrl-S or tcflow(3). */
  outputStopped: v.optional(v.boolean()),
  /** Bytes that the slave's side wrote and the master has not read. */
  output: base64,
  /**
   * Bytes that the master's side wrote and the slave has not read; the last line may be half typed. The first 4,095 are as the
   * line discipline made them (erased, translated; in canonical mode a NUL is an end of file), the rest is as it was written.
   */
  input: base64,
});

/** A file's content at the checkpoint: deleted files, and files that a truncation could not take back. */
export const savedFileSchema = v.strictObject({
  id,
  name: nameSchema,
  mode: fileMode,
  access: v.optional(fileAccessSchema),
  identity: fileIdentitySchema,
  runs: pageRunsSchema,
});

/** A seccomp filter as it was given to seccomp(2): struct sock_filter[], and SECCOMP_FILTER_FLAG_LOG. */
export const seccompFilterSchema = v.strictObject({ id, program: base64Of(8, 4096 * 8), logs: v.boolean() });
export type SeccompFilterImage = v.InferOutput<typeof seccompFilterSchema>;

export const hostSchema = v.strictObject({
  kernelRelease: text,
  hostName: text,
  machine: text,
  bootId: text,
  processor: text,
  /** `flags` of /proc/cpuinfo: what programs found when they looked for instructions that they may use. */
  processorFlags: v.optional(list(text)),
  /** XCR0's features and the size of the uncompacted xsave area. */
  extendedFeatures: word,
  extendedSizeBytes: wholeNumber,
});

export const metadataSchema = v.strictObject({
  takenAt: v.pipe(v.string(), v.isoTimestamp()),
  host: hostSchema,
  clocks: v.strictObject({ realtimeNs: decimal, monotonicNs: decimal, boottimeNs: decimal }),
  rootPid: pid,
  processes: v.pipe(list(processSchema), v.minLength(1)),
  openFiles: list(openFileSchema),
  pipes: list(pipeSchema),
  ptys: list(ptySchema),
  /** Absent where the job had none open. */
  messageQueues: v.optional(list(messageQueueSchema)),
  sharedMemory: list(sharedMemorySchema),
  savedFiles: list(savedFileSchema),
  /** Absent where no thread has any. */
  seccompFilters: v.optional(list(seccompFilterSchema)),
  /** Absent where the job had none. */
  sysvIpc: v.optional(sysvIpcSchema),
  /** What the user should know about this image: things that are carried over only in part. */
  warnings: list(text),
});
export type ImageMetadata = v.InferOutput<typeof metadataSchema>;

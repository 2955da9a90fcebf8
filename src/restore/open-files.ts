/**
 * Every open file description of the image, opened again in this process; the first puppet inherits them all.
 *
 * Three kinds wait for a process of the job: files of /proc, which show the reader's namespace, pidfds, and what an epoll
 * instance watches, which the kernel knows by the watcher's descriptor numbers.
 */
import { closeSync, existsSync, fchmodSync, fstatSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { assertNever } from "../base/assert.ts";
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { nameToBuffer, nameToText } from "../base/names.ts";
import type { ImageMetadata, ImageReader, OpenFile } from "../image/mod.ts";
import {
  EFD_SEMAPHORE,
  F_ADD_SEALS,
  F_GETFL,
  F_SETFL,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  O_ACCMODE,
  O_APPEND,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOATIME,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  TCSETS2,
  TIOCPKT,
  TIOCSPTLCK,
  TIOCSWINSZ,
} from "../kernel/abi/constants.ts";
import { O_DIRECT, O_TMPFILE } from "../kernel/abi/x86-64/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { SEEK_SET, control, ioctlBuffer, tryControl, tryIoctlBuffer, trySeek } from "../kernel/descriptors.ts";
import { errnoName } from "../kernel/errno.ts";
import { makeInotify } from "../kernel/inotify.ts";
import { duplicate, makeEpoll, makeEventfd, makeFifo, makeMemfd, makeSignalfd, makeTimerfd, openFile, reopen } from "../kernel/open.ts";
import { closeOnExecPipe } from "../kernel/spawn-ffi.ts";
import { systemCall } from "../kernel/syscall-ffi.ts";
import { restoreOfdLocks } from "./description-locks.ts";
import { giveAccess, makeFolderOf } from "./file-access.ts";
import { addMarks, openFanotify } from "./fanotify.ts";
import { addWatches, requireWatched } from "./inotify.ts";
import type { KeptConnections } from "./kept-connections.ts";
import { RestoredQueues } from "./message-queues.ts";
import type { PassedOn } from "./pass-on.ts";
import { fillPipe } from "./pipes.ts";
import { openRing } from "./rings.ts";
import { writeRuns } from "./saved-files.ts";
import { RestoredSockets } from "./sockets.ts";
import { armTimer } from "./timer-files.ts";
import type { TimerFile } from "./timer-files.ts";
import { fillTerminal, indexOf, openMasters, slaveOf } from "./terminals.ts";

const PRIVATE_MODE = 0o600;
const TIOCEXCL = 0x540c;
export const O_ASYNC = 0o20000;
/** Status flags that fcntl(F_SETFL) can set. O_ASYNC is not among them: it is set by the process that gets the signals. */
const SETTABLE = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME;
const EVENTFD_LARGEST_START = 0xffff_ffffn;

/** A terminal made anew, for the processes that have it as their controlling terminal. */
export interface RestoredTerminal {
  readonly slave: number | null;
  readonly session: number;
  readonly foregroundGroup: number;
}

export interface SharedNumbers {
  readonly toWrite: number;
  /** A mapping through this one can't be made writable, and does not stand in the way of a seal. */
  readonly toRead: number | null;
}

export interface RestoredFiles {
  /** Number in every puppet, by id of the open file. */
  readonly numbers: ReadonlyMap<number, number>;
  /** To be opened by a puppet, because they show its namespace. */
  readonly openInside: readonly Extract<OpenFile, { kind: "proc" }>[];
  readonly terminals: readonly RestoredTerminal[];
  /** Numbers in every puppet of the restarter's standard streams, by id of an open file on the terminal that the job was started on. */
  readonly startingTerminals: ReadonlyMap<number, readonly [number, number, number]>;
  /** By id of the shared memory object, in every puppet: opened for both, and where it is mapped so, for reading only. */
  readonly sharedNumbers: ReadonlyMap<number, SharedNumbers>;
  /** A socket that a process of the job has made. It is closed when sockets are filled, or the restart is given up. */
  addSocket(id: number, fd: Fd): void;
  /** Puts into sockets what nobody had read, once all of them are made. */
  fillSockets(): void;
  /** Starts what runs by the clock, seals what is to be sealed, watches what is to be watched: the last thing before the job is let go. */
  arm(): void;
  /** What the user should know about files that are not quite as they were. */
  readonly warnings: readonly string[];
  /**
   * Takes output that the restarter shares with the job back to the job's position, and message queues to their messages: right after the files are
   * taken back. Gives what the user should know.
   */
  rewindShared(): readonly string[];
  /** Removes what had to be made in the file system; for a restart that is given up. */
  undo(): void;
}

export function openAll(reader: ImageReader, passed: PassedOn, streams: readonly [Fd, Fd, Fd], kept: KeptConnections): RestoredFiles {
  return new Opener(reader, passed, streams, kept).openAll();
}

interface PipeEnds {
  readonly readEnd: Fd;
  readonly writeEnd: Fd;
  /** Ends whose own description has become one of the job's; further ones are opened anew. */
  readonly given: Set<Fd>;
}

class Opener {
  readonly #reader: ImageReader;
  readonly #metadata: ImageMetadata;
  readonly #passed: PassedOn;
  readonly #streams: readonly [Fd, Fd, Fd];
  readonly #numbers = new Map<number, number>();
  readonly #shared = new Map<number, Fd>();
  readonly #pipes = new Map<number, PipeEnds>();
  readonly #ptys = new Map<number, { readonly master: Fd; slave: Fd | null; masterGiven: boolean }>();
  readonly #removed = new Map<number, Fd>();
  readonly #arming: (() => void)[] = [];
  /** After all else that is done when the job is let go. */
  readonly #watching: (() => void)[] = [];
  readonly #undoing: (() => void)[] = [];
  readonly #rewinding: (() => void)[] = [];
  readonly #warnings: string[] = [];
  #masters: Map<number, Fd> | undefined;
  readonly #temporary: Fd[] = [];
  readonly #sockets: RestoredSockets;
  readonly #queues: RestoredQueues;

  constructor(reader: ImageReader, passed: PassedOn, streams: readonly [Fd, Fd, Fd], kept: KeptConnections) {
    this.#reader = reader;
    this.#metadata = reader.metadata;
    this.#passed = passed;
    this.#streams = streams;
    this.#queues = new RestoredQueues(
      reader.metadata,
      (fd) => passed.keep(fd),
      (warning) => this.#warnings.push(warning),
    );
    this.#sockets = new RestoredSockets(reader.metadata, kept, (warning) => this.#warnings.push(warning));
  }

  openAll(): RestoredFiles {
    try {
      const sharedNumbers = new Map<number, SharedNumbers>();
      const mapped = this.#metadata.processes.flatMap(({ alive }) => alive?.mappings ?? []);
      const readOnly = new Set(mapped.map((one) => (one.neverWritable === true ? one.shared?.id : undefined)));
      for (const shared of this.#metadata.sharedMemory) {
        const fd = this.#makeShared(shared);
        const toRead = readOnly.has(shared.id) ? this.#passed.add(reopen(fd, O_RDONLY)) : null;
        sharedNumbers.set(shared.id, { toWrite: this.#passed.add(fd), toRead });
      }
      this.#undoing.push(() => this.#sockets.undo());
      this.#sockets.make();
      this.#undoing.push(() => this.#queues.undo());
      const opened = new Map<number, Fd>();
      const openInside: Extract<OpenFile, { kind: "proc" }>[] = [];
      for (const file of this.#metadata.openFiles) {
        if (file.kind === "pidfd" || this.#sockets.isLate(file.id)) continue;
        if (file.kind === "proc") {
          openInside.push(file);
          continue;
        }
        const fd = this.#open(file);
        opened.set(file.id, fd);
        this.#setCommon(fd, file);
        this.#numbers.set(
          file.id,
          file.kind === "terminal" || file.kind === "outside" ? this.#passed.addBorrowed(fd) : this.#passed.add(fd),
        );
      }
      this.#queues.giveAccess();
      // Once all descriptions of them are opened: their modes may forbid it.
      for (const [id, fd] of this.#removed) {
        const saved = this.#metadata.savedFiles.find((one) => one.id === id);
        if (saved !== undefined) giveAccess(fd, saved.access ?? saved);
      }
      const terminals = this.#metadata.ptys.map((pty) => this.#terminal(pty));
      const startingTerminals = this.#startingTerminals();
      return {
        numbers: this.#numbers,
        openInside,
        terminals,
        startingTerminals,
        sharedNumbers,
        arm: () => [...this.#arming, ...this.#watching, () => this.#sockets.release()].forEach((arm) => arm()),
        addSocket: (id, fd) => {
          opened.set(id, fd);
          this.#sockets.add(id, fd);
        },
        fillSockets: () => {
          this.#sockets.fill((id) => opened.get(id));
          this.#sockets.closeRest();
        },
        rewindShared: () => {
          const before = this.#warnings.length;
          this.#rewinding.forEach((rewind) => rewind());
          this.#queues.takeBack();
          return this.#warnings.slice(before);
        },
        warnings: this.#warnings,
        undo: () => {
          this.#sockets.closeRest();
          this.#undoing.forEach((undo) => undo());
        },
      };
    } catch (error) {
      for (const undo of this.#undoing) undo();
      this.#sockets.closeRest();
      throw error;
    } finally {
      for (const fd of this.#temporary) closeSync(fd);
      for (const pipe of this.#pipes.values()) {
        closeSync(pipe.readEnd);
        closeSync(pipe.writeEnd);
      }
      for (const fd of this.#removed.values()) closeSync(fd);
    }
  }

  /**
   * A login gives a shell one description of the terminal for all three streams, and whoever restarts may have redirected one of
   * them: descriptors 0 to 2 on that terminal each get the restarter's own of the same number.
   */
  #startingTerminals(): Map<number, readonly [number, number, number]> {
    const terminals = this.#metadata.openFiles.filter((file) => file.kind === "terminal");
    if (terminals.length === 0) return new Map();
    const [input, output, errors] = this.#streams;
    const numbers = [this.#passed.addBorrowed(input), this.#passed.addBorrowed(output), this.#passed.addBorrowed(errors)] as const;
    return new Map(terminals.map(({ id }) => [id, numbers]));
  }

  #open(file: Exclude<OpenFile, { kind: "proc" | "pidfd" }>): Fd {
    switch (file.kind) {
      case "file":
        return this.#openRegular(file);
      case "directory":
      case "path":
      case "device":
        return this.#openNamed(file);
      case "pipe":
      case "fifo":
        return file.kind === "pipe" ? this.#openPipe(file) : this.#openFifo(file);
      case "eventfd":
        return openEventfd(file);
      case "epoll":
        return makeEpoll();
      case "signalfd":
        return makeSignalfd(BigInt(file.mask), (file.flags & O_NONBLOCK) | O_CLOEXEC);
      case "timerfd":
        return this.#openTimerfd(file);
      case "inotify":
        return this.#openInotify(file);
      case "fanotify": {
        const fd = openFanotify(file);
        this.#watching.push(() => addMarks(fd, file));
        return fd;
      }
      case "message-queue":
        return this.#queues.open(file);
      case "io-uring":
        return openRing(this.#reader, file);
      case "memfd": {
        const fd = reopen(this.#sharedFd(file.shared), file.flags & (O_ACCMODE | SETTABLE));
        trySeek(fd, file.positionBytes, SEEK_SET);
        return fd;
      }
      case "pty-master":
        return this.#openMaster(file);
      case "pty-slave":
        return this.#openSlave(file);
      case "unix-socket":
      case "internet-socket":
      case "netlink-socket":
        return this.#sockets.take(file.id);
      case "terminal":
      case "outside":
        return this.#streams[file.stream];
      default:
        return assertNever(file);
    }
  }

  #openInotify(file: Extract<OpenFile, { kind: "inotify" }>): Fd {
    requireWatched(file);
    const fd = makeInotify(file.flags & O_NONBLOCK);
    this.#watching.push(() => addWatches(fd, file));
    return fd;
  }

  #openNamed(file: Extract<OpenFile, { kind: "directory" | "path" | "device" }>): Fd {
    const fd = explain(file.name, () => openFile(nameToBuffer(file.name), file.flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_ASYNC)));
    if (file.kind === "directory") trySeek(fd, BigInt(file.position), SEEK_SET);
    return fd;
  }

  #openRegular(file: Extract<OpenFile, { kind: "file" }>): Fd {
    // What made the file may still stand in its flags: a file made by O_TMPFILE shows it for ever.
    const flags = file.flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC | O_TMPFILE | O_ASYNC);
    const stream = file.deleted ? undefined : this.#streamOn(file);
    if (stream !== undefined) {
      const shared = duplicate(stream);
      this.#rewinding.push(() => trySeek(shared, file.positionBytes, SEEK_SET));
      return shared;
    }
    const fd = file.deleted ? reopen(this.#removedFile(file), flags) : explain(file.name, () => openFile(nameToBuffer(file.name), flags));
    if (trySeek(fd, file.positionBytes, SEEK_SET) < 0) throw new CairnError("io", `Cannot set the position in ${nameToText(file.name)}`);
    return fd;
  }

  /**
   * The restarter's own output, when that is the very file that the job wrote to (a batch job's log): with an open file description
   * each, they would write over one another.
   */
  #streamOn(file: Extract<OpenFile, { kind: "file" }>): Fd | undefined {
    if ((file.flags & O_ACCMODE) !== O_WRONLY) return undefined;
    const named = statSync(nameToBuffer(file.name), { bigint: true, throwIfNoEntry: false });
    if (named === undefined) return undefined;
    return this.#streams.slice(1).find((stream) => {
      const opened = fstatSync(stream, { bigint: true });
      return opened.ino === named.ino && opened.dev === named.dev && (tryControl(stream, F_GETFL) & O_ACCMODE) === O_WRONLY;
    });
  }

  /** A file without a name, with the content of one that had been removed. */
  #removedFile(file: Extract<OpenFile, { kind: "file" }>): Fd {
    const id = file.savedFile;
    const saved = this.#metadata.savedFiles.find((one) => one.id === id);
    if (id === undefined || saved === undefined)
      throw new CairnError("damaged", `The content of the removed file ${nameToText(file.name)} is not in the image`);
    const known = this.#removed.get(id);
    if (known !== undefined) return known;
    const fd = namelessFile(nameToText(file.name), file.mode);
    this.#removed.set(id, fd);
    writeRuns(this.#reader, fd, saved.runs, saved.identity.sizeBytes, nameToText(file.name));
    return fd;
  }

  #makeShared(shared: ImageMetadata["sharedMemory"][number]): Fd {
    const fd = makeMemfd(nameToBuffer(shared.name === "" ? "cairn-shared" : shared.name), MFD_CLOEXEC | MFD_ALLOW_SEALING);
    this.#shared.set(shared.id, fd);
    writeRuns(this.#reader, fd, shared.runs, shared.sizeBytes, "shared memory");
    fchmodSync(fd, shared.mode);
    if (shared.kind === "memfd" && shared.seals !== 0) this.#arming.push(() => seal(fd, shared));
    return fd;
  }

  #sharedFd(id: number): Fd {
    const fd = this.#shared.get(id);
    if (fd === undefined) throw new CairnError("damaged", `The image has no shared memory ${id}`);
    return fd;
  }

  /** Which of the pipe's buffers are packets. Older images say it of the whole pipe. */
  #packetsOf(pipe: ImageMetadata["pipes"][number]): ReadonlySet<number> {
    if (pipe.packets !== undefined) return new Set(pipe.packets);
    const isPacketPipe = this.#metadata.openFiles.some(
      (file) =>
        (file.kind === "pipe" || file.kind === "fifo") &&
        file.pipe === pipe.id &&
        (file.flags & O_DIRECT) !== 0 &&
        (file.flags & O_ACCMODE) !== 0,
    );
    return new Set(isPacketPipe ? pipe.content.keys() : []);
  }

  #pipe(id: number): PipeEnds {
    const known = this.#pipes.get(id);
    if (known !== undefined) return known;
    const image = this.#metadata.pipes.find((pipe) => pipe.id === id);
    if (image === undefined) throw new CairnError("damaged", `The image has no pipe ${id}`);
    const pipe = { ...closeOnExecPipe(), given: new Set<Fd>() };
    this.#pipes.set(id, pipe);
    fillPipe(pipe.writeEnd, image, this.#packetsOf(image));
    control(pipe.writeEnd, F_SETFL, 0);
    return pipe;
  }

  #openPipe(file: Extract<OpenFile, { kind: "pipe" }>): Fd {
    const pipe = this.#pipe(file.pipe);
    const access = file.flags & O_ACCMODE;
    const end = access === O_WRONLY ? pipe.writeEnd : pipe.readEnd;
    const isFirst = access !== O_RDWR && !pipe.given.has(end);
    if (isFirst) pipe.given.add(end);
    // Opened by way of /proc a description has O_LARGEFILE, which pipe(2) does not set.
    const fd = isFirst ? duplicate(end) : reopen(end, access | (file.flags & O_NONBLOCK));
    // O_DIRECT, a pipe's packet mode, can't be given to open(2).
    control(fd, F_SETFL, file.flags & SETTABLE);
    return fd;
  }

  /** A FIFO's content is put in through an end that is open for both; the job's own ends follow. */
  #openFifo(file: Extract<OpenFile, { kind: "fifo" }>): Fd {
    const image = this.#metadata.pipes.find((pipe) => pipe.id === file.pipe);
    if (image === undefined) throw new CairnError("damaged", `The image has no pipe ${file.pipe}`);
    if (!this.#pipes.has(file.pipe)) {
      const isMissing = !existsSync(nameToBuffer(file.name));
      if (isMissing) this.#makeFifo(file.name);
      const both = explain(file.name, () => openFile(nameToBuffer(file.name), O_RDWR | O_NONBLOCK));
      if (isMissing && file.access !== undefined) giveAccess(both, file.access);
      fillPipe(both, image, this.#packetsOf(image));
      this.#pipes.set(file.pipe, { readEnd: both, writeEnd: duplicate(both), given: new Set() });
    }
    const fd = openFile(nameToBuffer(file.name), (file.flags & (O_ACCMODE | SETTABLE)) | O_NONBLOCK);
    control(fd, F_SETFL, file.flags & SETTABLE);
    return fd;
  }

  /** A FIFO that was removed since is made again: it has no content but what the image has. */
  #makeFifo(name: OpenFileName): void {
    const path = nameToBuffer(name);
    const folder = makeFolderOf(path);
    if (folder !== null) this.#undoing.push(() => rmSync(folder, { recursive: true, force: true }));
    makeFifo(path, PRIVATE_MODE);
    this.#undoing.push(() => rmSync(path, { force: true }));
  }

  #openTimerfd(file: TimerFile): Fd {
    const fd = makeTimerfd(file.clock, (file.flags & O_NONBLOCK) | O_CLOEXEC);
    this.#arming.push(() => armTimer(fd, file, this.#metadata.clocks));
    return fd;
  }

  #pty(id: number): { readonly master: Fd; slave: Fd | null; masterGiven: boolean } {
    const known = this.#ptys.get(id);
    if (known !== undefined) return known;
    const image = this.#metadata.ptys.find((pty) => pty.id === id);
    if (image === undefined) throw new CairnError("damaged", `The image has no terminal ${id}`);
    this.#masters ??= openMasters(this.#metadata.ptys);
    const master = this.#masters.get(id) as Fd;
    if (indexOf(master) !== image.index) {
      this.#warnings.push(`Terminal /dev/pts/${image.index} is /dev/pts/${indexOf(master)} now: another program has its number`);
    }
    const word = Buffer.alloc(64);
    ioctlBuffer(master, TIOCSPTLCK, word); // Unlocked first: a locked slave can't be opened.
    const pty = { master, slave: null, masterGiven: false };
    this.#ptys.set(id, pty);
    const set = (request: number, base64: string): void => {
      if (base64 === "") return;
      const bytes = Buffer.alloc(64);
      bytes.set(Buffer.from(base64, "base64"));
      ioctlBuffer(master, request, bytes);
    };
    set(TCSETS2, image.termios);
    set(TIOCSWINSZ, image.windowSize);
    const problem = fillTerminal(master, image);
    if (problem !== null) this.#warnings.push(problem);
    if (image.packetMode) {
      word.writeInt32LE(1, 0);
      ioctlBuffer(master, TIOCPKT, word);
    }
    this.#arming.push(() => {
      if (image.exclusive) tryIoctlBuffer(master, TIOCEXCL, Buffer.alloc(64));
      if (!image.locked) return;
      const one = Buffer.alloc(64);
      one.writeInt32LE(1, 0);
      tryIoctlBuffer(master, TIOCSPTLCK, one);
    });
    return pty;
  }

  #openMaster(file: Extract<OpenFile, { kind: "pty-master" }>): Fd {
    const pty = this.#pty(file.pty);
    if (pty.masterGiven) {
      throw new CairnError("unsupported", "Cannot restart: the job has a terminal's master open twice, apart", { data: { pty: file.pty } });
    }
    pty.masterGiven = true;
    control(pty.master, F_SETFL, file.flags & SETTABLE);
    return pty.master;
  }

  #openSlave(file: Extract<OpenFile, { kind: "pty-slave" }>): Fd {
    const pty = this.#pty(file.pty);
    const fd = slaveOf(pty.master, file.flags & (O_ACCMODE | SETTABLE));
    pty.slave ??= fd;
    return fd;
  }

  /** The slave's number, for those whose controlling terminal it is; opened for that purpose alone if nobody has it open. */
  #terminal(image: ImageMetadata["ptys"][number]): RestoredTerminal {
    const pty = this.#pty(image.id);
    let slave: number | null = null;
    if (image.session !== 0) {
      slave = this.#passed.add(slaveOf(pty.master, O_RDWR));
    }
    return { slave, session: image.session, foregroundGroup: image.foregroundGroup };
  }

  #setCommon(fd: Fd, file: OpenFile): void {
    if (file.kind === "unix-socket" || file.kind === "internet-socket" || file.kind === "netlink-socket")
      control(fd, F_SETFL, file.flags & SETTABLE);
    restoreOfdLocks(fd, file);
    if (file.flock !== undefined && (file.flags & O_PATH) === 0) {
      const result = systemCall(SYSCALLS.flock, fd, (file.flock === "exclusive" ? LOCK_EX : LOCK_SH) | LOCK_NB);
      if (result < 0) {
        throw new CairnError(
          "conflict",
          `Cannot restart: ${file.kind === "file" ? nameToText(file.name) : "a file"} is locked by another process`,
          {
            hint: "End the program that holds the lock (`lslocks` names it) and try again",
          },
        );
      }
    }
  }
}

function explain(name: OpenFileName, open: () => Fd): Fd {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    const path = nameToText(name);
    if (error.errnoName === "ENOENT") {
      throw new CairnError("changed", `Cannot restart: ${path}, which the job has open, is missing`, {
        data: { path },
        hint: "Put the file back where it was, then try again",
        cause: error,
      });
    }
    throw new CairnError(error.code, `Cannot restart: cannot open ${path} as the job had it open: ${error.errnoName}`, {
      data: { path },
      cause: error,
    });
  }
}

type OpenFileName = Parameters<typeof nameToText>[0];

function seal(fd: Fd, { name, seals }: ImageMetadata["sharedMemory"][number]): void {
  const result = tryControl(fd, F_ADD_SEALS, seals);
  if (result >= 0) return;
  throw new CairnError("io", `Cannot restart: the memory file "${nameToText(name)}" cannot be sealed as it was: ${errnoName(-result)}`, {
    data: { seals, errno: errnoName(-result) },
    hint: "This kernel may know fewer seals than the one of the checkpoint",
  });
}

function openEventfd(file: Extract<OpenFile, { kind: "eventfd" }>): Fd {
  const fd = makeEventfd((file.flags & O_NONBLOCK) | O_CLOEXEC | (file.semaphore ? EFD_SEMAPHORE : 0));
  const count = BigInt(file.count);
  if (count > 0n && count <= 2n * EVENTFD_LARGEST_START ** 2n) {
    const word = Buffer.alloc(8);
    word.writeBigUInt64LE(count);
    writeSync(fd, word);
  }
  return fd;
}

/** Made where the file was if possible: its file system has the room and the properties that the program expects. */
function namelessFile(path: string, mode: number): Fd {
  for (const directory of [dirname(path), "/tmp", "/dev/shm"]) {
    try {
      return openFile(Buffer.from(directory), O_TMPFILE | O_RDWR, mode | 0o600);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
    }
  }
  throw new CairnError("io", `Cannot make a file without a name in ${dirname(path)}, /tmp or /dev/shm`, { data: { path } });
}

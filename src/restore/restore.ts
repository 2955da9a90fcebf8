/**
 * From an image to a running job.
 *
 *   1. compare: machine, files, pids; refuse before anything is made, naming all that differs
 *   2. open what the job had open; start the first puppet, which inherits it all
 *   3. a pid namespace where the pids are not free or not ours to choose
 *   4. make the tree; for each process: memory, descriptors, signals, timers, threads
 *   5. take output files back
 *   6. release: clocks start, the arena goes, registers are set, everyone runs
 *
 * Until 6 every process of the new tree dies with us or by `kill`; files are touched in 5 alone.
 */
import { closeSync, writeSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import type { Fd, Pid, Tid } from "../base/ids.ts";
import { asJobPid, asTid } from "../base/ids.ts";
import type { ImageMetadata, LiveProcessImage, Thread } from "../image/mod.ts";
import { PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, TIOCSCTTY, TIOCSPGRP } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { GONE, getExtendedRegisters } from "../kernel/ptrace.ts";
import { closeOnExecPipe, executableInMemory, spawnProgram } from "../kernel/spawn-ffi.ts";
import type { Registers } from "../tracee/x86-64/registers.ts";
import { countStep } from "../kernel/syscall-ffi.ts";
import { ARENA, Made, Puppet, call, purposed, tolerant } from "../tracee/puppet.ts";
import { openRecordFile } from "../tracee/keeper.ts";
import { keeperProgram } from "../tracee/x86-64/keeper-program.ts";
import { findArena } from "./arena.ts";
import { explainLimit } from "./clone.ts";
import { continueClocks, describeJump } from "./clocks.ts";
import { compareAll } from "./compare.ts";
import type { Comparison } from "./compare.ts";
import { closePassedOn, openInside, restoreDescriptors, restoreEpolls, restoreLocksAndOwners, seekInside } from "./descriptors.ts";
import { IpcObjects } from "./ipc.ts";
import { IpcTaken, inNamespace, planIpc } from "./ipc-plan.ts";
import type { IpcPlan } from "./ipc-plan.ts";
import { restoreLeases } from "./description-locks.ts";
import { LateSockets, listenAgain } from "./late-sockets.ts";
import { KeptConnections } from "./kept-connections.ts";
import { MappedFiles } from "./mapped-files.ts";
import { askForTiles, unfoldTiles, usesTiles } from "./tiles.ts";
import { restoreMemory } from "./memory.ts";
import type { RestoreRequest, RestoredJob } from "./mod.ts";
import { enterIpcNamespace, enterNamespace, mayChoosePids } from "./namespace.ts";
import { endAs, endAsZombie, endLeader, giveName, signalTo } from "./endings.ts";
import { openAll } from "./open-files.ts";
import { syscallInstruction } from "./own-code.ts";
import type { RestoredFiles } from "./open-files.ts";
import { makeMissing } from "./output-files.ts";
import type { FileComparison } from "./output-files.ts";
import { PassedOn } from "./pass-on.ts";
import { Numbers } from "./numbers.ts";
import { describeNewPids, noteOf, pidsTaken, takenBy } from "./pids.ts";
import { joinProblems } from "./problems.ts";
import { Pidfds } from "./pidfds.ts";
import type { Helper } from "./pidfds.ts";
import { restoreAttributes, restoreDumpable, restoreLimits, restorePersonality } from "./process.ts";
import { finalRegisters, fitExtendedRegisters } from "./registers.ts";
import { rewindFiles } from "./rewind.ts";
import { flushSignals, isIgnoredTrap, queueSignals, restoreSignalActions } from "./signals.ts";
import { credentialsToSet } from "./own-credentials.ts";
import { restoreSeccomp } from "./seccomp.ts";
import { makeThreads, renumberInMemory, restoreRarities, restoreScheduling, restoreThread } from "./threads.ts";
import { makePosixTimers, startTimers } from "./timers.ts";
import { PidTaken, makeHelper, makeTree, reapHelper } from "./tree.ts";
import type { MadeProcess } from "./tree.ts";
import { isStopToBeReported, restoreWaitReport } from "./wait-reports.ts";

const TIOCSCTTY_ARGUMENT = 0n;

/**
 * Restores the image; the job is complete and stands still. Errors: `changed`, `incompatible`, `permission`, `conflict`, `unsupported`,
 * `damaged`, `io`; after any of them nothing is left behind.
 */
export async function restoreTree(request: RestoreRequest): Promise<RestoredJob> {
  const { metadata } = request.reader;
  let comparison = compareAll(metadata, request);
  const [first, ...others] = comparison.problems;
  if (first !== undefined) throw joinProblems([first, ...others]);
  let ipc = planIpc(metadata, mayChooseIpcIds(comparison.useNamespace));
  for (;;) {
    try {
      return new Restoration(request, comparison, ipc).run();
    } catch (error) {
      // Taken between the look and the making.
      if (error instanceof PidTaken) {
        const taken = [takenBy(error.pid)];
        if (request.pids !== "auto" || comparison.useNamespace) throw pidsTaken(taken, error);
        comparison = { ...comparison, useNamespace: true, notes: [...comparison.notes, noteOf(taken)] };
        ipc = planIpc(metadata, mayChooseIpcIds(true));
      } else if (error instanceof IpcTaken && ipc.place === "host") {
        ipc = inNamespace("an id or a key was taken meanwhile", []);
      } else throw error;
    }
  }
}

/** Inside a user namespace nobody may choose ids outside it. */
function mayChooseIpcIds(useNamespace: boolean): boolean {
  return mayChoosePids() && (process.geteuid?.() === 0 || !useNamespace);
}

interface LiveProcess extends MadeProcess {
  readonly live: LiveProcessImage;
  threads: Map<Thread, Puppet>;
}

/** The first puppet, and what it will be: the keeper, or in a namespace the keeper's own parent. */
interface FirstPuppet {
  readonly puppet: Puppet;
  readonly keepAddress: bigint;
  readonly guardAddress: bigint;
  /** The reading end of the gate, in every puppet. */
  readonly gateNumber: number;
}

class Restoration {
  readonly #request: RestoreRequest;
  readonly #metadata: ImageMetadata;
  readonly #comparison: FileComparison;
  readonly #kept: ReadonlySet<number>;
  readonly #useNamespace: boolean;
  readonly #ipcPlan: IpcPlan;
  readonly #warnings: string[];
  /** Everything made so far, the first one first. */
  readonly #made: Made[] = [];
  readonly #note = (made: Made): void => void this.#made.push(made);
  readonly #passed: PassedOn;
  readonly #numbers: Numbers;
  /** Of /proc/PID/exe: in a user namespace of its own the job may, outside only who has the capability. */
  readonly #mayNameExecutable: boolean;
  #eventPipe: Fd | null = null;
  #undoFiles: () => void = () => {};
  #isLettingGo = false;

  constructor(request: RestoreRequest, comparison: Comparison, ipcPlan: IpcPlan) {
    this.#request = request;
    this.#metadata = request.reader.metadata;
    this.#comparison = comparison.files;
    this.#kept = comparison.keptConnections;
    this.#useNamespace = comparison.useNamespace;
    this.#ipcPlan = ipcPlan;
    this.#warnings = [...comparison.notes, ...ipcPlan.warnings, ...notesOnQueues(this.#metadata, ipcPlan)];
    this.#passed = new PassedOn(this.#metadata);
    this.#numbers = new Numbers(request.pids === "new");
    this.#mayNameExecutable = comparison.useNamespace || mayChoosePids();
  }

  run(): RestoredJob {
    try {
      return this.#run();
    } catch (error) {
      if (this.#eventPipe !== null) closeSync(this.#eventPipe);
      this.#giveUp();
      throw explainLimit(error);
    }
  }

  #run(): RestoredJob {
    const { reader, files: rule } = this.#request;
    const numbers = this.#numbers;
    const comparison = this.#comparison;
    this.#undoFiles = makeMissing(reader, comparison);
    const mapped = new MappedFiles(this.#metadata, this.#passed);
    const undoMissing = this.#undoFiles;
    const files = openAll(
      reader,
      this.#passed,
      this.#request.standardStreams,
      new KeptConnections(this.#metadata, this.#kept, this.#request),
    );
    this.#warnings.push(...files.warnings);
    const undoMade = (): void => {
      files.undo();
      undoMissing();
    };
    this.#undoFiles = undoMade;
    const image = this.#passed.addBorrowed(reader.fd);
    const pidfds = new Pidfds(this.#metadata, this.#passed);
    const sockets = new LateSockets(this.#metadata, this.#passed);
    const outer = this.#startFirst();
    if (!this.#useNamespace && this.#ipcPlan.place === "namespace") enterIpcNamespace(outer.puppet);
    const keeper = this.#useNamespace ? this.#enterNamespace(outer.puppet) : outer.puppet;
    this.#warnings.push(...this.#setClocks(keeper));
    keeper.run([call(SYSCALLS.prctl, BigInt(PR_SET_CHILD_SUBREAPER), 1n, 0n, 0n, 0n)]);
    const made = makeTree(keeper, this.#metadata, numbers, this.#note, (leader, session) => this.#takeTerminal(leader, session, files));
    this.#setForegroundGroups(made, files);
    const ipc = this.#makeIpc(keeper, made, image);
    const live: LiveProcess[] = [];
    for (const one of made.values()) {
      if (one.image.alive === null) continue;
      const process: LiveProcess = { ...one, live: one.image.alive, threads: new Map() };
      const unset = restoreMemory(one.puppet, reader, process.live, {
        image,
        file: (mapping) => mapped.ofMapping(mapping),
        shared: (id, toRead) => {
          const given = files.sharedNumbers.get(id);
          return (toRead ? given?.toRead : null) ?? given?.toWrite ?? -1;
        },
        openFile: (id) => files.numbers.get(id) ?? -1,
        executable: (of) => (this.#mayNameExecutable ? mapped.ofExecutable(of) : -1),
        segmentBytes: (id) => ipc.segmentBytes(id),
      });
      this.#warn(one.puppet, unset);
      live.push(process);
    }
    for (const one of made.values()) restoreWaitReport(one, made.get(one.image.parentPid), numbers);
    for (const process of live) this.#makeThreads(process);
    pidfds.open(threadNumbers(made, live), () => this.#makeHelper(keeper));
    // Files of /proc may be of any process and thread of the job: all are there by now, and none has ended.
    sockets.make(
      (pid) => made.get(pid)?.puppet,
      (id, fd) => files.addSocket(id, fd),
    );
    files.fillSockets();
    for (const process of live) this.#fillIn(process, files, pidfds, sockets);
    const owned = new Set<number>();
    for (const { puppet, live: of } of live) {
      restoreLocksAndOwners(puppet, of, this.#metadata, numbers, owned);
    }
    for (const one of made.values()) if (one.image.alive === null) endAsZombie(one);
    for (const process of live) this.#restoreThreads(process);
    for (const { puppet, live: of } of live) seekInside(puppet, of, files);
    const rewound = rewindFiles(reader, comparison, this.#request.asideDirectory, this.#request.standardStreams.slice(1));
    this.#undoFiles = () => {
      undoMade();
      rewound.undo();
    };
    this.#warnings.push(...rewound.told);
    if (rule !== "keep") this.#warnings.push(...files.rewindShared());
    this.#warnings.push(...ipc.takeBack());
    restoreLeases(live, this.#metadata);
    if (numbers.areNew) this.#warnings.push(...describeNewPids(this.#metadata, numbers, this.#mayNameExecutable));
    const root = made.get(this.#metadata.rootPid);
    if (root === undefined) throw new CairnError("damaged", "The image's root process is not in it");
    let isOver = false;
    return {
      keeper: { keeperPid: keeper.pid, rootPid: root.puppet.pid, eventPipe: this.#eventPipe },
      warnings: this.#warnings,
      release: () => {
        if (isOver) return;
        isOver = true;
        try {
          this.#release(live, files, keeper, outer, root);
        } catch (error) {
          // Once the keeper is let go it ends what is free; before that nobody has run yet.
          if (!this.#isLettingGo) this.#giveUp();
          throw error;
        }
      },
      kill: () => {
        if (isOver) return;
        isOver = true;
        this.#giveUp();
      },
    };
  }

  /** The keeper's program at the arena, sleeping, under our trace. */
  #startFirst(): FirstPuppet {
    const arena = findArena(this.#metadata, ARENA.bytes);
    const recordFd = openRecordFile(this.#request.recordPath);
    const record = this.#passed.add(recordFd);
    const pipe = closeOnExecPipe();
    this.#eventPipe = pipe.readEnd;
    const pipeNumber = this.#passed.add(pipe.writeEnd);
    const gate = closeOnExecPipe();
    this.#gate = gate.writeEnd;
    const gateNumber = this.#passed.add(gate.readEnd);
    const { image, keepAddress, guardAddress } = keeperProgram({
      baseAddress: arena,
      lengthBytes: ARENA.bytes,
      recordFd: record,
      pipeFd: pipeNumber,
      mode: { kind: "restore" },
    });
    const program = executableInMemory("cairn-keeper", image);
    let pid: Pid;
    try {
      pid = spawnProgram({ program, arguments: [Buffer.from("cairn-keeper")], environment: [], descriptors: this.#passed.list() });
    } finally {
      closeSync(program);
    }
    this.#note(new Made(pid, asTid(pid)));
    const puppet = Puppet.seizeFirst(pid, arena);
    if (this.#request.detached) puppet.run([call(SYSCALLS.setsid)]);
    puppet.run([call(SYSCALLS.prctl, BigInt(PR_SET_PDEATHSIG), 0n, 0n, 0n, 0n)]);
    nameKeeper(puppet);
    this.#keeperNumbers = [record, pipeNumber];
    return { puppet, keepAddress, guardAddress: guardAddress ?? keepAddress, gateNumber };
  }

  #gate: Fd | null = null;
  #keeperNumbers: readonly number[] = [];
  readonly #doneEpolls = new Set<number>();

  #enterNamespace(outer: Puppet): Puppet {
    const { init, warnings } = enterNamespace(outer, process.geteuid?.() !== 0, this.#ipcPlan.place === "namespace", this.#note);
    this.#warnings.push(...warnings);
    nameKeeper(init);
    return init;
  }

  #setClocks(keeper: Puppet): string[] {
    const { clocks } = this.#metadata;
    return this.#request.clock === "job" ? continueClocks(keeper, clocks) : describeJump(clocks, "so --clock host has it");
  }

  #makeIpc(keeper: Puppet, made: ReadonlyMap<number, MadeProcess>, image: number): IpcObjects {
    const puppetOf = (pid: number): Puppet | undefined => {
      const found = made.get(pid);
      return found?.image.alive === null ? undefined : found?.puppet;
    };
    const isRoot = process.geteuid?.() === 0;
    const ipc = new IpcObjects(this.#request.reader, this.#ipcPlan, {
      keeper,
      of: (pid) => puppetOf(pid) ?? puppetOf(this.#metadata.rootPid) ?? keeper,
      image,
      asOthers: isRoot,
    });
    const undoFiles = this.#undoFiles;
    this.#undoFiles = () => {
      ipc.undo();
      undoFiles();
    };
    ipc.make();
    return ipc;
  }

  /** A terminal made anew becomes the controlling terminal of the session that had it. */
  #takeTerminal(leader: Puppet, session: number, files: RestoredFiles): void {
    const terminal = files.terminals.find((one) => one.session === session && one.slave !== null);
    if (terminal === undefined) return;
    leader.run([
      purposed("taking the controlling terminal", SYSCALLS.ioctl, BigInt(terminal.slave as number), BigInt(TIOCSCTTY), TIOCSCTTY_ARGUMENT),
    ]);
  }

  #setForegroundGroups(made: ReadonlyMap<number, MadeProcess>, files: RestoredFiles): void {
    for (const { slave, session, foregroundGroup } of files.terminals) {
      const leader = made.get(session);
      if (slave === null || leader === undefined || foregroundGroup === 0) continue;
      const data = leader.puppet.data();
      const group = Buffer.alloc(8);
      group.writeInt32LE(this.#numbers.of(foregroundGroup), 0);
      leader.puppet.run([tolerant(SYSCALLS.ioctl, BigInt(slave), BigInt(TIOCSPGRP), data.put(group))], data);
    }
  }

  /** What a process has once its memory stands and every process and thread of the tree is there. */
  #fillIn({ puppet, live }: LiveProcess, files: RestoredFiles, pidfds: Pidfds, sockets: LateSockets): void {
    const inside = openInside(puppet, live, files, this.#passed);
    const handed = pidfds.give(puppet, live, this.#passed.base + this.#passed.count + inside.size);
    const late = sockets.give(puppet, live, this.#passed.base + this.#passed.count + inside.size + handed.size);
    const numbers = new Map([...files.numbers, ...inside, ...handed, ...late]);
    restoreDescriptors(puppet, live, numbers, files.startingTerminals, this.#passed.base);
    restoreEpolls(puppet, live, this.#metadata, numbers, this.#passed, this.#doneEpolls);
    puppet.run([closePassedOn(this.#passed.base)]);
    this.#warn(puppet, restoreAttributes(puppet, live));
    restoreSignalActions(puppet, live);
  }

  #makeThreads(process: LiveProcess): void {
    const { puppet, live, image } = process;
    restorePersonality(puppet, live);
    if (live.threads.some(usesTiles)) askForTiles(puppet);
    process.threads = makeThreads(puppet, image.pid, live.threads, this.#numbers, this.#note);
  }

  #makeHelper(keeper: Puppet): Helper {
    const noted: Made[] = [];
    const { puppet, number } = makeHelper(keeper, (made) => {
      noted.push(made);
      this.#note(made);
    });
    const end = (exitStatus: number): void => {
      endAs(puppet, exitStatus);
      reapHelper(keeper, number);
      for (const made of noted) made.forget();
    };
    return { pid: puppet.pid, end };
  }

  #restoreThreads(process: LiveProcess): void {
    const { puppet, live, image } = process;
    const credentials = credentialsToSet(live.credentials, this.#useNamespace);
    flushSignals(puppet);
    makePosixTimers(puppet, live, this.#numbers);
    restoreSeccomp({ ...process, hasLeader: live.threads.some(({ tid }) => tid === image.pid) }, this.#metadata);
    for (const [thread, own] of process.threads) {
      this.#warn(puppet, restoreScheduling(own, thread));
      if (usesTiles(thread)) unfoldTiles(own);
      renumberInMemory(puppet, thread, this.#numbers);
      queueSignals(own, this.#numbers.of(image.pid), this.#numbers.of(thread.tid), thread.pendingSignals);
      this.#warn(puppet, restoreRarities(own, thread));
      const credentialsOfThread = thread.credentials === undefined ? credentials : credentialsToSet(thread.credentials, this.#useNamespace);
      restoreThread(own, thread, live.personality, credentialsOfThread);
    }
    listenAgain(puppet, image.pid, live, this.#metadata);
    queueSignals(puppet, this.#numbers.of(image.pid), null, live.pendingSignals);
    restoreDumpable(puppet, live);
    this.#warn(puppet, restoreLimits(puppet, live));
  }

  #warn(puppet: Puppet, failed: readonly string[]): void {
    for (const what of failed)
      this.#warnings.push(`Process ${puppet.pid}: ${what} could not be set as it was; this user is not allowed to`);
  }

  #release(live: readonly LiveProcess[], files: RestoredFiles, keeper: Puppet, outer: FirstPuppet, root: MadeProcess): void {
    const rootNumber = asJobPid(this.#numbers.of(root.image.pid));
    this.#passed.closeMapped();
    this.#becomeGuard(keeper, outer, rootNumber);
    if (keeper !== outer.puppet) this.#becomeKeeper(outer.puppet, outer.keepAddress, -1, this.#keeperNumbers);
    files.arm();
    // Before anybody runs: as long as we hold an end of a pipe as well, its other end does not see it closed.
    this.#passed[Symbol.dispose]();
    for (const process of live) this.#becomeJob(process);
    // One after the other is let go, and all or none may stay: if we die on the way, the keeper ends those that are free, and the
    // others die with us. When all are free one byte says so.
    this.#isLettingGo = true;
    keeper.release();
    for (const { puppet, image } of live) if (isStopToBeReported(image)) signalTo(puppet.pid, image.stopSignal);
    for (const { puppet, image, threads, live: of } of live) {
      for (const own of threads.values()) own.release();
      if (!of.threads.some((thread) => thread.tid === image.pid)) puppet.release();
    }
    if (keeper !== outer.puppet) outer.puppet.release();
    this.#made.length = 0;
    this.#openGate(true);
  }

  /** The keeper's pipe: `true` says that the whole job is free, the end of the pipe that it is not to be. */
  #openGate(isFree: boolean): void {
    if (this.#gate === null) return;
    countStep("release");
    if (isFree) writeSync(this.#gate, Buffer.of(1));
    closeSync(this.#gate);
    this.#gate = null;
  }

  #becomeGuard(keeper: Puppet, outer: FirstPuppet, root: number): void {
    const pids = Buffer.alloc(4 * this.#metadata.processes.length);
    this.#metadata.processes.forEach(({ pid }, index) => pids.writeUInt32LE(this.#numbers.of(pid), 4 * index));
    const list = keeper.arena + ARENA.data;
    this.#becomeKeeper(keeper, outer.guardAddress, root, [...this.#keeperNumbers, outer.gateNumber], (registers) => {
      keeper.write(list, pids);
      registers.set("r13", BigInt(outer.gateNumber));
      registers.set("r14", list);
      registers.set("r15", BigInt(this.#metadata.processes.length));
    });
  }

  #becomeKeeper(puppet: Puppet, start: bigint, root: number, numbers: readonly number[], prepare?: (registers: Registers) => void): void {
    const kept = [...numbers].sort((a, b) => a - b);
    const calls = [];
    let free = 0;
    for (const fd of kept) {
      if (fd > free) calls.push(call(SYSCALLS.close_range, BigInt(free), BigInt(fd - 1), 0n));
      free = fd + 1;
    }
    calls.push(call(SYSCALLS.close_range, BigInt(free), 0xffff_ffffn, 0n));
    puppet.run(calls);
    const registers = puppet.ownRegisters();
    registers.set("rip", start);
    registers.set("r12", BigInt.asUintN(32, BigInt(root)));
    registers.set("orig_rax", 0xffff_ffff_ffff_ffffn);
    prepare?.(registers);
    puppet.become(registers, null, 0xffff_ffff_ffff_ffffn);
  }

  #becomeJob({ puppet, live, image, threads }: LiveProcess): void {
    const data = puppet.data();
    puppet.run(startTimers(data, live), data);
    const exit = syscallInstruction(puppet, live);
    const hasLeader = live.threads.some((thread) => thread.tid === image.pid);
    if (exit !== null) {
      const trap = live.signalActions.find(isIgnoredTrap);
      if (trap !== undefined) {
        const action = Buffer.alloc(32);
        action.writeBigUInt64LE(BigInt(trap.handler), 0);
        action.writeBigUInt64LE(BigInt(trap.flags), 8);
        action.writeBigUInt64LE(BigInt(trap.restorer), 16);
        const address = puppet.arena + ARENA.data;
        puppet.write(address, action);
        puppet.callThrough(exit, SYSCALLS.rt_sigaction, [BigInt(trap.signal), address, 0n, 8n]);
      }
      puppet.callThrough(exit, SYSCALLS.munmap, [puppet.arena, BigInt(ARENA.bytes)]);
    }
    for (const [thread, own] of threads) {
      const extended = ownExtended(own);
      own.become(finalRegisters(thread), fitExtendedRegisters(thread, extended.bytes, extended.features), BigInt(thread.signalMask));
    }
    if (!hasLeader && exit !== null) endLeader(puppet, exit);
  }

  /** Whatever fails on the way, the rest is undone too. */
  #giveUp(): void {
    try {
      this.#killAll();
    } finally {
      try {
        this.#openGate(false);
        this.#passed[Symbol.dispose]();
      } finally {
        this.#undoFiles();
      }
    }
  }

  #killAll(): void {
    // The first one is last: in a namespace its init's end is the end of all.
    for (const made of [...this.#made].reverse()) made.kill();
    for (const made of [...this.#made].reverse()) made.reap();
    this.#made.length = 0;
  }
}

/** Queues are made before there is a namespace: who has one open has it still. */
function notesOnQueues({ messageQueues = [] }: ImageMetadata, { place }: IpcPlan): string[] {
  if (place !== "namespace" || messageQueues.every(({ removed }) => removed)) return [];
  return ["The job has an IPC namespace of its own: its POSIX message queues have their names outside of it"];
}

function nameKeeper(puppet: Puppet): void {
  giveName(puppet, Buffer.from("cairn-keeper"));
}

function ownExtended(puppet: Puppet): { readonly bytes: number; readonly features: bigint } {
  const area = getExtendedRegisters(puppet.tid);
  if (area === GONE) throw new CairnError("exited", "The restart's own process was killed");
  // struct fpx_sw_bytes is told in the legacy area's reserved bytes: at 464 the features that are switched on.
  return { bytes: area.length, features: area.readBigUInt64LE(464) };
}

/** Ours of the pids and tids of the image. */
function threadNumbers(made: ReadonlyMap<number, MadeProcess>, live: readonly LiveProcess[]): Map<number, Pid | Tid> {
  const tids = new Map<number, Pid | Tid>([...made].map(([pid, { puppet }]) => [pid, puppet.pid]));
  for (const { threads } of live) for (const [{ tid }, own] of threads) tids.set(tid, own.tid);
  return tids;
}

/**
 * From a living tree to a committed image.
 *
 *   1. look (nothing is touched): refuse what can't be carried over
 *   2. freeze every thread of every process
 *   3. read what is small; copy what a snapshot would go on sharing
 *   4. snapshot each process's memory by copy-on-write
 *   5. thaw: the pause ends
 *   6. stream the snapshots' pages into the image, finish it, commit
 *
 * Whatever fails after 2, the tree is thawed; whatever fails later, the job has long been running on.
 */
import { performance } from "node:perf_hooks";
import type { Pid } from "../base/ids.ts";
import { CairnError } from "../base/errors.ts";
import { nameToText } from "../base/names.ts";
import type { ImageMetadata, LiveProcessImage, Name, ProcessImage } from "../image/mod.ts";
import { readAllChildren, readStat, readStatus, readVmFlags } from "../kernel/procfs/mod.ts";
import type { ProcessStatus } from "../kernel/procfs/mod.ts";
import { PageMap } from "../kernel/pagemap.ts";
import { ProcessGone, RemoteMemoryFile } from "../kernel/remote-memory.ts";
import { RemoteSyscalls } from "../tracee/remote-syscalls.ts";
import { freeze } from "../tracee/freeze.ts";
import type { FrozenProcess, FrozenTree } from "../tracee/freeze.ts";
import { groupDescriptions, listReferences, O_CLOEXEC } from "./descriptors.ts";
import type { Description } from "./descriptors.ts";
import type { HeldConnections } from "./connections.ts";
import { CopyRoom } from "./copy-room.ts";
import { describeClocks, describeHost } from "./host.ts";
import { captureIpc } from "./ipc.ts";
import { JobPids } from "./job-pids.ts";
import { planMemory } from "./memory-plan.ts";
import type { MemoryPlan } from "./memory-plan.ts";
import type { PlannedMapping } from "./mappings.ts";
import type { CaptureRequest, CaptureSummary, TreeSelection } from "./mod.ts";
import { captureOpenFiles } from "./open-files.ts";
import { hiddenMemory, readableMemory, writePages } from "./pages.ts";
import { hasAnyMemoryPolicy, look, lookAgain } from "./look.ts";
import type { Looked } from "./look.ts";
import { captureMappingPolicies } from "./memory-policy.ts";
import { captureAttributes } from "./process.ts";
import { Relations } from "./relations.ts";
import { captureRecordLocks } from "./record-locks.ts";
import { ringIds, ringQuestions } from "./rings.ts";
import { SocketQueues } from "./socket-queues.ts";
import { JobSockets } from "./sockets.ts";
import { SharedObjects } from "./shared-memory.ts";
import { requireSeparate } from "./separate.ts";
import { JobSeccomp } from "./seccomp.ts";
import { captureSharedPending, captureSignalActions } from "./signals.ts";
import { takeSnapshot } from "./snapshot.ts";
import type { Snapshot } from "./snapshot.ts";
import { captureThreads } from "./threads.ts";
import { captureIntervalTimers, capturePosixTimers } from "./timers.ts";
import { WatchedPaths } from "./watched-paths.ts";
import { captureWaitReports } from "./wait-reports.ts";
import type { WaitReport } from "./wait-reports.ts";

/** A process of the tree with what is known of it, until its pages are written. */
interface Captured {
  readonly frozen: FrozenProcess;
  readonly live: LiveProcessImage;
  readonly planned: readonly PlannedMapping[];
  snapshot: Snapshot | null;
  /** There is no snapshot because a memory cgroup is too small for one. */
  readonly lacksRoom: boolean;
}

/** Filled in as soon as there is something to give back. */
interface ConnectionsHeld {
  held: HeldConnections | null;
}

/** The tops of a tree: for a keeper, whatever it has for children now. */
export function rootsOf(selection: TreeSelection): readonly Pid[] {
  if (selection.kind === "process") return [selection.rootPid];
  return readAllChildren(selection.keeperPid) ?? [];
}

/**
 * Captures the tree into `request.writer` and commits. Errors: `unsupported` and `permission` before the job was disturbed,
 * `exited` when it ended meanwhile, `io` when the image could not be written. After any of them the job runs on.
 */
export async function captureTree(request: CaptureRequest): Promise<CaptureSummary> {
  using watchedPaths = new WatchedPaths();
  const looked = look(rootsOf(request.tree), request.tree, watchedPaths);
  const warnings: string[] = [];
  const started = performance.now();
  let pauseMs = 0;
  const snapshots: Snapshot[] = [];
  const connections: ConnectionsHeld = { held: null };
  const tree = freeze({ list: () => rootsOf(request.tree) });
  try {
    if (tree.processes.length === 0) throw new CairnError("exited", "The job has ended: there is no process left to save");
    tree.processes.forEach(lookAgain);
    const seccomp = new JobSeccomp(request.tree);
    tree.processes.forEach((one) => seccomp.take(one));
    requireSeparate(tree.processes);
    const { metadata, captured } = await readFrozen(request, tree, watchedPaths, looked, seccomp, warnings, snapshots, connections);
    const inPlace = captured.filter((one) => one.snapshot === null);
    if (inPlace.length > 0 && !request.stop) {
      const why = inPlace.some(({ lacksRoom }) => lacksRoom) ? ", their memory cgroup leaves no room for that" : "";
      warnings.push(`The memory of ${inPlace.length} processes could not be copied on write${why}; they were paused while it was written`);
    }
    if (request.stop || inPlace.length > 0) await writeMemory(request, captured);
    if (!request.stop) {
      tree.thaw();
      pauseMs = performance.now() - started;
      if (inPlace.length === 0) await writeMemory(request, captured);
    }
    for (const snapshot of snapshots.splice(0)) snapshot[Symbol.dispose]();
    metadata.warnings.push(...warnings);
    await request.writer.finish(metadata);
    if (request.stop) pauseMs = performance.now() - started;
    const summary = summarize(metadata, pauseMs);
    await request.commit(summary, connections.held);
    if (request.stop) tree.kill();
    connections.held?.holdOn();
    return summary;
  } catch (error) {
    if (error instanceof ProcessGone) {
      throw new CairnError("exited", `The checkpoint was given up: process ${error.pid} ended while it was being saved`, {
        data: { pid: error.pid },
        cause: error,
        hint: "Nothing was lost; the last checkpoint stands",
      });
    }
    throw error;
  } finally {
    connections.held?.[Symbol.dispose]();
    tree.thaw();
    for (const snapshot of snapshots) snapshot[Symbol.dispose]();
  }
}

async function readFrozen(
  request: CaptureRequest,
  tree: FrozenTree,
  watchedPaths: WatchedPaths,
  looked: Looked,
  seccomp: JobSeccomp,
  warnings: string[],
  snapshots: Snapshot[],
  connections: ConnectionsHeld,
): Promise<{ metadata: ImageMetadata; captured: Captured[] }> {
  const pids = new JobPids();
  for (const { pid, threads } of tree.processes)
    pids.add(
      pid,
      threads.map(({ tid }) => tid),
    );
  for (const pid of tree.zombies) pids.add(pid, []);
  const relations = new Relations(tree, pids, request.tree);
  const shared = new SharedObjects();
  const references = tree.processes.flatMap(({ reader }) => listReferences(reader));
  using queues = new SocketQueues(references);
  const descriptions = groupDescriptions([...references, ...queues.inFlight]);
  const sockets = new JobSockets(descriptions, queues, pids, warnings);
  const rings = ringIds(descriptions);
  const planned = new Map(tree.processes.map(({ pid, reader }) => [pid, planMemory(reader, shared, rings)]));
  const mapped = sharedFilesOf(planned.values());
  const files = await captureOpenFiles(descriptions, request.writer, shared, pids, mapped, sockets, watchedPaths, warnings);
  const rule = request.holdConnections ? "hold" : "leave";
  sockets.settleConnections(files.openFiles);
  connections.held = sockets.saveConnections(files.openFiles, request.stop ? rule : "look");
  const sharedMemory = await shared.save(request.writer);
  const keeperPid = request.tree.kind === "keeper" ? request.tree.keeperPid : null;
  const sysvIpc = await captureIpc(request.writer, { pids, keeperPid, memory: planned }, warnings);
  const captured: Captured[] = [];
  // A snapshot falls to the nearest subreaper: one inside the job would be told of children that it never had.
  const underSubreaper = new Set<Pid>();
  const processes: ProcessImage[] = [];
  const room = new CopyRoom();
  const reports = new Map<Pid, WaitReport>();
  for (const pid of relations.parentsFirst()) {
    const frozen = tree.processes.find((one) => one.pid === pid);
    if (frozen === undefined) {
      processes.push(relations.describe(pid, null, 0, reports));
      continue;
    }
    const memory = planned.get(pid) ?? { planned: [], executable: [] };
    await writeFrozenPages(request, frozen.reader, memory.planned);
    using remote = new RemoteSyscalls(frozen.reader, frozen.threads, memory.executable, seccomp.programs);
    if (!looked.withoutMemoryPolicy.has(pid) && hasAnyMemoryPolicy(frozen.reader)) captureMappingPolicies(remote, memory.planned);
    captureWaitReports(remote, relations.livingChildren(pid), reports);
    const live = captureProcess(frozen, remote, pids, descriptions, memory.planned, seccomp);
    if (live.childSubreaper || underSubreaper.has(readStat(pid)?.parentPid ?? pid)) underSubreaper.add(pid);
    const isCopied = !request.stop && !underSubreaper.has(pid);
    const lacksRoom = isCopied && !room.tryTake(pid);
    const snapshot = isCopied && !lacksRoom ? takeSnapshot(remote) : null;
    if (snapshot !== null) snapshots.push(snapshot);
    else live.signalActions.push(...captureSignalActions(remote));
    captured.push({ frozen, live, planned: memory.planned, snapshot, lacksRoom });
    processes.push(relations.describe(pid, live, frozen.stopSignal, reports));
  }
  const metadata: ImageMetadata = {
    takenAt: new Date().toISOString(),
    host: describeHost(Buffer.from(captured[0]?.live.threads[0]?.extendedRegisters ?? "", "base64")),
    clocks: describeClocks(captured[0]?.frozen.reader ?? "self"),
    rootPid: relations.rootOf(request.tree),
    processes,
    ...files,
    sharedMemory,
    ...(sysvIpc === undefined ? {} : { sysvIpc }),
    ...(seccomp.filters.length === 0 ? {} : { seccompFilters: seccomp.filters }),
    warnings: [],
  };
  return { metadata, captured };
}

function captureProcess(
  frozen: FrozenProcess,
  remote: RemoteSyscalls,
  pids: JobPids,
  descriptions: readonly Description[],
  planned: readonly PlannedMapping[],
  seccomp: JobSeccomp,
): LiveProcessImage {
  const pid = frozen.reader;
  const stat = readStat(pid);
  const status = readStatus(pid);
  if (stat === null || status === null) throw new ProcessGone(pid);
  const attributes = captureAttributes(remote, stat, status);
  return {
    ...attributes,
    mappings: planned.map(({ mapping }) => mapping),
    lockFuture: lockFuture(remote, status),
    // Filled in by the snapshot where there is one.
    signalActions: [],
    pendingSignals: captureSharedPending(frozen),
    intervalTimers: captureIntervalTimers(remote),
    posixTimers: capturePosixTimers(remote, pids),
    threads: captureThreads(frozen, remote, pids, attributes.credentials, ringQuestions(pid, descriptions, planned), seccomp),
    descriptors: descriptions
      .flatMap(({ id, references }) =>
        references
          .filter((one) => one.pid === pid)
          .map(({ fd, info }) => ({ fd, openFile: id, closeOnExec: (info.flags & O_CLOEXEC) !== 0 })),
      )
      .sort((a, b) => a.fd - b.fd),
    recordLocks: captureRecordLocks(pid, descriptions),
  };
}

/** Files that the job may change through a mapping, now or once it has made the mapping writable (again). */
function sharedFilesOf(plans: Iterable<MemoryPlan>): Name[] {
  const names = new Map<string, Name>();
  for (const { planned } of plans) {
    for (const { mapping } of planned) {
      if (mapping.file === undefined || !mapping.permissions.endsWith("s") || mapping.neverWritable === true) continue;
      names.set(nameToText(mapping.file.name), mapping.file.name);
    }
  }
  return [...names.values()];
}

/** Only a mapping made after mlockall(MCL_FUTURE) shows that it was called: our own scratch page is one. */
function lockFuture(remote: RemoteSyscalls, status: ProcessStatus): LiveProcessImage["lockFuture"] {
  if (status.lockedBytes === 0) return "none";
  const flags = readVmFlags(remote.pid)?.get(remote.scratch)?.flags ?? [];
  if (!flags.includes("lo")) return "none";
  return flags.includes("lf") ? "on-fault" : "locked";
}

/** Pages that a snapshot does not have. */
async function writeFrozenPages(request: CaptureRequest, pid: Pid, planned: readonly PlannedMapping[]): Promise<void> {
  using pages = new PageMap(pid);
  for (const { mapping, source } of planned) {
    if (source !== "all-now" && source !== "anonymous-now") continue;
    await writeMapping(request, pid, mapping, source === "all-now" ? null : pages);
  }
}

/** `pages` null: every page that can be read; otherwise those that the page map tells of. */
async function writeMapping(request: CaptureRequest, pid: Pid, mapping: PlannedMapping["mapping"], pages: PageMap | null): Promise<void> {
  const start = BigInt(mapping.start);
  const end = BigInt(mapping.end);
  const ranges = pages === null ? [{ start, count: Number((end - start) / 4096n) }] : pages.anonymousPages(start, end);
  const guards = pages?.guardPages(start, end) ?? [];
  if (guards.length > 0) mapping.guards = guards.map((range) => [Number((range.start - start) / 4096n), range.count]);
  if (ranges.length === 0) return;
  if (mapping.permissions.startsWith("r")) {
    mapping.runs.push(...(await writePages(request.writer, readableMemory(pid), start, ranges, pages === null)));
    return;
  }
  using memory = new RemoteMemoryFile(pid);
  mapping.runs.push(...(await writePages(request.writer, hiddenMemory(memory), start, ranges, pages === null)));
}

async function writeMemory(request: CaptureRequest, captured: readonly Captured[]): Promise<void> {
  for (const { frozen, live, planned, snapshot } of captured) {
    if (snapshot !== null) live.signalActions.push(...captureSignalActions(snapshot));
    const source = snapshot?.pid ?? frozen.reader;
    try {
      using pages = new PageMap(source);
      for (const { mapping, source: kind } of planned) {
        if (kind === "anonymous") await writeMapping(request, source, mapping, pages);
      }
      // The memory of a process that the kernel kills for want of memory goes before the process does, and reads as if it had never been.
      if (!standsTraced(source)) throw new ProcessGone(source);
    } catch (error) {
      if (snapshot !== null && !standsTraced(source)) throw lostSnapshot(frozen.pid, error);
      throw error;
    }
    snapshot?.[Symbol.dispose]();
  }
}

function standsTraced(pid: Pid): boolean {
  return readStat(pid)?.state === "t";
}

/** Not `exited`: the job lives, and another attempt at once would meet the same want of memory. */
function lostSnapshot(pid: Pid, cause: unknown): CairnError {
  return new CairnError(
    "io",
    `The checkpoint was given up: the copy of process ${pid}'s memory was killed while it was written; the job runs on`,
    {
      data: { pid, kind: "lost snapshot" },
      hint: "Most likely there was not enough memory for what the job changed meanwhile; give it more, or save the job with --stop, which needs no copy",
      cause,
    },
  );
}

function summarize(metadata: ImageMetadata, pauseMs: number): CaptureSummary {
  const live = metadata.processes.flatMap((one) => (one.alive === null ? [] : [one.alive]));
  const sum = (of: (one: LiveProcessImage) => number): number => live.reduce((total, one) => total + of(one), 0);
  return {
    pauseMs,
    processes: metadata.processes.length,
    threads: sum((one) => one.threads.length),
    mappings: sum((one) => one.mappings.length),
    descriptors: sum((one) => one.descriptors.length),
    memoryBytes: 4096 * sum((one) => one.mappings.reduce((pages, mapping) => pages + mapping.runs.reduce((n, run) => n + run[1], 0), 0)),
    warnings: metadata.warnings,
  };
}

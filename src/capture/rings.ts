/**
 * io_urings, which every program on libuv has (Node, for its epoll calls): those that have nothing under way.
 *
 * The kernel's own part of such a ring is how far it has come, `requests`; all else is in the memory that it shares with the
 * program, also requests that were not submitted yet and answers that were not taken yet. What a ring was made with that
 * nobody can be told is as if it were not there:
 * - IORING_SETUP_COOP_TASKRUN, DEFER_TASKRUN, TASKRUN_FLAG, SINGLE_ISSUER, SUBMIT_ALL, CLAMP, IOPOLL: a ring without them does
 *   the same for a program that goes by their rules, only sooner or for more callers;
 * - IORING_SETUP_NO_SQARRAY: an index array that leads from each request to itself does the same (see `hasIndexArray`).
 *
 * That nothing is under way shows in the counts: as many answers as requests, and no poll. A request with several answers or
 * with none would upset that, so a ring which had such a request is refused.
 */
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Pid, Tid } from "../base/ids.ts";
import type { ImageWriter, OpenFile } from "../image/mod.ts";
import {
  COMPLETION_BYTES,
  IORING_CQE_F_BUFFER,
  IORING_CQE_F_MORE,
  IORING_ENTER_REGISTERED_RING,
  IORING_OFF_CQ_RING,
  IORING_OFF_SQES,
  IORING_OFF_SQ_RING,
  SUBMISSION_BYTES,
} from "../kernel/abi/io-uring.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { OwnedFd, duplicateFrom, openProcess } from "../kernel/descriptors.ts";
import { errnoName } from "../kernel/errno.ts";
import { RingMemory, hasProvidedBuffers, makeRing, probeRing, ringUseOf, useProbe } from "../kernel/io-uring.ts";
import type { RingLayout } from "../kernel/io-uring.ts";
import { pauseMicroseconds } from "../kernel/pause.ts";
import { readDescriptorInfo } from "../kernel/procfs/mod.ts";
import type { DescriptorInfo, IoUringInfo } from "../kernel/procfs/mod.ts";
import type { RemoteCall } from "../tracee/remote-syscalls.ts";
import type { Description, DescriptorReference } from "./descriptors.ts";
import type { PlannedMapping } from "./mappings.ts";
import { writeBytes } from "./pages.ts";

type IoUring = Extract<OpenFile, { kind: "io-uring" }>;

/** Parts of a ring, by the offset that mmap(2) takes. */
export const RING_PARTS: ReadonlySet<number> = new Set([IORING_OFF_SQ_RING, IORING_OFF_CQ_RING, IORING_OFF_SQES]);

/** A restart makes a ring's requests again, as many at a time as fit into it: at most a few seconds for all of them. */
const LARGEST_ROUNDS = 1 << 20;
/** A ring that is in use is looked at again this often, a millisecond apart: libuv waits for its own in one call. */
const LOOKS = 20;
const LOOK_PAUSE_MICROSECONDS = 1000;
/** Groups of provided buffers are numbered by the program; their use shows in the answers as well. */
const BUFFER_GROUPS = 64;
/** A thread has room for 16 and fills it from the first on; each question costs two stops of the thread. */
const REGISTERED_RINGS_ASKED = 4;
const INDEX_BYTES = 4;
const PAGE_BYTES = 4096;

function refuse({ pid, fd }: DescriptorReference, what: string, hint = "Not carried over yet. The job was not changed"): CairnError {
  return new CairnError("unsupported", `Cannot save process ${pid}: descriptor ${fd} is an io_uring ${what}`, {
    data: { pid, fd, kind: "io_uring" },
    hint,
  });
}

/** Throws a CairnError (`unsupported`) for a ring that can't be carried over. Changes nothing; the process need not be frozen. */
export function inspectRing(reference: DescriptorReference): IoUringInfo {
  for (let look = 1; ; look += 1) {
    const info = look === 1 ? reference.info : readDescriptorInfo(reference.pid, reference.fd);
    const problem = problemOf(info);
    if (problem === null) return info?.ioUring as IoUringInfo;
    if (look === LOOKS) throw refuse(reference, problem.what, problem.hint);
    pauseMicroseconds(LOOK_PAUSE_MICROSECONDS);
  }
}

function problemOf(info: DescriptorInfo | null): { readonly what: string; readonly hint?: string } | null {
  const ring = info?.ioUring ?? null;
  if (ring === null) return { what: "of which the kernel does not tell enough" };
  if (ring.hasPollThread) return { what: "with a thread of the kernel's (IORING_SETUP_SQPOLL)" };
  if (ring.registeredFiles > 0) return { what: "with registered files" };
  if (ring.registeredBuffers > 0) return { what: "with registered buffers" };
  if (ring.personalities > 0) return { what: "with registered credentials" };
  if (ring.busyPolls) return { what: "that polls network devices" };
  const requests = ring.knownSubmissionHead;
  const isUnderWay =
    ring.submissionHead !== requests || ring.completionTail !== ring.knownCompletionTail || ring.knownCompletionTail !== requests;
  if (isUnderWay || ring.polls > 0 || ring.overflown > 0) {
    return {
      what: "with requests under way",
      hint: "Try again when they are done; one that got no answer, or several, counts as such for ever. The job was not changed",
    };
  }
  if (requests / ring.submissionEntries > LARGEST_ROUNDS)
    return { what: `that has done ${requests} requests, too many to count them up again` };
  return null;
}

/** Precondition: the tree is frozen. */
export async function captureRing(
  writer: ImageWriter,
  reference: DescriptorReference,
  common: Pick<IoUring, "id" | "flags">,
): Promise<IoUring> {
  const info = inspectRing(reference);
  using process = openProcess(reference.pid);
  using own = duplicateFrom(process, reference.pid, reference.fd);
  refuseUnknownUse(reference, own);
  const layout = layoutOf(reference, info);
  const { rings, requests } = readRing(reference, own, layout);
  refuseUnknownAnswers(reference, layout, info, rings);
  return {
    kind: "io-uring",
    ...common,
    submissionEntries: info.submissionEntries,
    completionEntries: info.completionEntries,
    requests: info.knownSubmissionHead,
    offsets: layout.offsets.toString("base64"),
    hasIndexArray: hasIndexArray(layout, info, rings, requests),
    ringRuns: await writeBytes(writer, rings, 0),
    requestRuns: await writeBytes(writer, requests, 0),
  };
}

function refuseUnknownUse(reference: DescriptorReference, own: OwnedFd): void {
  switch (probeRing(own.fd)) {
    case "plain":
      if (hasProvidedBuffers(own.fd, BUFFER_GROUPS)) throw refuse(reference, "with provided buffers");
      return;
    case "single-issuer":
      return; // Its own thread is asked, see `ringQuestions`.
    case "eventfd":
      throw refuse(reference, "with a registered eventfd");
    case "disabled":
      throw refuse(reference, "that is not enabled yet (IORING_SETUP_R_DISABLED)");
    case "restricted":
      throw refuse(reference, "with restrictions");
    case "unknown":
      throw refuse(reference, "of which the kernel does not tell enough");
  }
}

/** A ring of the same size shows where things lie. */
function layoutOf(reference: DescriptorReference, info: IoUringInfo): RingLayout {
  try {
    const { fd, layout } = makeRing(info);
    new OwnedFd(fd)[Symbol.dispose]();
    return layout;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new CairnError(
      error.code,
      `Cannot save process ${reference.pid}: it has an io_uring, and none can be made here: ${error.errnoName}`,
      {
        hint: "Allow them (sysctl kernel.io_uring_disabled=0), or raise the limit of locked memory (ulimit -l)",
        cause: error,
      },
    );
  }
}

function readRing(reference: DescriptorReference, own: OwnedFd, layout: RingLayout): { readonly rings: Buffer; readonly requests: Buffer } {
  try {
    // A page more than there should be: larger requests or answers (IORING_SETUP_SQE128, CQE32) show by it. Rings of a page or two
    // may not show it; only commands of devices need such, and devices are refused.
    using ringMemory = new RingMemory(own.fd, IORING_OFF_SQ_RING, layout.ringBytes + PAGE_BYTES);
    using requestMemory = new RingMemory(own.fd, IORING_OFF_SQES, layout.requestBytes + PAGE_BYTES);
    const rings = ringMemory.read();
    const requests = requestMemory.read();
    if (rings.length > layout.ringBytes || requests.length > layout.requestBytes)
      throw refuse(reference, "with large requests or answers (IORING_SETUP_SQE128, CQE32)");
    return { rings, requests };
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw refuse(reference, "in memory of the program's own (IORING_SETUP_NO_MMAP)");
  }
}

function refuseUnknownAnswers(reference: DescriptorReference, layout: RingLayout, info: IoUringInfo, rings: Buffer): void {
  for (let slot = 0; slot < Math.min(info.completionEntries, info.knownCompletionTail); slot += 1) {
    const flags = rings.readUInt32LE(layout.answers + slot * COMPLETION_BYTES + 12);
    if ((flags & IORING_CQE_F_MORE) !== 0) throw refuse(reference, "that gave several answers to one request (multishot)");
    if ((flags & IORING_CQE_F_BUFFER) !== 0) throw refuse(reference, "that used provided buffers");
  }
}

/**
 * Whether the program goes by the index array. Without one (IORING_SETUP_NO_SQARRAY) its place is zero or behind the end. Zero
 * means something only to a program that knows no other request than the first.
 */
function hasIndexArray(layout: RingLayout, info: IoUringInfo, rings: Buffer, requests: Buffer): boolean {
  const array = rings.subarray(layout.indexArray, layout.indexArray + info.submissionEntries * INDEX_BYTES);
  if (array.some((byte) => byte !== 0)) return true;
  const usesOnlyFirst =
    info.submissionTail > 1 && requests.subarray(SUBMISSION_BYTES).every((byte) => byte === 0) && requests.some((byte) => byte !== 0);
  return usesOnlyFirst && array.length > 0;
}

/** Open file by the inode that its mappings show; null where several rings have one inode, as before Linux 5.12. */
export type RingIds = ReadonlyMap<string, number | null>;

export function ringIds(descriptions: readonly Description[]): RingIds {
  const ids = new Map<string, number | null>();
  for (const { id, references } of descriptions) {
    const { target, info } = references[0];
    if (target.kind !== "anonymous" || target.anonymous !== "io_uring" || info.inode === null) continue;
    const key = info.inode.toString();
    ids.set(key, ids.has(key) ? null : id);
  }
  return ids;
}

/**
 * What only a process's own threads are told: asks in one of them, and throws for what can't be carried over.
 * Precondition: the process is frozen.
 */
export function ringQuestions(
  pid: Pid,
  descriptions: readonly Description[],
  planned: readonly PlannedMapping[],
): (tid: Tid, call: RemoteCall) => void {
  const rings = descriptions.flatMap(({ references }) => references.filter((one) => one.pid === pid && one.info.ioUring !== null));
  if (rings.length === 0 && planned.every(({ mapping }) => mapping.kind !== "io-uring")) return () => {};
  const ofOneThread = rings.filter(isForOneThread);
  return (tid, call) => {
    refuseRegisteredRings(pid, tid, call);
    for (const ring of ofOneThread) {
      const use = ringUseOf(Number(call(SYSCALLS.io_uring_register, ...useProbe(ring.fd))));
      if (use !== "single-issuer" && use !== "plain") throw refuse(ring, "with a registered eventfd or restrictions");
    }
  };
}

/** A thread that has registered a ring with itself knows it by another number than its descriptor's. */
function refuseRegisteredRings(pid: Pid, tid: Tid, call: RemoteCall): void {
  for (let slot = 0; slot < REGISTERED_RINGS_ASKED; slot += 1) {
    const result = call(SYSCALLS.io_uring_enter, BigInt(slot), 0n, 0n, BigInt(IORING_ENTER_REGISTERED_RING), 0n, 0n);
    const error = errnoName(-Number(result));
    if (error === "EINVAL") return; // The thread has never used a ring, or the kernel is older than Linux 5.18.
    if (error === "EBADF") continue;
    throw new CairnError("unsupported", `Cannot save process ${pid}: thread ${tid} has registered an io_uring with itself`, {
      data: { pid, tid, kind: "io_uring" },
      hint: "IORING_REGISTER_RING_FDS is not carried over yet. The job was not changed",
    });
  }
}

function isForOneThread({ pid, fd }: DescriptorReference): boolean {
  using process = openProcess(pid);
  using own = duplicateFrom(process, pid, fd);
  return probeRing(own.fd) === "single-issuer";
}

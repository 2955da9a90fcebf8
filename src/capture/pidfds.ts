/**
 * Pidfds: which process or thread of the tree each one refers to. The kernel tells by fdinfo, in the numbers of the reader's
 * namespace; of a process that has ended and was reaped it tells that alone, and since Linux 6.15 how it had ended.
 */
import { CairnError } from "../base/errors.ts";
import type { Pid } from "../base/ids.ts";
import { nameToText } from "../base/names.ts";
import type { OpenFile } from "../image/mod.ts";
import { duplicateFrom, openProcess, tryIoctlBuffer } from "../kernel/descriptors.ts";
import { readComm, readDescriptorInfo, readStat, readStatus } from "../kernel/procfs/mod.ts";
import type { DescriptorReference } from "./descriptors.ts";
import type { JobPids } from "./job-pids.ts";

/** _IOWR(0xff, 11, struct pidfd_info) of linux/pidfd.h, with the structure's first size. */
const PIDFD_GET_INFO = 0xc040ff0b;
const PIDFD_INFO_EXIT = 8n;
const EXIT_CODE_AT = 60;
const REAPED = -1;
/** A chain of parents longer than this is no chain. */
const MAX_ANCESTORS = 100_000;

type PidfdFile = Extract<OpenFile, { kind: "pidfd" }>;

export class Pidfds {
  readonly #pids: JobPids;
  /** Numbers for processes that have ended, by inode: since Linux 6.9 each process has its own, before all have one. */
  readonly #ended = new Map<bigint, number>();

  constructor(pids: JobPids) {
    this.#pids = pids;
  }

  /** Throws a CairnError (`unsupported`) for a pidfd of a process outside the tree. Precondition: the tree is frozen. */
  describe(reference: DescriptorReference, common: { readonly id: number; readonly flags: number }): PidfdFile {
    const number = reference.info.pidfd?.pid ?? REAPED;
    const pid = this.#pids.of(number as Pid);
    if (pid !== 0) return { kind: "pidfd", ...common, pid };
    // A zombie at the top of the tree may be reaped by somebody outside at any time.
    if (number > 0 && readStat(number as Pid) !== null) throw outside(reference, number);
    if (number === 0) throw outside(reference, number);
    const inode = reference.info.inode ?? 0n;
    const process = this.#ended.get(inode) ?? this.#ended.size;
    this.#ended.set(inode, process);
    const exitStatus = exitStatusOf(reference);
    return { kind: "pidfd", ...common, pid: 0, ended: exitStatus === null ? { process } : { process, exitStatus } };
  }
}

function exitStatusOf({ pid, fd }: DescriptorReference): number | null {
  using process = openProcess(pid);
  using own = duplicateFrom(process, pid, fd);
  const record = Buffer.alloc(64);
  record.writeBigUInt64LE(PIDFD_INFO_EXIT, 0);
  if (tryIoctlBuffer(own.fd, PIDFD_GET_INFO, record) < 0) return null;
  if ((record.readBigUInt64LE(0) & PIDFD_INFO_EXIT) === 0n) return null;
  return record.readInt32LE(EXIT_CODE_AT) & 0xffff;
}

function outside(reference: DescriptorReference, number: number): CairnError {
  const { pid, fd } = reference;
  const comm = number === 0 ? null : readComm(number as Pid);
  const of = number === 0 ? "a process of another pid namespace" : `process ${number}${comm === null ? "" : ` (${nameToText(comm)})`}`;
  return new CairnError("unsupported", `Cannot save process ${pid}: descriptor ${fd} is a pidfd of ${of}, which is not part of the job`, {
    data: { pid, fd, kind: "a pidfd of a process outside the job" },
    hint: "A restart could not bring that process back; close the descriptor before the checkpoint. The job was not changed",
  });
}

/**
 * Refuses pidfds of processes outside, before the tree is frozen. `seen` are the processes of the tree: what descends from one of
 * them, or was left to the keeper, was made since.
 */
export function lookAtPidfds(found: readonly DescriptorReference[], seen: ReadonlySet<Pid>, keeper: Pid | null): void {
  for (const reference of found) {
    const number = reference.info.pidfd?.pid;
    if (number === undefined || number === REAPED || (number > 0 && isOfJob(number as Pid, seen, keeper))) continue;
    // The job runs on: the process may have been reaped since, or the descriptor be closed.
    if (readDescriptorInfo(reference.pid, reference.fd)?.pidfd?.pid === number) throw outside(reference, number);
  }
}

function isOfJob(number: Pid, seen: ReadonlySet<Pid>, keeper: Pid | null): boolean {
  let pid: Pid | undefined = readStatus(number)?.tgid;
  if (pid === keeper) return false;
  for (let steps = 0; steps < MAX_ANCESTORS && pid !== undefined && pid > 0; steps += 1) {
    if (seen.has(pid) || pid === keeper) return true;
    pid = readStat(pid)?.parentPid;
  }
  return false;
}

/**
 * The copy-on-write snapshot: a process that shares the job's pages until either writes, so that the job runs on
 * while they are read.
 *
 *   1. The job's process clones a helper (no exit signal: its parent is told of nothing, wait(2) does not see it).
 *   2. The helper, stopped before its first instruction, gets EXITKILL and a trampoline that can only exit.
 *   3. The helper clones the snapshot, which shares the helper's memory (CLONE_VM), and exits.
 *   4. The job's process reaps the helper. The snapshot now belongs to the nearest subreaper: the keeper, or init.
 *
 * Killed at any point, we leave nothing: what is traced with EXITKILL dies with us, the helper's trampoline exits, and
 * the job's own trampoline reaps the helper. The snapshot never runs an instruction.
 */
import { writeFileSync } from "node:fs";
import type { Pid, RemoteAddress, Tid } from "../base/ids.ts";
import { asPid } from "../base/ids.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import {
  EVENT_CLONE,
  GONE,
  SYSCALL_STOP_SIGNAL,
  TRACE_CLONE,
  TRACE_EXIT_KILL,
  eventMessage,
  getGeneralRegisters,
  resumeToSyscall,
  setGeneralRegisters,
  setOptions,
} from "../kernel/ptrace.ts";
import { ProcessGone, RemoteMemoryFile, readRemoteExactly } from "../kernel/remote-memory.ts";
import { tryReap, unresponsive } from "../tracee/patience.ts";
import type { RemoteSyscalls } from "../tracee/remote-syscalls.ts";
import { waitForStop } from "../tracee/remote-syscalls.ts";
import { Registers } from "../tracee/x86-64/registers.ts";
import { trampoline } from "../tracee/x86-64/trampoline.ts";

const CLONE_VM = 0x100n;
const OPTIONS = TRACE_CLONE | TRACE_EXIT_KILL;
/** After which the helper is taken for one that waits for the snapshot; then there is none, and the memory is written while the job stands. */
const HELPER_PATIENCE_MS = 5000;
const LARGEST_OOM_SCORE_ADJUSTMENT = "1000";

/** A stopped process that holds the pages. */
export class Snapshot implements Disposable {
  readonly pid: Pid;
  /** The scratch mapping of the process's own remote calls, of which the snapshot has a copy. */
  readonly scratch: RemoteAddress;
  readonly #place: bigint;
  #ended = false;

  constructor(pid: Pid, scratch: RemoteAddress, place: bigint) {
    this.pid = pid;
    this.scratch = scratch;
    this.#place = place;
  }

  /** A system call in the snapshot, after the job has long been running on. */
  call(number: number, ...args: bigint[]): bigint {
    const tid = this.pid as number as Tid;
    const registers = new Registers(alive(this.pid, getGeneralRegisters(tid)));
    registers.loadSyscall(this.#place, number, args);
    setGeneralRegisters(tid, registers.bytes);
    for (let stops = 0; stops < 2;) {
      alive(this.pid, resumeToSyscall(tid));
      const stop = waitForStop(this.pid, tid);
      if (stop.event === 0 && stop.signal === SYSCALL_STOP_SIGNAL) stops += 1;
    }
    return BigInt.asIntN(64, new Registers(alive(this.pid, getGeneralRegisters(tid))).get("rax"));
  }

  readScratch(lengthBytes: number): Buffer {
    return readRemoteExactly(this.pid, this.scratch, lengthBytes);
  }

  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    endTracee(this.pid as number as Tid);
  }
}

function alive<T>(pid: Pid, value: T | typeof GONE): T {
  if (value === GONE) throw new ProcessGone(pid);
  return value;
}

/** False when it does not come to its end in time. */
function endTracee(tid: Tid, patienceMs?: number): boolean {
  try {
    process.kill(tid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
  return tryReap(tid, patienceMs);
}

/**
 * Takes a snapshot of the process that `remote` has in hand; null when the system does not let it be copied (no
 * memory, too many processes). Precondition: all its threads are stopped.
 */
export function takeSnapshot(remote: RemoteSyscalls): Snapshot | null {
  const made = remote.clone(0n);
  if ("errno" in made) return null;
  const helper = made.child;
  let snapshot: Tid | undefined;
  let isComplete = false;
  try {
    waitForStop(asPid(helper), helper);
    setOptions(helper, remote.traceOptions | OPTIONS);
    cloneFromHelper(helper, made.place, remote.traceOptions | OPTIONS, (tid) => {
      snapshot = tid;
    });
    isComplete = true;
  } finally {
    if (!endHelper(remote.pid, helper, snapshot, isComplete)) snapshot = undefined;
    remote.reapClone(made.numberInside);
  }
  if (snapshot === undefined) return null;
  try {
    writeFileSync(`/proc/${snapshot}/oom_score_adj`, LARGEST_OOM_SCORE_ADJUSTMENT);
  } catch {
    // Only a preference of whom to kill first; a system that forbids it kills by size.
  }
  return new Snapshot(asPid(snapshot), remote.scratch, made.place);
}

/** Whether the snapshot stays: not if the helper does not end without it, for an init of a pid namespace ends after its last process. */
function endHelper(pid: Pid, helper: Tid, snapshot: Tid | undefined, isComplete: boolean): boolean {
  if (isComplete && endTracee(helper, HELPER_PATIENCE_MS)) return true;
  if (snapshot !== undefined) endTracee(snapshot);
  if (!endTracee(helper)) throw unresponsive(pid, helper);
  return false;
}

function cloneFromHelper(helper: Tid, place: bigint, options: number, onMade: (snapshot: Tid) => void): void {
  const bytes = getGeneralRegisters(helper);
  if (bytes === GONE) throw new ProcessGone(asPid(helper));
  const registers = new Registers(bytes);
  {
    using memory = new RemoteMemoryFile(asPid(helper));
    memory.write(place as never, trampoline(registers, 0n, { kind: "exit" }));
  }
  registers.loadSyscall(place, SYSCALLS.clone, [CLONE_VM, 0n, 0n, 0n, 0n]);
  setGeneralRegisters(helper, registers.bytes);
  let snapshot: Tid | undefined;
  for (let exits = 0; exits < 2;) {
    if (resumeToSyscall(helper) === GONE) throw new ProcessGone(asPid(helper));
    const stop = waitForStop(asPid(helper), helper);
    if (stop.event === EVENT_CLONE) {
      const child = eventMessage(helper);
      if (child !== GONE) onMade((snapshot = child as Tid));
    } else if (stop.event === 0 && stop.signal === SYSCALL_STOP_SIGNAL) {
      exits += 1;
    }
  }
  if (snapshot === undefined) return;
  waitForStop(asPid(snapshot), snapshot);
  setOptions(snapshot, options);
}

/**
 * Seccomp filters. Only root can read them (PTRACE_SECCOMP_GET_FILTER), of a stopped thread. A job that was started under a filter, in a
 * container, has what its keeper has, and a restart gives it that of its own restarter: what counts is what came on top.
 *
 * While the job stands its filters are suspended, for most would forbid one or another of the calls that are made in it. But when cairn is
 * killed they are in force at once, with the call that is just being made. So a call at which a filter ends the program, or asks
 * somebody, is never made (RemoteSyscalls asks `verdictOf`), and those by which the trampoline brings a thread back have to be allowed.
 */
import { readFileSync } from "node:fs";
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Pid, Tid } from "../base/ids.ts";
import { asPid, asTid } from "../base/ids.ts";
import type { SeccompFilterImage } from "../image/mod.ts";
import { CAP_SYS_ADMIN, SECCOMP_MODE_STRICT } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { readSeccomp, readStatus } from "../kernel/procfs/mod.ts";
import type { SeccompState } from "../kernel/procfs/mod.ts";
import { GONE, TRACE_SUSPEND_SECCOMP, TRACE_SYSCALL_GOOD, seccompFilter, setGeneralRegisters, setOptions } from "../kernel/ptrace.ts";
import { ProcessGone } from "../kernel/remote-memory.ts";
import type { FrozenProcess, FrozenThread } from "../tracee/freeze.ts";
import { mayAskListener, verdictOf } from "../tracee/seccomp-verdict.ts";
import { ERESTARTNOHAND, REISSUE, reissueOf } from "../tracee/x86-64/restart-codes.ts";
import type { TreeSelection } from "./mod.ts";

/** MAX_INSNS_PER_PATH of the kernel's seccomp.c, of which each filter takes at least five. */
const MOST_FILTERS = 32768 / 5;
const WHOLE_OF_USERS = /^\s*0\s+0\s+4294967295\s*$/;
const SIGNAL_MASK_BYTES = 8n;
const SIG_SETMASK = 2n;
/** Far apart: no filter that anybody writes looks at an address. */
const SOME_ADDRESSES = [0x10000n, 0x7fff_ffff_f000n];

/** How many filters every process of the tree has from whoever started it. */
export function inheritedFilters(selection: TreeSelection): number {
  return selection.kind === "keeper" ? (readStatus(selection.keeperPid)?.seccompFilters ?? 0) : 0;
}

/** Throws a CairnError (`unsupported`) for filters that cannot be read, as far as can be told without stopping anybody. */
export function lookForSeccomp(pid: Pid, tids: readonly Tid[], inherited: number, isProgram: (tid: Tid) => boolean): void {
  for (const tid of tids) {
    const state = readSeccomp(pid, tid);
    if (state !== null && hasOwnFilter(state, inherited) && isProgram(tid)) refuseByState(pid, tid, state);
  }
}

function hasOwnFilter({ mode, filters }: SeccompState, inherited: number): boolean {
  return mode !== 0 && (mode === SECCOMP_MODE_STRICT || filters === 0 || filters > inherited);
}

function refuseByState(pid: Pid, tid: Tid, { mode }: SeccompState): void {
  if (mode === SECCOMP_MODE_STRICT) {
    throw refuse(
      pid,
      tid,
      "is in seccomp's strict mode",
      "It forbids the calls by which a thread would find back should cairn be killed meanwhile; start the program without it, or with a filter",
    );
  }
  if (mayReadFilters()) return;
  throw refuse(
    pid,
    tid,
    "runs under a seccomp filter",
    "Only root (CAP_SYS_ADMIN) under no filter of its own can read it: take the checkpoint as root, or start the program without its sandbox, if it has an option for that",
  );
}

let mayRead: boolean | undefined;

/** CAP_SYS_ADMIN, and that of the whole machine, not of a user namespace; and no filter on ourselves. */
function mayReadFilters(): boolean {
  mayRead ??= findOut();
  return mayRead;
}

function findOut(): boolean {
  const own = readStatus(asPid(process.pid));
  if (own === null || own.seccompMode !== 0) return false;
  const isAdministrator = ((own.capabilities.effective >> BigInt(CAP_SYS_ADMIN)) & 1n) === 1n;
  return isAdministrator && WHOLE_OF_USERS.test(readFileSync("/proc/self/uid_map", "utf8"));
}

/** The filters of a frozen job. */
export class JobSeccomp {
  readonly filters: SeccompFilterImage[] = [];
  readonly #inherited: number;
  readonly #ids = new Map<string, number>();
  readonly #ofThread = new Map<Tid, readonly number[]>();
  readonly #programs = new Map<Tid, readonly Buffer[]>();

  constructor(selection: TreeSelection) {
    this.#inherited = inheritedFilters(selection);
  }

  /**
   * Reads the filters of a process's threads and suspends them. Throws a CairnError (`unsupported`) for those that cannot be carried over.
   * Precondition: frozen, and no thread was made to do anything yet.
   */
  take({ reader, threads }: FrozenProcess): void {
    for (const thread of threads) {
      const state = readSeccomp(reader, thread.tid);
      if (state === null) throw new ProcessGone(reader);
      if (!hasOwnFilter(state, this.#inherited)) continue;
      refuseByState(reader, thread.tid, state);
      this.#takeThread(reader, thread);
    }
  }

  /** Ids of the filters that the thread has on top of those it was started with, the oldest first. */
  of(tid: Tid): { seccompFilters?: number[] } {
    const ids = this.#ofThread.get(tid);
    return ids === undefined ? {} : { seccompFilters: [...ids] };
  }

  /** All that a thread is under, for those whose filters are suspended. */
  get programs(): ReadonlyMap<Tid, readonly Buffer[]> {
    return this.#programs;
  }

  #takeThread(pid: Pid, thread: FrozenThread): void {
    const { tid } = thread;
    const ids: number[] = [];
    const programs: Buffer[] = [];
    for (let index = 0; index < MOST_FILTERS; index += 1) {
      const filter = readFilter(pid, tid, index);
      if (filter === null) break;
      if (mayAskListener(filter.program)) {
        throw refuse(
          pid,
          tid,
          "runs under a seccomp filter that asks another process (user notification)",
          "Who answers is not known, and could not be asked after a restart; start the program without that supervisor",
        );
      }
      programs.push(filter.program);
      if (index >= this.#inherited) ids.push(this.#idOf(filter.program.toString("base64"), filter.logs));
    }
    requireWayBack(pid, tid, programs);
    if (setOptions(tid, TRACE_SYSCALL_GOOD | TRACE_SUSPEND_SECCOMP) === GONE) throw new ProcessGone(pid);
    avoidRestartCall(pid, thread, programs);
    this.#ofThread.set(tid, ids);
    this.#programs.set(tid, programs);
  }

  #idOf(program: string, logs: boolean): number {
    const key = `${logs} ${program}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = this.filters.length;
    this.#ids.set(key, id);
    this.filters.push({ id, program, logs });
    return id;
  }
}

function readFilter(pid: Pid, tid: Tid, index: number): { readonly program: Buffer; readonly logs: boolean } | null {
  try {
    const filter = seccompFilter(tid, index);
    if (filter === GONE) throw new ProcessGone(pid);
    return filter;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw refuse(
      pid,
      tid,
      `runs under a seccomp filter that the kernel does not tell (${error.errnoName})`,
      "Reading filters takes root and a kernel with CONFIG_CHECKPOINT_RESTORE; start the program without its sandbox, if it has an option for that",
    );
  }
}

/** The trampoline's own calls (tracee/x86-64/trampoline.ts): without them a killed cairn would leave a thread that does not find back. */
function requireWayBack(pid: Pid, tid: Tid, programs: readonly Buffer[]): void {
  const isAllowed = (number: number, ...args: bigint[]): boolean =>
    SOME_ADDRESSES.every((instruction) => verdictOf(programs, { number, arguments: args, instruction }) === "allowed");
  const needed = {
    rt_sigprocmask:
      isAllowed(SYSCALLS.rt_sigprocmask, 0n, 0n, 0n, SIGNAL_MASK_BYTES) &&
      SOME_ADDRESSES.every((address) => isAllowed(SYSCALLS.rt_sigprocmask, SIG_SETMASK, address, 0n, SIGNAL_MASK_BYTES)),
    munmap: SOME_ADDRESSES.every((address) => isAllowed(SYSCALLS.munmap, address, 0x10000n)),
  };
  const missing = Object.entries(needed).flatMap(([name, allowed]) => (allowed ? [] : [name]));
  if (missing.length === 0) return;
  throw refuse(
    pid,
    tid,
    `runs under a seccomp filter that forbids ${missing.join(" and ")}`,
    "A thread needs these calls to find back should cairn be killed while it asks; allow them, or start the program without its sandbox",
  );
}

/**
 * A wait that was stopped goes on by restart_syscall, which is no call of the program's: a filter may forbid it. Then the wait is
 * issued again as it was first, with its whole time.
 */
function avoidRestartCall(pid: Pid, { tid, registers }: FrozenThread, programs: readonly Buffer[]): void {
  const number = reissueOf(registers.syscall, registers.result);
  if (number === REISSUE.none || number === REISSUE.same) return;
  const args = (["rdi", "rsi", "rdx", "r10", "r8", "r9"] as const).map((name) => registers.get(name));
  if (verdictOf(programs, { number, arguments: args, instruction: registers.get("rip") }) === "allowed") return;
  registers.set("rax", BigInt(ERESTARTNOHAND));
  if (setGeneralRegisters(tid, registers.bytes) === GONE) throw new ProcessGone(pid);
}

function refuse(pid: Pid, tid: Tid, what: string, hint: string): CairnError {
  const who = tid === asTid(pid) ? "it" : `its thread ${tid}`;
  return new CairnError("unsupported", `Cannot save process ${pid}: ${who} ${what}`, {
    data: { pid, tid, kind: "seccomp" },
    hint: `${hint}. The job was not changed`,
  });
}

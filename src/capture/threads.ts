/** What is each thread's own: registers, mask, queued signals, stacks for signals, lists and words that the kernel keeps for it. */
import { SyscallError } from "../base/errors.ts";
import { asRemoteAddress } from "../base/ids.ts";
import type { Pid, Tid } from "../base/ids.ts";
import { toWord } from "../base/words.ts";
import { encodeName } from "../base/names.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { addressOf } from "../kernel/memory-ffi.ts";
import { readComm, readTimerSlackNs } from "../kernel/procfs/mod.ts";
import { GONE, getExtendedRegisters, getRseq, pendingSignals } from "../kernel/ptrace.ts";
import { ProcessGone, readRemoteExactly } from "../kernel/remote-memory.ts";
import { systemCall } from "../kernel/syscall-ffi.ts";
import type { Credentials, Thread } from "../image/mod.ts";
import type { FrozenProcess, FrozenThread } from "../tracee/freeze.ts";
import type { RemoteCall, RemoteSyscalls } from "../tracee/remote-syscalls.ts";
import type { Registers } from "../tracee/x86-64/registers.ts";
import { CODE_BYTES, isRestartedCall, restartedCall } from "../tracee/x86-64/restarted-call.ts";
import type { JobPids } from "./job-pids.ts";
import { RareState } from "./rarities.ts";
import type { JobSeccomp } from "./seccomp.ts";

const PR_GET_PDEATHSIG = 2n;
const PR_GET_TIMERSLACK = 30n;
const PR_GET_TID_ADDRESS = 40n;
const IOPRIO_WHO_PROCESS = 1;
const SCHED_ATTR_BYTES = 56;
const AFFINITY_BYTES = 1024;
const STACK_BYTES = 24;

/** `ask` is given every thread in turn, for questions of others that have to be asked in it. */
export function captureThreads(
  process: FrozenProcess,
  remote: RemoteSyscalls,
  pids: JobPids,
  credentials: Credentials,
  ask: Ask,
  seccomp: JobSeccomp,
): Thread[] {
  const rare = new RareState(remote, credentials);
  return process.threads.map((thread) => ({
    ...captureThread(process.pid, thread, remote, pids, rare, ask),
    ...seccomp.of(thread.tid),
  }));
}

/** With the number of the call that a restarted process has to make again. */
function registersOf(tid: Tid, { registers }: FrozenThread): Registers {
  if (!isRestartedCall(registers)) return registers;
  const named = registers.copy();
  named.set("orig_rax", BigInt(restartedCall(registers, codeBefore(tid as number as Pid, registers.get("rip")))));
  return named;
}

/** As far as there is any: code may begin shortly before. */
function codeBefore(reader: Pid, address: bigint): Buffer {
  for (let length = CODE_BYTES; length > 2; length >>= 1) {
    try {
      return readRemoteExactly(reader, asRemoteAddress(address - BigInt(length)), length);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
    }
  }
  return Buffer.alloc(2);
}

type Ask = (tid: Tid, call: RemoteCall) => void;

function captureThread(pid: Pid, thread: FrozenThread, remote: RemoteSyscalls, pids: JobPids, rare: RareState, ask: Ask): Thread {
  const { tid } = thread;
  const extended = getExtendedRegisters(tid);
  const pending = pendingSignals(tid, false);
  const rseq = getRseq(tid);
  if (extended === GONE || pending === GONE || rseq === GONE) throw new ProcessGone(pid);
  const inside = remote.inThread(tid, (call) => {
    call(SYSCALLS.sigaltstack, 0n, remote.scratch);
    call(SYSCALLS.prctl, PR_GET_PDEATHSIG, remote.scratch + 64n);
    call(SYSCALLS.prctl, PR_GET_TID_ADDRESS, remote.scratch + 128n);
    const timerSlack = timerSlackOf(tid) ?? call(SYSCALLS.prctl, PR_GET_TIMERSLACK);
    ask(tid, call);
    return { words: remote.readScratch(192), timerSlack, rare: rare.of(tid, call) };
  });
  const stack = inside.words.subarray(0, STACK_BYTES);
  return {
    tid: pids.of(tid),
    comm: readComm(pid, tid) ?? encodeName(Buffer.alloc(0)),
    registers: registersOf(tid, thread).bytes.toString("base64"),
    extendedRegisters: extended.toString("base64"),
    signalMask: toWord(thread.signalMask),
    pendingSignals: pending.map((information) => information.toString("base64")),
    alternateStack: {
      address: toWord(stack.readBigUInt64LE(0)),
      flags: stack.readUInt32LE(8),
      sizeBytes: toWord(stack.readBigUInt64LE(16)),
    },
    robustList: robustList(tid),
    clearChildTid: toWord(inside.words.readBigUInt64LE(128)),
    rseq:
      rseq === null ? null : { address: toWord(rseq.address), lengthBytes: rseq.lengthBytes, signature: rseq.signature, flags: rseq.flags },
    scheduling: scheduling(tid, inside.timerSlack),
    parentDeathSignal: inside.words.readUInt32LE(64),
    ...inside.rare,
  };
}

/** From outside only for the privileged, but for them much faster. */
function timerSlackOf(tid: Tid): bigint | null {
  try {
    return readTimerSlackNs(tid);
  } catch {
    return null;
  }
}

function robustList(tid: Tid): Thread["robustList"] {
  const out = Buffer.alloc(64);
  const result = systemCall(SYSCALLS.get_robust_list, tid, addressOf(out), addressOf(out) + 8n);
  if (result < 0) return { address: toWord(0n), lengthBytes: 24 };
  return { address: toWord(out.readBigUInt64LE(0)), lengthBytes: Number(out.readBigUInt64LE(8)) };
}

function scheduling(tid: Tid, timerSlackNs: bigint): Thread["scheduling"] {
  const attributes = Buffer.alloc(64);
  systemCall(SYSCALLS.sched_getattr, tid, addressOf(attributes), SCHED_ATTR_BYTES, 0);
  const affinity = Buffer.alloc(AFFINITY_BYTES);
  const length = Math.max(0, systemCall(SYSCALLS.sched_getaffinity, tid, AFFINITY_BYTES, addressOf(affinity)));
  const ioPriority = systemCall(SYSCALLS.ioprio_get, IOPRIO_WHO_PROCESS, tid);
  // struct sched_attr: size, policy (u32), flags (u64), nice (s32), priority (u32), runtime, deadline, period (u64).
  return {
    policy: attributes.readUInt32LE(4),
    flags: Number(attributes.readBigUInt64LE(8)),
    nice: attributes.readInt32LE(16),
    priority: attributes.readUInt32LE(20),
    runtimeNs: attributes.readBigUInt64LE(24).toString(),
    deadlineNs: attributes.readBigUInt64LE(32).toString(),
    periodNs: attributes.readBigUInt64LE(40).toString(),
    affinity: affinity.subarray(0, length).toString("base64"),
    ioPriority: Math.max(0, ioPriority),
    timerSlackNs: (timerSlackNs < 0n ? 0n : timerSlackNs).toString(),
  };
}

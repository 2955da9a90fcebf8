/** Threads: made by the leader with their tids, then given what is each one's own. */
import type { Tid } from "../base/ids.ts";
import { nameToBuffer } from "../base/names.ts";
import type { Thread } from "../image/mod.ts";
import {
  CLONE_FILES,
  CLONE_FS,
  CLONE_SIGHAND,
  CLONE_SYSVSEM,
  CLONE_THREAD,
  CLONE_VM,
  PR_SET_NAME,
  PR_SET_PDEATHSIG,
  PR_SET_TIMERSLACK,
  SS_AUTODISARM,
  SS_DISABLE,
} from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { addressOf } from "../kernel/memory-ffi.ts";
import { systemCall } from "../kernel/syscall-ffi.ts";
import { Made, call, purposed, threadOf, tolerant } from "../tracee/puppet.ts";
import type { Call, Puppet, TapeData } from "../tracee/puppet.ts";
import { credentialCalls } from "./credentials.ts";
import type { credentialsToSet } from "./own-credentials.ts";
import { cloneArguments } from "./clone.ts";
import { asRemoteAddress } from "../base/ids.ts";
import { RemoteMemoryFile } from "../kernel/remote-memory.ts";
import type { Numbers } from "./numbers.ts";

const THREAD_FLAGS = BigInt(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM);
const PR_SET_TSC = 26n;
const PR_TSC_SIGSEGV = 2n;
const PR_MCE_KILL = 33n;
const PR_MCE_KILL_SET = 1n;
const SCHED_ATTR_BYTES = 56;
const IOPRIO_WHO_PROCESS = 1;
const BATCH = 500;

/** Makes the threads besides the leader; all of them, in the order of `threads`. `onMade` is told of each as soon as it exists. */
export function makeThreads(
  leader: Puppet,
  leaderTid: number,
  threads: readonly Thread[],
  numbers: Numbers,
  onMade: (made: Made) => void,
): Map<Thread, Puppet> {
  const puppets = new Map<Thread, Puppet>();
  const others = threads.filter((thread) => thread.tid !== leaderTid);
  for (let from = 0; from < others.length; from += BATCH) {
    const batch = others.slice(from, from + BATCH);
    const data = leader.data();
    const made: Tid[] = [];
    const calls = batch.map((thread) => cloneCall(data, numbers.wanted(thread.tid)));
    const results = leader.run(calls, data, (tid) => {
      onMade(new Made(leader.pid, tid));
      made.push(tid);
    });
    batch.forEach((thread, index) => {
      puppets.set(thread, threadOf(leader, made[index] as Tid));
      numbers.note(thread.tid, Number(results[index]));
    });
  }
  for (const thread of threads) if (thread.tid === leaderTid) puppets.set(thread, leader);
  return puppets;
}

function cloneCall(data: TapeData, tid: number | null): Call {
  const { address, lengthBytes } = cloneArguments(data, THREAD_FLAGS, 0, tid);
  return purposed(`making thread ${tid ?? "of any number"}`, SYSCALLS.clone3, address, lengthBytes);
}

/**
 * The C library keeps a thread's number beside its storage, in the word that the kernel clears when the thread ends; it is what
 * pthread_kill and locks with an owner use. Precondition: the memory stands.
 */
export function renumberInMemory(puppet: Puppet, thread: Thread, numbers: Numbers): void {
  const address = BigInt(thread.clearChildTid);
  if (!numbers.areNew || address === 0n) return;
  using memory = new RemoteMemoryFile(puppet.pid);
  const word = memory.read(asRemoteAddress(address), 4);
  if (word.length < 4 || word.readUInt32LE(0) !== thread.tid) return;
  word.writeUInt32LE(numbers.of(thread.tid), 0);
  memory.write(asRemoteAddress(address), word);
}

/** What the thread sets for itself; its credentials last, for they may forbid the rest. */
export function restoreThread(puppet: Puppet, thread: Thread, personality: number, credentials: ReturnType<typeof credentialsToSet>): void {
  const data = puppet.data();
  const name = data.put(Buffer.concat([nameToBuffer(thread.comm), Buffer.of(0)]));
  const calls: Call[] = [
    call(SYSCALLS.prctl, BigInt(PR_SET_NAME), name),
    call(SYSCALLS.personality, BigInt(personality)),
    call(SYSCALLS.sigaltstack, data.put(stackRecord(thread)), 0n),
    call(SYSCALLS.set_tid_address, BigInt(thread.clearChildTid)),
    call(SYSCALLS.prctl, BigInt(PR_SET_TIMERSLACK), BigInt(thread.scheduling.timerSlackNs)),
  ];
  if (BigInt(thread.robustList.address) !== 0n) {
    calls.push(call(SYSCALLS.set_robust_list, BigInt(thread.robustList.address), BigInt(thread.robustList.lengthBytes)));
  }
  if (thread.rseq !== null) {
    const { address, lengthBytes, signature, flags } = thread.rseq;
    calls.push(call(SYSCALLS.rseq, BigInt(address), BigInt(lengthBytes), BigInt(flags), BigInt(signature)));
  }
  if (credentials !== null) calls.push(...credentialCalls(data, credentials.credentials, credentials.ids));
  if (thread.parentDeathSignal !== 0) calls.push(tolerant(SYSCALLS.prctl, BigInt(PR_SET_PDEATHSIG), BigInt(thread.parentDeathSignal)));
  puppet.run(calls, data);
}

/** What few threads ever set. Gives what could not be set, in words. */
export function restoreRarities(puppet: Puppet, thread: Thread): string[] {
  const data = puppet.data();
  const calls: Call[] = [];
  const what: string[] = [];
  if (thread.timeStampCounterForbidden === true) {
    calls.push(tolerant(SYSCALLS.prctl, PR_SET_TSC, PR_TSC_SIGSEGV));
    what.push("PR_SET_TSC");
  }
  if (thread.machineCheckKill !== undefined) {
    calls.push(tolerant(SYSCALLS.prctl, PR_MCE_KILL, PR_MCE_KILL_SET, BigInt(thread.machineCheckKill), 0n, 0n));
    what.push("PR_MCE_KILL");
  }
  if (thread.memoryPolicy !== undefined) {
    const nodes = Buffer.from(thread.memoryPolicy.nodes, "base64");
    calls.push(tolerant(SYSCALLS.set_mempolicy, BigInt(thread.memoryPolicy.mode), data.put(nodes), BigInt(nodes.length * 8 + 1)));
    what.push("NUMA memory policy");
  }
  if (calls.length === 0) return [];
  const results = puppet.run(calls, data);
  return what.filter((_, index) => results[index] !== 0n);
}

function stackRecord(thread: Thread): Buffer {
  const record = Buffer.alloc(24);
  const { address, flags, sizeBytes } = thread.alternateStack;
  const isDisabled = (flags & SS_DISABLE) !== 0;
  record.writeBigUInt64LE(isDisabled ? 0n : BigInt(address), 0);
  // SS_ONSTACK is told, never set.
  record.writeUInt32LE(isDisabled ? SS_DISABLE : (flags & SS_AUTODISARM) >>> 0, 8);
  record.writeBigUInt64LE(isDisabled ? 0n : BigInt(sizeBytes), 16);
  return record;
}

/** Policy, priority, processors: set from outside, by whoever restarts. Gives what could not be set, in words. */
export function restoreScheduling(puppet: Puppet, thread: Thread): string[] {
  const { scheduling } = thread;
  const failed: string[] = [];
  const attributes = Buffer.alloc(64);
  attributes.writeUInt32LE(SCHED_ATTR_BYTES, 0);
  attributes.writeUInt32LE(scheduling.policy, 4);
  attributes.writeBigUInt64LE(BigInt(scheduling.flags), 8);
  attributes.writeInt32LE(scheduling.nice, 16);
  attributes.writeUInt32LE(scheduling.priority, 20);
  // Of the ordinary policies these times are a hint of newer kernels, and setting them is not needed to get them.
  if (scheduling.policy === 6) {
    attributes.writeBigUInt64LE(BigInt(scheduling.runtimeNs), 24);
    attributes.writeBigUInt64LE(BigInt(scheduling.deadlineNs), 32);
    attributes.writeBigUInt64LE(BigInt(scheduling.periodNs), 40);
  }
  if (systemCall(SYSCALLS.sched_setattr, puppet.tid, addressOf(attributes), 0) < 0) {
    failed.push(`scheduling policy ${scheduling.policy}, nice ${scheduling.nice}`);
  }
  if (!restoreAffinity(puppet, Buffer.from(scheduling.affinity, "base64"))) failed.push("processor affinity");
  if (scheduling.ioPriority !== 0 && systemCall(SYSCALLS.ioprio_set, IOPRIO_WHO_PROCESS, puppet.tid, scheduling.ioPriority) < 0) {
    failed.push("I/O priority");
  }
  return failed;
}

function restoreAffinity(puppet: Puppet, wanted: Buffer): boolean {
  if (wanted.length === 0) return true;
  const mask = Buffer.alloc(Math.max(64, wanted.length));
  mask.set(wanted);
  return systemCall(SYSCALLS.sched_setaffinity, puppet.tid, wanted.length, addressOf(mask)) >= 0;
}

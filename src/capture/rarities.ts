/**
 * What is a thread's own in Linux although nearly no program makes it differ from the process's: credentials, memory policy,
 * reactions to hardware. Thousands of threads are common, and each call inside one takes longer than all that can be seen
 * from outside; so a thread is asked only for what shows from outside that it has it, or that its process's first thread has.
 */
import type { Pid, RemoteAddress, Tid } from "../base/ids.ts";
import { asTid } from "../base/ids.ts";
import type { Credentials, Thread } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { hasMemoryPolicy, readCredentialLines, readThreadFlags, readThreadStatus } from "../kernel/procfs/mod.ts";
import { ProcessGone } from "../kernel/remote-memory.ts";
import type { RemoteCall, RemoteSyscalls } from "../tracee/remote-syscalls.ts";
import { askMemoryPolicy } from "./memory-policy.ts";
import { credentialsOf } from "./process.ts";

const PR_GET_TSC = 25n;
const PR_TSC_SIGSEGV = 2;
const PR_GET_SECUREBITS = 27n;
const PR_MCE_KILL_GET = 34n;
/** PF_MCE_PROCESS of the kernel's sched.h: PR_MCE_KILL was used. */
const MCE_PROCESS = 0x80;
const CAP_SETPCAP = 1n << 8n;
const TSC_AT = 512;

type Rarities = Pick<Thread, "credentials" | "timeStampCounterForbidden" | "machineCheckKill" | "memoryPolicy">;

export class RareState {
  readonly #remote: RemoteSyscalls;
  readonly #commonText: string;
  readonly #commonLines: string | null;
  /** Secure bits do not show, and a thread without this capability can't have changed them. */
  readonly #mayDifferUnseen: boolean;
  readonly #isTscForbidden: boolean;

  /** `common` are the credentials of the process's first thread. */
  constructor(remote: RemoteSyscalls, common: Credentials) {
    this.#remote = remote;
    this.#commonText = JSON.stringify(common);
    this.#commonLines = readCredentialLines(remote.pid, asTid(remote.pid));
    this.#mayDifferUnseen = common.secureBits !== 0 || (BigInt(common.capabilities.permitted) & CAP_SETPCAP) !== 0n;
    this.#isTscForbidden = this.#askTsc((number, ...args) => remote.call(number, ...args));
  }

  /** What of all this the thread has otherwise than most. `call` is made in it. */
  of(tid: Tid, call: RemoteCall): Rarities {
    const { pid } = this.#remote;
    const flags = readThreadFlags(pid, tid);
    if (flags === null) throw new ProcessGone(pid);
    const credentials = this.#credentials(pid, tid, call);
    return {
      ...(credentials === null ? {} : { credentials }),
      ...(this.#isTscForbidden && this.#askTsc(call) ? { timeStampCounterForbidden: true } : {}),
      ...((flags & MCE_PROCESS) === 0 ? {} : { machineCheckKill: Number(call(SYSCALLS.prctl, PR_MCE_KILL_GET, 0n, 0n, 0n, 0n)) }),
      ...(hasMemoryPolicy(pid, tid) ? { memoryPolicy: askMemoryPolicy(this.#remote, call) } : {}),
    };
  }

  get #scratch(): RemoteAddress {
    return this.#remote.scratch;
  }

  #credentials(pid: Pid, tid: Tid, call: RemoteCall): Credentials | null {
    const lines = readCredentialLines(pid, tid);
    if (lines === this.#commonLines && !this.#mayDifferUnseen) return null;
    const status = readThreadStatus(pid, tid);
    if (status === null) throw new ProcessGone(pid);
    const own = credentialsOf(status, call(SYSCALLS.prctl, PR_GET_SECUREBITS));
    return JSON.stringify(own) === this.#commonText ? null : own;
  }

  #askTsc(call: RemoteCall): boolean {
    if (call(SYSCALLS.prctl, PR_GET_TSC, this.#scratch + BigInt(TSC_AT)) !== 0n) return false;
    return this.#remote.readScratch(4, TSC_AT).readUInt32LE(0) === PR_TSC_SIGSEGV;
  }
}

/**
 * Seccomp filters. They are suspended until the job is let go (PTRACE_O_SUSPEND_SECCOMP), so that they can be put on when the process
 * may still do so, before its credentials are set, and forbid nothing of what is to come.
 *
 * Threads that share a filter share it again as far as all of a process do: another filter for all of them (SECCOMP_FILTER_FLAG_TSYNC) is
 * possible only where each thread's filters are an ancestor of the caller's, the very same and not equal ones.
 */
import { CairnError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import type { ImageMetadata, LiveProcessImage, SeccompFilterImage, Thread } from "../image/mod.ts";
import { CAP_SYS_ADMIN, SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_SET_MODE_FILTER } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { readStatus } from "../kernel/procfs/mod.ts";
import { purposed } from "../tracee/puppet.ts";
import type { Puppet } from "../tracee/puppet.ts";

const INSTRUCTION_BYTES = 8;

/** Throws a CairnError (`permission`) where this user may not put filters on again. */
export function requireSeccomp({ seccompFilters, processes }: ImageMetadata): void {
  if (seccompFilters === undefined) return;
  const own = readStatus(asPid(process.pid));
  const isAdministrator = own !== null && ((own.capabilities.effective >> BigInt(CAP_SYS_ADMIN)) & 1n) === 1n;
  if (isAdministrator && own.seccompMode === 0) return;
  const pid = processes.find(({ alive }) => alive?.threads.some((thread) => thread.seccompFilters !== undefined))?.pid;
  throw new CairnError("permission", `Cannot restart: process ${pid} runs under seccomp filters, which only root can put on it again`, {
    data: { pid, kind: "seccomp" },
    hint: "Restart as root (CAP_SYS_ADMIN), itself under no filter",
  });
}

/** Precondition: all threads of the process are made; none has its credentials yet. */
export function restoreSeccomp(
  {
    threads,
    live,
    hasLeader,
  }: { readonly threads: ReadonlyMap<Thread, Puppet>; readonly live: LiveProcessImage; readonly hasLeader: boolean },
  metadata: ImageMetadata,
): void {
  const filtered = live.threads.filter(({ seccompFilters }) => seccompFilters !== undefined);
  if (filtered.length === 0) return;
  const table = new Map(metadata.seccompFilters?.map((filter) => [filter.id, filter]));
  for (const thread of filtered) threads.get(thread)?.suspendSeccomp();
  // What remains of a first thread that has ended is not to be under a filter: it has yet to end.
  const common = hasLeader ? commonFilters(live.threads) : [];
  const first = live.threads[0];
  if (first !== undefined && live.threads.length > 1) for (const id of common) putOn(threads.get(first), table.get(id), true);
  const done = live.threads.length > 1 ? common.length : 0;
  for (const thread of filtered) {
    for (const id of thread.seccompFilters?.slice(done) ?? []) putOn(threads.get(thread), table.get(id), false);
  }
}

/** Those that every thread has, the oldest first. */
function commonFilters(threads: readonly Thread[]): number[] {
  const [first, ...others] = threads.map(({ seccompFilters }) => seccompFilters ?? []);
  const end = first?.findIndex((id, index) => others.some((ids) => ids[index] !== id)) ?? 0;
  return end < 0 ? (first ?? []) : (first ?? []).slice(0, end);
}

function putOn(puppet: Puppet | undefined, filter: SeccompFilterImage | undefined, onAll: boolean): void {
  if (puppet === undefined || filter === undefined) throw new CairnError("damaged", "A seccomp filter or its thread is missing");
  const data = puppet.data();
  const program = Buffer.from(filter.program, "base64");
  // struct sock_fprog: number of instructions (u16), their address behind padding.
  const record = Buffer.alloc(16);
  record.writeUInt16LE(program.length / INSTRUCTION_BYTES, 0);
  record.writeBigUInt64LE(data.put(program), 8);
  const flags = (filter.logs ? SECCOMP_FILTER_FLAG_LOG : 0) | (onAll ? SECCOMP_FILTER_FLAG_TSYNC : 0);
  const call = purposed(
    `putting on seccomp filter ${filter.id}`,
    SYSCALLS.seccomp,
    BigInt(SECCOMP_SET_MODE_FILTER),
    BigInt(flags),
    data.put(record),
  );
  const [outcome] = puppet.run([call], data);
  // With TSYNC: the number of a thread that has other filters.
  if (outcome !== 0n) throw new CairnError("io", `Cannot restart: seccomp filter ${filter.id} cannot be put on thread ${outcome}`);
}

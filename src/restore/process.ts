/** What belongs to a process as a whole: directories, mask, switches of prctl, limits. */
import { writeFileSync } from "node:fs";
import { nameToBuffer } from "../base/names.ts";
import type { LiveProcessImage } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { readCoreDumpFilter, readOomScoreAdjustment } from "../kernel/procfs/mod.ts";
import { call, purposed, tolerant } from "../tracee/puppet.ts";
import type { Call, Puppet } from "../tracee/puppet.ts";
import { restoreMemorySwitches } from "./memory-switches.ts";

const PR_SET_DUMPABLE = 4n;
const PR_SET_CHILD_SUBREAPER = 36n;
const PR_SET_THP_DISABLE = 41n;
/** PR_THP_DISABLE_EXCEPT_ADVISED, since Linux 6.18. */
const THP_EXCEPT_ADVISED = 2n;
const UNLIMITED = 0xffff_ffff_ffff_ffffn;

/** Each thread has its own, and starts with its maker's. Precondition: memory is in place, threads are not made yet. */
export function restorePersonality(puppet: Puppet, live: LiveProcessImage): void {
  puppet.run([call(SYSCALLS.personality, BigInt(live.personality))]);
}

/** Gives what could not be set, in words. */
export function restoreAttributes(puppet: Puppet, live: LiveProcessImage): string[] {
  const data = puppet.data();
  const path = (name: LiveProcessImage["workingDirectory"]): bigint => data.put(Buffer.concat([nameToBuffer(name), Buffer.of(0)]));
  const calls: Call[] = [purposed(`changing to directory ${display(live.workingDirectory)}`, SYSCALLS.chdir, path(live.workingDirectory))];
  if (live.rootDirectory !== "/")
    calls.push(purposed(`changing root to ${display(live.rootDirectory)}`, SYSCALLS.chroot, path(live.rootDirectory)));
  calls.push(call(SYSCALLS.umask, BigInt(live.umask)));
  calls.push(call(SYSCALLS.prctl, PR_SET_CHILD_SUBREAPER, live.childSubreaper ? 1n : 0n, 0n, 0n, 0n));
  if (live.transparentHugePagesDisabled) {
    const flags = live.transparentHugePagesWhereAdvised === true ? THP_EXCEPT_ADVISED : 0n;
    calls.push(tolerant(SYSCALLS.prctl, PR_SET_THP_DISABLE, 1n, flags, 0n, 0n));
  }
  puppet.run(calls, data);
  return [...restoreMemorySwitches(puppet, live), ...restoreOomScore(puppet, live), ...restoreCoreDumpFilter(puppet, live)];
}

function display(name: LiveProcessImage["workingDirectory"]): string {
  return typeof name === "string" ? name : Buffer.from(name.base64, "base64").toString("latin1");
}

function restoreCoreDumpFilter(puppet: Puppet, { coreDumpFilter }: LiveProcessImage): string[] {
  if (coreDumpFilter === undefined || readCoreDumpFilter(puppet.pid) === coreDumpFilter) return [];
  try {
    writeFileSync(`/proc/${puppet.pid}/coredump_filter`, `0x${coreDumpFilter.toString(16)}`);
    return [];
  } catch {
    return [`core dump filter 0x${coreDumpFilter.toString(16)}`];
  }
}

function restoreOomScore(puppet: Puppet, live: LiveProcessImage): string[] {
  if (readOomScoreAdjustment(puppet.pid) === live.oomScoreAdjustment) return [];
  try {
    writeFileSync(`/proc/${puppet.pid}/oom_score_adj`, String(live.oomScoreAdjustment));
    return [];
  } catch {
    return [`out-of-memory score adjustment ${live.oomScoreAdjustment}`];
  }
}

/** Limits come last: they would bind the restart itself. A hard limit above ours can't be had without privilege. */
export function restoreLimits(puppet: Puppet, live: LiveProcessImage): string[] {
  const data = puppet.data();
  const calls = live.limits.map(({ resource, soft, hard }) => {
    const record = Buffer.alloc(16);
    record.writeBigUInt64LE(soft === "unlimited" ? UNLIMITED : BigInt(soft), 0);
    record.writeBigUInt64LE(hard === "unlimited" ? UNLIMITED : BigInt(hard), 8);
    return tolerant(SYSCALLS.prlimit64, 0n, BigInt(resource), data.put(record), 0n);
  });
  const results = puppet.run(calls, data);
  return results.flatMap((result, index) => {
    const limit = live.limits[index];
    if (result === 0n || limit === undefined) return [];
    return setSoftAlone(puppet, limit) ? [] : [`limit ${limit.resource} (soft ${limit.soft}, hard ${limit.hard})`];
  });
}

function setSoftAlone(puppet: Puppet, limit: LiveProcessImage["limits"][number]): boolean {
  const data = puppet.data();
  const record = data.put(Buffer.alloc(16));
  puppet.run([call(SYSCALLS.prlimit64, 0n, BigInt(limit.resource), 0n, record)], data);
  const present = puppet.readData(record, 16);
  const hard = present.readBigUInt64LE(8);
  const wanted = limit.soft === "unlimited" ? UNLIMITED : BigInt(limit.soft);
  const soft = wanted < hard ? wanted : hard;
  const next = puppet.data();
  const value = Buffer.alloc(16);
  value.writeBigUInt64LE(soft, 0);
  value.writeBigUInt64LE(hard, 8);
  return puppet.run([tolerant(SYSCALLS.prlimit64, 0n, BigInt(limit.resource), next.put(value), 0n)], next)[0] === 0n && soft === wanted;
}

export function restoreDumpable(puppet: Puppet, live: LiveProcessImage): void {
  // 2 ("by root only") can't be set by prctl; it comes of itself with the credentials that caused it.
  if (live.dumpable <= 1) puppet.run([tolerant(SYSCALLS.prctl, PR_SET_DUMPABLE, BigInt(live.dumpable), 0n, 0n, 0n)]);
}

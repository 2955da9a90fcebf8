/** Interval timers and POSIX timers of a process: what is left of each at this moment. */
import { toWord } from "../base/words.ts";
import type { Tid } from "../base/ids.ts";
import type { LiveProcessImage } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { readTimers } from "../kernel/procfs/mod.ts";
import type { RemoteSyscalls } from "../tracee/remote-syscalls.ts";
import type { JobPids } from "./job-pids.ts";

const NS_PER_SECOND = 1_000_000_000n;
const US_PER_SECOND = 1_000_000n;

export function captureIntervalTimers(remote: RemoteSyscalls): LiveProcessImage["intervalTimers"] {
  const timers: LiveProcessImage["intervalTimers"] = [];
  for (const which of [0, 1, 2]) {
    if (remote.call(SYSCALLS.getitimer, BigInt(which), remote.scratch) < 0n) continue;
    const value = remote.readScratch(32);
    const intervalUs = value.readBigInt64LE(0) * US_PER_SECOND + value.readBigInt64LE(8);
    const valueUs = value.readBigInt64LE(16) * US_PER_SECOND + value.readBigInt64LE(24);
    if (valueUs === 0n && intervalUs === 0n) continue;
    timers.push({ which, intervalUs: intervalUs.toString(), valueUs: valueUs.toString() });
  }
  return timers;
}

export function capturePosixTimers(remote: RemoteSyscalls, pids: JobPids): LiveProcessImage["posixTimers"] {
  return (readTimers(remote.pid) ?? []).map((timer) => {
    remote.call(SYSCALLS.timer_gettime, BigInt(timer.id), remote.scratch);
    const value = remote.readScratch(32);
    const overrun = remote.call(SYSCALLS.timer_getoverrun, BigInt(timer.id));
    const threadId = timer.notify === "thread-id" ? pids.of(timer.target as Tid) : 0;
    // A timer outlives the thread that it was to notify, and from then on notifies nobody.
    const isOrphan = timer.notify === "thread-id" && threadId === 0;
    return {
      id: timer.id,
      clock: timer.clock,
      notify: isOrphan ? "none" : timer.notify === "thread" ? "signal" : timer.notify,
      signal: timer.signal,
      value: toWord(timer.value),
      threadId,
      intervalNs: (value.readBigInt64LE(0) * NS_PER_SECOND + value.readBigInt64LE(8)).toString(),
      valueNs: (value.readBigInt64LE(16) * NS_PER_SECOND + value.readBigInt64LE(24)).toString(),
      overrun: overrun < 0n ? 0 : Number(overrun),
    };
  });
}

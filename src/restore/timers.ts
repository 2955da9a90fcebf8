/** Interval timers and POSIX timers: made while the job is being made, started when it is let go. */
import type { LiveProcessImage } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { call, tolerant } from "../tracee/puppet.ts";
import type { Call, Puppet, TapeData } from "../tracee/puppet.ts";
import { CairnError } from "../base/errors.ts";
import type { Numbers } from "./numbers.ts";

const PR_TIMER_CREATE_RESTORE_IDS = 77n;
const SIGEV_SIGNAL = 0;
const SIGEV_NONE = 1;
const SIGEV_THREAD_ID = 4;
const SIGEVENT_BYTES = 64;
const US_PER_SECOND = 1_000_000n;
const NS_PER_SECOND = 1_000_000_000n;
/** Ids that a program skipped are made and deleted one by one where the kernel can't be told the id. */
const LARGEST_SKIP = 1_000_000;

export function makePosixTimers(puppet: Puppet, live: LiveProcessImage, numbers: Numbers): void {
  if (live.posixTimers.length === 0) return;
  const canChoose = puppet.run([tolerant(SYSCALLS.prctl, PR_TIMER_CREATE_RESTORE_IDS, 1n, 0n, 0n, 0n)])[0] === 0n;
  for (const timer of live.posixTimers) {
    if (canChoose) makeTimer(puppet, timer, timer.id, numbers);
    else makeByCounting(puppet, timer, numbers);
  }
  if (canChoose) puppet.run([call(SYSCALLS.prctl, PR_TIMER_CREATE_RESTORE_IDS, 0n, 0n, 0n, 0n)]);
}

type Timer = LiveProcessImage["posixTimers"][number];

/** Gives the id that the timer got. */
function makeTimer(puppet: Puppet, timer: Timer, wantedId: number, numbers: Numbers): number {
  const data = puppet.data();
  const event = Buffer.alloc(SIGEVENT_BYTES);
  event.writeBigUInt64LE(BigInt(timer.value), 0);
  event.writeInt32LE(timer.signal, 8);
  event.writeInt32LE(timer.notify === "none" ? SIGEV_NONE : timer.notify === "thread-id" ? SIGEV_THREAD_ID : SIGEV_SIGNAL, 12);
  event.writeInt32LE(numbers.of(timer.threadId), 16);
  const id = Buffer.alloc(8);
  id.writeInt32LE(wantedId, 0);
  const idAddress = data.put(id);
  puppet.run([call(SYSCALLS.timer_create, BigInt(timer.clock), data.put(event), idAddress)], data);
  return puppet.readData(idAddress, 4).readInt32LE(0);
}

function makeByCounting(puppet: Puppet, timer: Timer, numbers: Numbers): void {
  for (let tries = 0; tries < LARGEST_SKIP; tries += 1) {
    const id = makeTimer(puppet, timer, 0, numbers);
    if (id === timer.id) return;
    puppet.run([call(SYSCALLS.timer_delete, BigInt(id))]);
    if (id > timer.id) break;
  }
  throw new CairnError("unsupported", `Cannot restart: this kernel does not give timer ${timer.id} its number`, {
    data: { timer: timer.id },
  });
}

/**
 * A periodic timer that has expired shows nothing left until its signal is taken; set to nothing it would be switched off.
 * It expires again at once instead.
 */
export function startTimers(data: TapeData, live: LiveProcessImage): Call[] {
  const calls: Call[] = [];
  for (const { which, intervalUs, valueUs } of live.intervalTimers) {
    const left = valueUs === "0" && intervalUs !== "0" ? 1n : BigInt(valueUs);
    calls.push(call(SYSCALLS.setitimer, BigInt(which), data.put(pair(BigInt(intervalUs), left, US_PER_SECOND)), 0n));
  }
  const expired = new Set([...live.pendingSignals, ...live.threads.flatMap((thread) => thread.pendingSignals)].map(timerOf));
  for (const timer of live.posixTimers) {
    const left = expired.has(timer.id) || (timer.valueNs === "0" && timer.intervalNs !== "0") ? 1n : BigInt(timer.valueNs);
    calls.push(call(SYSCALLS.timer_settime, BigInt(timer.id), 0n, data.put(pair(BigInt(timer.intervalNs), left, NS_PER_SECOND)), 0n));
  }
  return calls;
}

const SI_TIMER = -2;

/** The POSIX timer that a queued signal comes from; null for any other signal. siginfo_t: signal, errno, code, then timer id. */
export function timerOf(information: string): number | null {
  const bytes = Buffer.from(information, "base64");
  return bytes.readInt32LE(8) === SI_TIMER ? bytes.readInt32LE(16) : null;
}

/** struct itimerval or itimerspec: the interval, then what is left. */
function pair(interval: bigint, value: bigint, perSecond: bigint): Buffer {
  const record = Buffer.alloc(32);
  record.writeBigInt64LE(interval / perSecond, 0);
  record.writeBigInt64LE(interval % perSecond, 8);
  record.writeBigInt64LE(value / perSecond, 16);
  record.writeBigInt64LE(value % perSecond, 24);
  return record;
}

/** timerfd: what is left of a timer, or the time of day that it waits for. */
import type { Fd } from "../base/ids.ts";
import type { ImageMetadata, OpenFile } from "../image/mod.ts";
import { CLOCK_REALTIME, CLOCK_REALTIME_ALARM, TFD_IOC_SET_TICKS, TFD_TIMER_ABSTIME } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { tryIoctlBuffer } from "../kernel/descriptors.ts";
import { addressOf } from "../kernel/memory-ffi.ts";
import { systemCall } from "../kernel/syscall-ffi.ts";

export type TimerFile = Extract<OpenFile, { kind: "timerfd" }>;

const NS_PER_SECOND = 1_000_000_000n;
/** struct itimerspec: interval and value, each in seconds and nanoseconds. */
const INTERVAL_AT = 0;
const VALUE_AT = 16;

/** `taken`: the clocks at the checkpoint. */
export function armTimer(fd: Fd, file: TimerFile, taken: ImageMetadata["clocks"]): void {
  const interval = BigInt(file.intervalNs);
  // A periodic timer that has expired shows nothing left until it is read; set to nothing it would be switched off.
  const left = file.valueNs === "0" && file.ticks !== "0" ? interval : BigInt(file.valueNs);
  // The kernel tells what is left, also of an absolute timer. A time of day stays that time of day, also when it has passed meanwhile.
  const isTimeOfDay = left > 0n && (file.settimeFlags & TFD_TIMER_ABSTIME) !== 0 && isOfDay(file.clock);
  const setting = Buffer.alloc(64);
  put(setting, INTERVAL_AT, interval);
  put(setting, VALUE_AT, isTimeOfDay ? left + BigInt(taken.realtimeNs) : left);
  const flags = isTimeOfDay ? file.settimeFlags : file.settimeFlags & ~TFD_TIMER_ABSTIME;
  systemCall(SYSCALLS.timerfd_settime, fd, flags, addressOf(setting), 0);
  const ticks = Buffer.alloc(64);
  ticks.writeBigUInt64LE(BigInt(file.ticks), 0);
  if (BigInt(file.ticks) > 0n) tryIoctlBuffer(fd, TFD_IOC_SET_TICKS, ticks);
}

function isOfDay(clock: number): boolean {
  return clock === CLOCK_REALTIME || clock === CLOCK_REALTIME_ALARM;
}

function put(setting: Buffer, at: number, time: bigint): void {
  setting.writeBigInt64LE(time / NS_PER_SECOND, at);
  setting.writeBigInt64LE(time % NS_PER_SECOND, at + 8);
}

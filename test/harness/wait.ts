/** Tests wait for conditions, never for time to pass. The watchdog is only there so that a hang becomes a failure that says on what. */
import { setTimeout as delay } from "node:timers/promises";

const WATCHDOG_MS = 60_000;
const POLL_MS = 5;

/** Polls `probe` until it returns something else than undefined or false. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  watchdogMs = WATCHDOG_MS,
): Promise<T> {
  const deadline = performance.now() + watchdogMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`Waited ${watchdogMs / 1000} s in vain until ${what}`);
    await delay(POLL_MS);
  }
}

/** Like `until`, but a wait in vain is an answer. */
export async function untilOrNot(probe: () => boolean, watchdogMs: number): Promise<boolean> {
  const deadline = performance.now() + watchdogMs;
  while (!probe()) {
    if (performance.now() > deadline) return false;
    await delay(POLL_MS);
  }
  return true;
}

/** Tests wait for conditions, never for time to pass. The watchdog is only there so that a hang becomes a failure that says on what. */
import { setTimeout as delay } from "node:timers/promises";

const WATCHDOG_MS = 60_000;
/** The longer it takes, the less it matters when it is seen: other tests want the processor too. */
const FIRST_POLL_MS = 5;
const LAST_POLL_MS = 25;
const pollMs = (waitedMs: number): number => Math.min(LAST_POLL_MS, FIRST_POLL_MS + waitedMs / 20);

/** Polls `probe` until it returns something else than undefined or false. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  watchdogMs = WATCHDOG_MS,
): Promise<T> {
  const begun = performance.now();
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    const waitedMs = performance.now() - begun;
    if (waitedMs > watchdogMs) throw new Error(`Waited ${watchdogMs / 1000} s in vain until ${what}`);
    await delay(pollMs(waitedMs));
  }
}

/** Like `until`, but a wait in vain is an answer. */
export async function untilOrNot(probe: () => boolean, watchdogMs: number): Promise<boolean> {
  const begun = performance.now();
  while (!probe()) {
    const waitedMs = performance.now() - begun;
    if (waitedMs > watchdogMs) return false;
    await delay(pollMs(waitedMs));
  }
  return true;
}

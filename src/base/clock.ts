/**
 * Time as an argument: code that waits or stamps takes a `Clock`, so that tests decide what time it is and no test waits.
 */
export interface Clock {
  /** Wall time; may jump. For stamps only. */
  now(): Date;
  /** Never goes back; for measuring and for deadlines. */
  monotonicMs(): number;
  /** Resolves after the time, or early when the signal is aborted (it never rejects: look at the signal). */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

/** setTimeout takes 32 bits and fires at once beyond them. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  async sleep(milliseconds, signal) {
    const endMs = performance.now() + milliseconds;
    for (;;) {
      const leftMs = endMs - performance.now();
      if (leftMs <= 0 || signal?.aborted === true) return;
      await sleepOnce(Math.min(leftMs, LONGEST_TIMER_MS), signal);
    }
  },
};

function sleepOnce(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    // setTimeout may fire a fraction of a millisecond early: round up so that the loop above ends.
    const timer = setTimeout(finish, Math.ceil(milliseconds));
    signal?.addEventListener("abort", finish, { once: true });
  });
}

interface Sleeper {
  readonly untilMs: number;
  readonly wake: () => void;
}

/** A clock for tests: time passes only when `advance` says so. */
export class ManualClock implements Clock {
  #wallMs: number;
  #monotonicMs = 0;
  #sleepers: Sleeper[] = [];

  constructor(start: Date = new Date(0)) {
    this.#wallMs = start.getTime();
  }

  now(): Date {
    return new Date(this.#wallMs);
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (milliseconds <= 0 || signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const sleeper = { untilMs: this.#monotonicMs + milliseconds, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener("abort", () => this.#wake(sleeper), { once: true });
    });
  }

  /** How many wait: lets a test wait until the code under test has gone to sleep. */
  get sleepers(): number {
    return this.#sleepers.length;
  }

  /** Wakes those whose time comes in order, and lets what they do next run in between. */
  async advance(milliseconds: number): Promise<void> {
    const endMs = this.#monotonicMs + milliseconds;
    await turn();
    for (;;) {
      const next = this.#sleepers.toSorted((a, b) => a.untilMs - b.untilMs)[0];
      if (next === undefined || next.untilMs > endMs) break;
      this.#passTo(next.untilMs);
      this.#wake(next);
      await turn();
    }
    this.#passTo(endMs);
  }

  #passTo(timeMs: number): void {
    this.#wallMs += timeMs - this.#monotonicMs;
    this.#monotonicMs = timeMs;
  }

  #wake(sleeper: Sleeper): void {
    this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
    sleeper.wake();
  }
}

/** Lets everything that can run now run. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/**
 * Randomness that can be replayed: a failing test prints its seed, and `CAIRN_SEED=N` runs it again.
 * xoshiro128** of Blackman and Vigna (https://prng.di.unimi.it/), seeded by splitmix32. Not for secrets.
 */
import { randomInt } from "node:crypto";
import { assert } from "./assert.ts";

export class SeededRandom {
  readonly seed: number;
  readonly #state: Uint32Array;

  constructor(seed: number = seedFromEnvironment() ?? randomInt(2 ** 32)) {
    this.seed = seed >>> 0;
    this.#state = Uint32Array.from(splitMix(this.seed, 4));
  }

  /** With the generator's own state, not all zero: to compare it with its reference. */
  static fromState(state: readonly [number, number, number, number]): SeededRandom {
    const random = new SeededRandom(0);
    random.#state.set(state);
    return random;
  }

  /** For the message of a failing test or the head of a run. */
  toString(): string {
    return `CAIRN_SEED=${this.seed}`;
  }

  nextUint32(): number {
    const s = this.#state;
    const [a, b, c, d] = [s[0] ?? 0, s[1] ?? 0, s[2] ?? 0, s[3] ?? 0];
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
    const mixed = d ^ b;
    s[0] = a ^ mixed;
    s[1] = b ^ c ^ a;
    s[2] = c ^ a ^ (b << 9);
    s[3] = rotateLeft(mixed, 11);
    return result;
  }

  /** Uniform in [0, 1). */
  fraction(): number {
    return this.nextUint32() / 2 ** 32;
  }

  /** Uniform in [low, high], both included; the range spans at most 2^32 values. */
  integer(low: number, high: number): number {
    assert(low <= high && high - low < 2 ** 32, `no integers from ${low} to ${high}`);
    return low + Math.floor(this.fraction() * (high - low + 1));
  }

  pick<T>(items: readonly T[]): T {
    assert(items.length > 0, "nothing to pick from");
    return items[this.integer(0, items.length - 1)] as T;
  }

  bytes(count: number): Buffer {
    const buffer = Buffer.alloc(count);
    for (let index = 0; index < count; index++) buffer[index] = this.nextUint32() & 0xff;
    return buffer;
  }
}

function seedFromEnvironment(): number | undefined {
  const text = process.env["CAIRN_SEED"];
  return text !== undefined && /^[0-9]{1,10}$/.test(text) ? Number(text) : undefined;
}

function splitMix(seed: number, count: number): number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (state + 0x9e3779b9) | 0;
    let z = state ^ (state >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  });
}

function rotateLeft(value: number, count: number): number {
  return (value << count) | (value >>> (32 - count));
}

/** Random numbers that can be had again: every choice of a test comes from one seed, which is printed. */

export interface Random {
  readonly seed: number;
  /** At least 0, less than 1. */
  fraction(): number;
  /** At least `low`, less than `high`. */
  between(low: number, high: number): number;
  /** A whole number, at least 0 and less than `below`. */
  whole(below: number): number;
}

/** Precondition: `seed` is a whole number that fits 32 bits. The generator is Tommy Ettinger's mulberry32 (public domain). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    seed,
    fraction,
    between: (low, high) => low + (high - low) * fraction(),
    whole: (below) => Math.floor(fraction() * below),
  };
}

/** The seed of this run: `CAIRN_SEED`, or a new one. `label` gives each test its own sequence from one seed. */
export function randomForTest(label: string, say: (message: string) => void): Random {
  const given = process.env["CAIRN_SEED"];
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
  if (!Number.isSafeInteger(seed)) throw new Error(`CAIRN_SEED is not a whole number: ${String(given)}`);
  say(`CAIRN_SEED=${seed}`);
  let mixed = seed;
  for (const character of label) mixed = (Math.imul(mixed, 31) + character.charCodeAt(0)) >>> 0;
  return seededRandom(mixed);
}

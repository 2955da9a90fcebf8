/**
 * Pids and tids of the image, and what they are in the restarted job: the same, or, where the job is to take what the system gives
 * (`--new-pids`), others. What the kernel is told goes through here; what a program remembers of numbers by itself is not changed.
 */
export class Numbers {
  readonly areNew: boolean;
  readonly #given = new Map<number, number>();

  constructor(areNew: boolean) {
    this.areNew = areNew;
  }

  /** For clone3: the number that a process or thread is to have, null for any. */
  wanted(number: number): number | null {
    return this.areNew ? null : number;
  }

  note(number: number, given: number): void {
    this.#given.set(number, given);
  }

  /** Numbers from outside the job, 0 among them, stay what they are. */
  of(number: number): number {
    return this.#given.get(number) ?? number;
  }

  /** What the user is told, of processes alone. */
  describe(pids: readonly number[]): string {
    const shown = pids.slice(0, MOST_SHOWN).map((pid) => `${pid} is ${this.of(pid)} now`);
    return shown.join(", ") + (pids.length > shown.length ? `, and ${pids.length - shown.length} more` : "");
  }
}

const MOST_SHOWN = 5;

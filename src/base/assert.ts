/** A programmer's error: always on, never caught below the command line's last resort. */
export class AssertionError extends Error {
  constructor(message: string) {
    super(`Internal error: ${message}`);
    this.name = "AssertionError";
  }
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

export function assertNever(value: never): never {
  throw new AssertionError(`unexpected value ${JSON.stringify(value)}`);
}

/**
 * Every byte that Cairn shows goes through here, by plain write(2).
 *
 * Invariant: nothing touches process.stdout, process.stderr or process.stdin. The job shares those open file
 * descriptions with us, and libuv would make them non-blocking under the job's feet.
 */
import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { styleText } from "node:util";

type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

const STDOUT = 1;
const STDERR = 2;
/** A reader of a non-blocking pipe that takes nothing for this long is taken for dead. */
const STALLED_MS = 10_000;
const RETRY_MS = 5;

const closed = new Set<number>();

export function printOut(text: string): void {
  write(STDOUT, text);
}

export function printError(text: string): void {
  write(STDERR, text);
}

export function printJson(value: unknown): void {
  write(STDOUT, `${JSON.stringify(value, undefined, 2)}\n`);
}

export function styleOut(style: Style, text: string): string {
  return wantsColour(STDOUT) ? styleText(style, text, { validateStream: false }) : text;
}

export function styleError(style: Style, text: string): string {
  return wantsColour(STDERR) ? styleText(style, text, { validateStream: false }) : text;
}

/** https://no-color.org: any value but the empty string. */
export function wantsColour(fd: number, environment: NodeJS.ProcessEnv = process.env): boolean {
  if (environment["NO_COLOR"] !== undefined && environment["NO_COLOR"] !== "") return false;
  return environment["TERM"] !== "dumb" && isatty(fd);
}

/** A reader who went away (`cairn ls | head -1`) ends our output, not our work. */
function write(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  let written = 0;
  let stalledMs = 0;
  while (written < bytes.length && !closed.has(fd)) {
    try {
      written += writeSync(fd, bytes, written);
      stalledMs = 0;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      // The job may have made the shared description non-blocking; then we wait as a blocking write would.
      if (code === "EAGAIN" && stalledMs < STALLED_MS) {
        sleep(RETRY_MS);
        stalledMs += RETRY_MS;
      } else if (code === "EPIPE" || code === "EIO" || code === "EBADF" || code === "EAGAIN") {
        closed.add(fd);
      } else {
        throw error;
      }
    }
  }
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

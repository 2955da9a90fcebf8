/** Runs one of our own programs apart, for tests that kill it, change its umask or wait beside it. */
import { spawn } from "node:child_process";

export interface ChildOutcome {
  /** null when a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly errors: string;
}

export async function runChild(
  program: string,
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  /** A command that starts Node, such as `unshare` with its options. */
  wrapper: readonly string[] = [],
): Promise<ChildOutcome> {
  const [command = process.execPath, ...rest] = [...wrapper, process.execPath, program, ...argv];
  const child = spawn(command, rest, { env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "pipe"] });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on("data", (part: Buffer) => output.push(part));
  child.stderr.on("data", (part: Buffer) => errors.push(part));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, signal) => {
      resolve({ status, signal, output: Buffer.concat(output).toString(), errors: Buffer.concat(errors).toString() });
    });
  });
}

/**
 * A short-lived process of our own that the checks try their hands on: started like a job, stopped like one for a checkpoint, and
 * made to do system calls. Only here may a check ask for a namespace: what is tried in it ends with it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CairnError } from "../../base/errors.ts";
import type { Pid } from "../../base/ids.ts";
import { readMaps } from "../../kernel/procfs/mod.ts";
import { freeze } from "../../tracee/freeze.ts";
import type { FrozenTree } from "../../tracee/freeze.ts";
import { launchUnderKeeper } from "../../tracee/mod.ts";
import { RemoteSyscalls } from "../../tracee/remote-syscalls.ts";
import { resolveCommand } from "../resolve-command.ts";

/** Should we be killed before we end it, it ends by itself. */
const PROGRAM = ["sleep", "60"] as const;

export interface FrozenHelper extends Disposable {
  readonly pid: Pid;
  /** A descriptor that it has open. */
  readonly openFd: number;
  /** A system call in it: its result, or a negated errno. */
  call(number: number, ...args: bigint[]): bigint;
}

/** The helper, stopped; or why it could not be started or stopped. */
export function tryHelper(): FrozenHelper | Error {
  const folder = mkdtempSync(join(tmpdir(), "cairn-doctor-"));
  let pid: Pid | undefined;
  try {
    pid = launch(join(folder, "records"));
    return new Helper(pid);
  } catch (error) {
    if (pid !== undefined) process.kill(pid, "SIGKILL");
    return error instanceof Error ? error : new Error(String(error));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function launch(recordPath: string): Pid {
  const found = resolveCommand(PROGRAM[0], "/usr/bin:/bin", "/");
  if (found.kind !== "found") throw new CairnError("not-found", `There is no program "${PROGRAM[0]}" to try tracing on`);
  return launchUnderKeeper({
    path: found.path,
    argv: PROGRAM,
    environment: [],
    recordPath,
    ignoredSignals: 0n,
    descriptors: [2],
    detached: true,
  }).rootPid;
}

class Helper implements FrozenHelper {
  readonly pid: Pid;
  readonly openFd = 2;
  readonly #tree: FrozenTree;
  #calls: RemoteSyscalls | undefined;

  constructor(pid: Pid) {
    this.pid = pid;
    this.#tree = freeze({ list: () => [pid] });
  }

  call(number: number, ...args: bigint[]): bigint {
    this.#calls ??= this.#openCalls();
    return this.#calls.call(number, ...args);
  }

  #openCalls(): RemoteSyscalls {
    const threads = this.#tree.processes.find((process) => process.pid === this.pid)?.threads ?? [];
    const executable = (readMaps(this.pid) ?? [])
      .filter((entry) => entry.permissions.startsWith("r-x") && entry.special !== "vsyscall")
      .map((entry) => ({ start: entry.start, end: entry.end, isVdso: entry.special === "vdso" }));
    return new RemoteSyscalls(this.pid, threads, executable);
  }

  /** It is killed where it stands: whatever was done to it ends here. */
  [Symbol.dispose](): void {
    this.#tree.kill();
  }
}

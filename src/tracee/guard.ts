/**
 * The guard: a process that stands by while something of the job is not as the job left it, the bytes of a terminal or the setting of a socket,
 * and puts it back should `cairn` be killed meanwhile. It waits for the end of a pipe that only we hold open, and is killed when all is done.
 */
import { closeSync, writeSync } from "node:fs";
import type { Fd, Pid } from "../base/ids.ts";
import { asTid } from "../base/ids.ts";
import { closeOnExecPipe, executableInMemory, spawnProgram } from "../kernel/spawn-ffi.ts";
import { tryReap } from "./patience.ts";
import { guardProgram } from "./x86-64/guard-program.ts";
import type { GuardCall, Holding } from "./x86-64/guard-program.ts";

export type { GuardCall, Holding } from "./x86-64/guard-program.ts";

export class Guard implements Disposable {
  readonly pid: Pid;
  readonly #held: Fd;
  #over = false;

  /** Starts a guard that has `descriptors` under our numbers. Throws a SyscallError. */
  constructor(descriptors: readonly Fd[], calls: readonly GuardCall[], holding?: Holding) {
    const { readEnd, writeEnd } = closeOnExecPipe();
    let program: Fd | undefined;
    try {
      program = executableInMemory("cairn-guard", guardProgram(readEnd, calls, holding));
      this.pid = spawnProgram({
        program,
        arguments: [Buffer.from("cairn-guard")],
        environment: [],
        // A descriptor duplicated onto itself loses its close-on-exec mark in the child alone.
        descriptors: [readEnd, ...descriptors].map((fd) => ({ from: fd, to: fd })),
      });
    } catch (error) {
      closeSync(writeEnd);
      throw error;
    } finally {
      closeSync(readEnd);
      if (program !== undefined) closeSync(program);
    }
    this.#held = writeEnd;
  }

  /** Lets the guard do its work: there is something that could not be put back. It may outlive us. */
  letWork(): void {
    if (this.#over) return;
    this.#over = true;
    closeSync(this.#held);
  }

  /** Lets the guard hold on to its descriptors. It outlives us. Precondition: it was told how. */
  letHold(): void {
    if (this.#over) return;
    this.#over = true;
    writeSync(this.#held, Buffer.of(1));
    closeSync(this.#held);
  }

  /** All is in its place: the guard ends without having done anything. */
  [Symbol.dispose](): void {
    if (this.#over) return;
    this.#over = true;
    process.kill(this.pid, "SIGKILL");
    tryReap(asTid(this.pid));
    closeSync(this.#held);
  }
}

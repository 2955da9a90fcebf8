/**
 * Restore turns an image back into a living process tree. A `RestoreRequest` says from what and under which rules;
 * a `RestoredJob` is complete but not yet running: `release` lets it go, `kill` leaves nothing behind.
 */
import type { Fd } from "../base/ids.ts";
import type { ImageReader } from "../image/mod.ts";
import type { OwnedFd } from "../kernel/descriptors.ts";
import type { Keeper } from "../tracee/mod.ts";

export interface RestoreRequest {
  readonly reader: ImageReader;
  /** Output files: taken back to the checkpoint, left as they are, or a reason to refuse when they differ. */
  readonly files: "rewind" | "keep" | "fail";
  /** Where what is cut off from output files is kept (made when needed, 0700). */
  readonly asideDirectory: string;
  /** `host`: the same pids here or fail; `namespace`: in a pid namespace; `auto`: here if they are free and we may; `new`: others. */
  readonly pids: "auto" | "host" | "namespace" | "new";
  /** `job`: the monotonic clocks go on from where they were, where that is allowed; `host`: they are the system's. */
  readonly clock: "job" | "host";
  /** TCP connections that lead out of the job: found reset by the program, kept, or a reason to refuse. */
  readonly tcp: "reset" | "keep" | "fail";
  /** Such connections that were held for this restart; null when none were. */
  readonly held: HeldForRestart | null;
  /** A restart from this checkpoint has gone on with its connections before: also those that were held are not any more what the image says. */
  readonly takenUp: boolean;
  /** What the terminal, and pipes that led out of the tree, are bound to: the restarter's stdin, stdout, stderr. */
  readonly standardStreams: readonly [Fd, Fd, Fd];
  /** In a session of its own, without a controlling terminal. */
  readonly detached: boolean;
  /** File to which the keeper appends its records (see tracee/keeper.ts). */
  readonly recordPath: string;
}

export interface HeldForRestart {
  /** By id in the image. */
  readonly openFiles: ReadonlySet<number>;
  /** A duplicate, the caller's to close. */
  take(openFile: number): OwnedFd;
  /** What nobody has taken is reset. */
  end(): void;
}

export interface RestoredJob {
  readonly keeper: Keeper;
  /** What differs from the checkpoint, in words: a file that grew, another kernel, bytes kept aside. */
  readonly warnings: readonly string[];
  release(): void;
  kill(): void;
}

export { restoreTree } from "./restore.ts";

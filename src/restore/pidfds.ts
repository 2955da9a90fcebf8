/**
 * Pidfds: opened by the restarter once the tree is made, for a pidfd is of a process and not of a number, and handed to all who have
 * it. One of a process that was reaped becomes one of a helper that ends the same way and is reaped at once.
 */
import { SyscallError } from "../base/errors.ts";
import type { Fd, Pid, Tid } from "../base/ids.ts";
import type { ImageMetadata, LiveProcessImage, OpenFile } from "../image/mod.ts";
import { F_SETFL, O_APPEND, O_EXCL, O_NOATIME, O_NONBLOCK } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { tryControl } from "../kernel/descriptors.ts";
import { errnoName } from "../kernel/errno.ts";
import { systemCall } from "../kernel/syscall-ffi.ts";
import type { Puppet } from "../tracee/puppet.ts";
import { HandOver } from "./hand-over.ts";
import type { PassedOn } from "./pass-on.ts";

/** A process of any number, made to end. */
export interface Helper {
  readonly pid: Pid;
  /** Ends with this wait status, and is reaped. */
  end(exitStatus: number): void;
}

type PidfdFile = Extract<OpenFile, { kind: "pidfd" }>;

/** pidfd_open's PIDFD_THREAD is O_EXCL, PIDFD_NONBLOCK is O_NONBLOCK. */
const OPENING_FLAGS = O_EXCL | O_NONBLOCK;
const SETTABLE = O_APPEND | O_NONBLOCK | O_NOATIME;

export class Pidfds {
  readonly #files: readonly PidfdFile[];
  readonly #passed: PassedOn;
  readonly #handOver: HandOver | null;
  readonly #opened = new Map<number, Fd>();

  /** Precondition: the first puppet does not exist yet. */
  constructor(metadata: ImageMetadata, passed: PassedOn) {
    this.#files = metadata.openFiles.filter((file) => file.kind === "pidfd");
    this.#passed = passed;
    this.#handOver = this.#files.length === 0 ? null : new HandOver(passed);
  }

  /** Precondition: processes that are to be zombies have not ended yet; every thread is there. `makeHelper` makes a process of any pid. */
  open(tids: ReadonlyMap<number, Pid | Tid>, makeHelper: () => Helper): void {
    const endedHelpers = new Map<number, PidfdFile[]>();
    for (const file of this.#files) {
      const tid = tids.get(file.pid);
      if (tid !== undefined) this.#open(file, tid);
      else {
        const process = file.ended?.process ?? -1;
        endedHelpers.set(process, [...(endedHelpers.get(process) ?? []), file]);
      }
    }
    for (const files of endedHelpers.values()) {
      const helper = makeHelper();
      for (const file of files) this.#open(file, helper.pid);
      helper.end(files[0]?.ended?.exitStatus ?? 0);
    }
  }

  #open(file: PidfdFile, tid: Pid | Tid): void {
    const result = systemCall(SYSCALLS.pidfd_open, tid, file.flags & OPENING_FLAGS);
    if (result < 0) throw new SyscallError("pidfd_open", -result, errnoName(-result), { arguments: `${tid}` });
    const fd = this.#passed.keep(result as Fd);
    tryControl(fd, F_SETFL, file.flags & SETTABLE);
    this.#opened.set(file.id, fd);
  }

  /** Gives the process those that it has; their numbers in it. `next` and what follows must be free. */
  give(puppet: Puppet, live: LiveProcessImage, next: number): Map<number, number> {
    const numbers = new Map<number, number>();
    const wanted = new Set(live.descriptors.map(({ openFile }) => openFile));
    for (const { id } of this.#files) {
      const fd = this.#opened.get(id);
      if (!wanted.has(id) || fd === undefined || this.#handOver === null) continue;
      this.#handOver.give(puppet, fd, next + numbers.size);
      numbers.set(id, next + numbers.size);
    }
    return numbers;
  }
}

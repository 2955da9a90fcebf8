/**
 * One base class for what can go wrong in the world. A message is a sentence that says what happened to what;
 * the hint says what to do next. Programmer errors are assertions, the death of a tracee is a value.
 */
import type { Pid } from "./ids.ts";

export type ErrorCode =
  | "usage" // the command line is wrong
  | "not-found" // no such job, checkpoint, process
  | "conflict" // the name is taken, another checkpoint runs
  | "unsupported" // refused before the job was disturbed
  | "damaged" // an image or the store fails its checks
  | "incompatible" // an image of another format, architecture, processor
  | "changed" // a file or the machine differs from what the checkpoint saw
  | "permission" // the system does not let this user do it
  | "syscall" // a system call failed and nothing above knew better
  | "exited" // the process ended meanwhile
  | "interrupted" // the user asked to stop
  | "io"; // disk full, cannot read, cannot write

export interface CairnErrorOptions {
  readonly data?: Readonly<Record<string, unknown>>;
  readonly hint?: string;
  readonly cause?: unknown;
}

export class CairnError extends Error {
  readonly code: ErrorCode;
  readonly data: Readonly<Record<string, unknown>>;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: CairnErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CairnError";
    this.code = code;
    this.data = options.data ?? {};
    this.hint = options.hint;
  }
}

/** A failed system call: which, on which process, with what, and the errno's name. */
export class SyscallError extends CairnError {
  readonly call: string;
  readonly errnoName: string;
  readonly errno: number;

  constructor(call: string, errno: number, errnoName: string, details: { pid?: Pid; arguments?: string; cause?: unknown } = {}) {
    const where = details.pid === undefined ? "" : ` on process ${details.pid}`;
    const what = details.arguments === undefined ? "" : `(${details.arguments})`;
    super(errnoName === "EPERM" || errnoName === "EACCES" ? "permission" : "syscall", `${call}${what} failed${where}: ${errnoName}`, {
      data: { call, errno, errnoName, ...(details.pid === undefined ? {} : { pid: details.pid }) },
      cause: details.cause,
    });
    this.name = "SyscallError";
    this.call = call;
    this.errno = errno;
    this.errnoName = errnoName;
  }
}

/**
 * The keeper: a process of one page of machine code that stands between `cairn` and a job. It starts the job (or is
 * what a restart hangs the job under), takes in its orphans, and outlives whoever runs `cairn`; how the job ended
 * stays written in its record file.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { Socket } from "node:net";
import { CairnError } from "../base/errors.ts";
import type { Fd, Pid } from "../base/ids.ts";
import { asFd, asPid } from "../base/ids.ts";
import { closeOnExecPipe, executableInMemory, spawnProgram } from "../kernel/spawn-ffi.ts";
import { readLimits } from "../kernel/procfs/mod.ts";
import { errnoName } from "../kernel/errno.ts";
import { RECORD, RECORD_BYTES, keeperProgram } from "./x86-64/keeper-program.ts";

/** Where the keeper stands: free in nearly every program, and no job shares its address space. */
const KEEPER_ADDRESS = 0x10000n;
const KEEPER_BYTES = 4096;
const RLIMIT_NOFILE = 7;
const ENOENT = 2;
const EACCES = 13;

export interface LaunchRequest {
  /** Absolute path of the executable. */
  readonly path: string;
  readonly argv: readonly (string | Uint8Array)[];
  /** `NAME=value` each. */
  readonly environment: readonly (string | Uint8Array)[];
  /** File to which the keeper appends its records. */
  readonly recordPath: string;
  /** Bit n-1 stands for signal n: the job starts with it ignored. */
  readonly ignoredSignals: bigint;
  /** The job's soft limit of open files, where it differs from ours. */
  readonly openFilesSoftLimit?: number;
  /** Descriptors of ours that the job gets under their numbers, where they are open; standard input, output and error if not given. */
  readonly descriptors?: readonly number[];
  /** In a session of its own. */
  readonly detached: boolean;
}

export interface Keeper {
  readonly keeperPid: Pid;
  readonly rootPid: Pid;
  /** The reading end of the pipe of records; null when nobody listens. */
  readonly eventPipe: Fd | null;
}

/** Opens the record file for appending, 0600. */
export function openRecordFile(path: string): Fd {
  return asFd(openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND, 0o600));
}

/**
 * Starts a job under a keeper. Throws a CairnError `not-found` or `permission` when the program can't be executed;
 * then nothing is left running.
 */
export function launchUnderKeeper(request: LaunchRequest): Keeper {
  const recordFd = openRecordFile(request.recordPath);
  const { readEnd, writeEnd } = closeOnExecPipe();
  let program: Fd | undefined;
  try {
    const limit = openFilesLimit(request.openFilesSoftLimit);
    const { image } = keeperProgram({
      baseAddress: KEEPER_ADDRESS,
      lengthBytes: KEEPER_BYTES,
      recordFd,
      pipeFd: writeEnd,
      mode: { kind: "launch", newSession: request.detached, ignoredSignals: request.ignoredSignals, openFilesLimit: limit },
    });
    program = executableInMemory("cairn-keeper", image);
    const keeperPid = spawnProgram({
      program,
      arguments: ["cairn-keeper", request.path, ...request.argv].map(asBytes),
      environment: request.environment.map(asBytes),
      // A descriptor duplicated onto itself loses its close-on-exec mark in the child alone.
      // Node marks even 0, 1 and 2.
      descriptors: [
        ...(request.descriptors ?? [0, 1, 2]).filter(isOpen).map((fd) => ({ from: fd, to: fd })),
        { from: recordFd, to: recordFd },
        { from: writeEnd, to: writeEnd },
      ],
    });
    closeSync(writeEnd);
    const first = Buffer.alloc(RECORD_BYTES);
    const count = readSync(readEnd, first, 0, RECORD_BYTES, null);
    if (count !== RECORD_BYTES || first.readUInt32LE(0) !== RECORD.started) {
      closeSync(readEnd);
      throw launchFailure(request.path, count === RECORD_BYTES ? first.readUInt32LE(8) : 0);
    }
    return { keeperPid, rootPid: asPid(first.readUInt32LE(4)), eventPipe: readEnd };
  } finally {
    closeSync(recordFd);
    if (program !== undefined) closeSync(program);
  }
}

function asBytes(text: string | Uint8Array): Uint8Array {
  return typeof text === "string" ? Buffer.from(text) : text;
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

function openFilesLimit(soft: number | undefined): { soft: bigint; hard: bigint } | null {
  if (soft === undefined) return null;
  const own = readLimits(asPid(process.pid))?.find((limit) => limit.resource === RLIMIT_NOFILE);
  const hard = own === undefined || own.hard === "unlimited" ? BigInt(soft) : own.hard;
  return { soft: BigInt(soft) < hard ? BigInt(soft) : hard, hard };
}

function launchFailure(path: string, errno: number): CairnError {
  const name = errno === 0 ? "no answer" : errnoName(errno);
  if (errno === ENOENT)
    return new CairnError("not-found", `Cannot run "${path}": no such file, or its interpreter is missing`, { data: { path, errno } });
  return new CairnError(errno === EACCES ? "permission" : "io", `Cannot run "${path}": ${name}`, {
    data: { path, errno },
    ...(errno === EACCES ? { hint: "Make it executable: chmod +x" } : {}),
  });
}

export interface KeeperEvents {
  onExit(waitStatus: number): void;
  onStop(signal: number): void;
  onContinue(): void;
}

/** Tells of the root's stops and its end as they happen. Precondition: `keeper.eventPipe` is not null and read by nobody else. */
export function watchKeeper(keeper: Keeper, events: KeeperEvents): Disposable {
  if (keeper.eventPipe === null) throw new CairnError("usage", "The keeper's records are read by nobody here");
  const socket = new Socket({ fd: keeper.eventPipe, readable: true, writable: false });
  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= RECORD_BYTES) {
      tell(rest, events);
      rest = rest.subarray(RECORD_BYTES);
    }
  });
  // The keeper was killed: the end of the pipe says so, and whoever supervises asks /proc.
  socket.on("error", () => socket.destroy());
  return { [Symbol.dispose]: () => socket.destroy() };
}

function tell(record: Buffer, events: KeeperEvents): void {
  const status = record.readUInt32LE(8);
  switch (record.readUInt32LE(0)) {
    case RECORD.exited:
      return events.onExit(status);
    case RECORD.stopped:
      return events.onStop((status >> 8) & 0xff);
    case RECORD.continued:
      return events.onContinue();
    default:
  }
}

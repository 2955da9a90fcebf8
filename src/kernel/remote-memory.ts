/**
 * A tracee's memory, from outside: process_vm_readv(2) and process_vm_writev(2) as its own protections allow, and
 * /proc/PID/mem, which ptrace lets write through read-only protection (into a private copy of the page).
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import type { Pid, RemoteAddress } from "../base/ids.ts";
import { SyscallError } from "../base/errors.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { countStep, systemCall } from "./syscall-ffi.ts";

const ESRCH = 3;

export class ProcessGone extends Error {
  readonly pid: Pid;
  constructor(pid: Pid) {
    super(`process ${pid} has ended`);
    this.name = "ProcessGone";
    this.pid = pid;
  }
}

const localVector = Buffer.alloc(64);
const remoteVector = Buffer.alloc(64);
const localVectorAddress = addressOf(localVector);
const remoteVectorAddress = addressOf(remoteVector);

function transfer(call: number, name: string, pid: Pid, address: bigint, local: bigint, lengthBytes: number): number {
  localVector.writeBigUInt64LE(local, 0);
  localVector.writeBigUInt64LE(BigInt(lengthBytes), 8);
  remoteVector.writeBigUInt64LE(address, 0);
  remoteVector.writeBigUInt64LE(BigInt(lengthBytes), 8);
  countStep("memory");
  const result = systemCall(call, pid, localVectorAddress, 1, remoteVectorAddress, 1, 0);
  if (result >= 0) return result;
  if (result === -ESRCH) throw new ProcessGone(pid);
  throw new SyscallError(name, -result, errnoName(-result), {
    pid,
    arguments: `0x${address.toString(16)}, ${lengthBytes} bytes`,
  });
}

/**
 * Reads from `address` on into `into`; returns the bytes read, fewer than asked for when a page in between can't be
 * read. Throws a SyscallError (EFAULT) when the first can't, ProcessGone when the process has ended.
 */
export function readRemote(pid: Pid, address: RemoteAddress, into: Uint8Array): number {
  return transfer(SYSCALLS.process_vm_readv, "process_vm_readv", pid, address, addressOf(into), into.length);
}

/** Reads exactly `lengthBytes`. */
export function readRemoteExactly(pid: Pid, address: RemoteAddress, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes);
  if (lengthBytes === 0) return bytes;
  const count = readRemote(pid, address, bytes);
  if (count !== lengthBytes) {
    throw new SyscallError("process_vm_readv", 14, "EFAULT", { pid, arguments: `0x${address.toString(16)}, ${lengthBytes} bytes` });
  }
  return bytes;
}

/** Writes all of `bytes`; the pages must be writable. */
export function writeRemote(pid: Pid, address: RemoteAddress, bytes: Uint8Array): void {
  const count = transfer(SYSCALLS.process_vm_writev, "process_vm_writev", pid, address, addressOf(bytes), bytes.length);
  if (count !== bytes.length) {
    throw new SyscallError("process_vm_writev", 14, "EFAULT", { pid, arguments: `0x${address.toString(16)}, ${bytes.length} bytes` });
  }
}

/** /proc/PID/mem held open: reads and writes whatever the protection. Precondition for writing: the process is traced by us. */
export class RemoteMemoryFile implements Disposable {
  readonly pid: Pid;
  readonly #fd: number;

  constructor(pid: Pid) {
    this.pid = pid;
    this.#fd = openSync(`/proc/${pid}/mem`, "r+");
  }

  write(address: RemoteAddress, bytes: Uint8Array): void {
    countStep("memory");
    const count = writeSync(this.#fd, bytes, 0, bytes.length, Number(address));
    if (count !== bytes.length) throw new SyscallError("pwrite(/proc/PID/mem)", 5, "EIO", { pid: this.pid });
  }

  read(address: RemoteAddress, lengthBytes: number): Buffer {
    const bytes = Buffer.alloc(lengthBytes);
    return bytes.subarray(0, this.readInto(address, bytes));
  }

  /** The bytes read; 0 when the first page is not there. */
  readInto(address: RemoteAddress, into: Uint8Array): number {
    try {
      return readSync(this.#fd, into, 0, into.length, Number(address));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EIO") return 0;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

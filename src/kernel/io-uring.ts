/** io_uring(7): making a ring, looking at one without changing it, and its memory as this process maps it. */
import { SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { asPid, asRemoteAddress } from "../base/ids.ts";
import {
  COMPLETION_BYTES,
  IORING_REGISTER_EVENTFD,
  IORING_REGISTER_PBUF_STATUS,
  IORING_SETUP_CQSIZE,
  IO_URING_PARAMETERS,
  SUBMISSION_BYTES,
} from "./abi/io-uring.ts";
import { MAP_SHARED, PROT_READ, PROT_WRITE } from "./abi/memory.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { readRemote, writeRemote } from "./remote-memory.ts";
import { systemCall } from "./syscall-ffi.ts";

const PAGE_BYTES = 4096;
const FIELDS = IO_URING_PARAMETERS.at;
/** An address that no process has: the kernel looks at it last, so the error tells what it looked at before. */
const NOWHERE = 8;

export interface RingSize {
  readonly submissionEntries: number;
  readonly completionEntries: number;
}

/** Where things lie in a ring's memory: the same for every ring of this size on this kernel. */
export interface RingLayout {
  /** The kernel's struct io_sqring_offsets and struct io_cqring_offsets. */
  readonly offsets: Buffer;
  readonly submissionTail: number;
  readonly completionHead: number;
  readonly completionTail: number;
  readonly answers: number;
  readonly indexArray: number;
  /** Of both rings together: IORING_OFF_SQ_RING. */
  readonly ringBytes: number;
  /** Of the requests: IORING_OFF_SQES. */
  readonly requestBytes: number;
}

/** A ring with an index array, without a polling thread. Throws a SyscallError. */
export function makeRing({ submissionEntries, completionEntries }: RingSize): { readonly fd: Fd; readonly layout: RingLayout } {
  const parameters = Buffer.alloc(IO_URING_PARAMETERS.bytes);
  parameters.writeUInt32LE(IORING_SETUP_CQSIZE, FIELDS.flags);
  parameters.writeUInt32LE(completionEntries, FIELDS.cq_entries);
  const fd = systemCall(SYSCALLS.io_uring_setup, submissionEntries, addressOf(parameters));
  if (fd < 0) throw new SyscallError("io_uring_setup", -fd, errnoName(-fd), { arguments: `${submissionEntries}` });
  const answers = parameters.readUInt32LE(FIELDS["cq_off.cqes"]);
  const indexArray = parameters.readUInt32LE(FIELDS["sq_off.array"]);
  return {
    fd: fd as Fd,
    layout: {
      offsets: parameters.subarray(FIELDS["sq_off.head"]),
      submissionTail: parameters.readUInt32LE(FIELDS["sq_off.tail"]),
      completionHead: parameters.readUInt32LE(FIELDS["cq_off.head"]),
      completionTail: parameters.readUInt32LE(FIELDS["cq_off.tail"]),
      answers,
      indexArray,
      ringBytes: wholePages(Math.max(indexArray + submissionEntries * 4, answers + completionEntries * COMPLETION_BYTES)),
      requestBytes: wholePages(submissionEntries * SUBMISSION_BYTES),
    },
  };
}

function wholePages(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
}

/** Submits `count` requests and does not wait: the number taken, or a negated errno. */
export function enterRing(fd: Fd, count: number): number {
  return systemCall(SYSCALLS.io_uring_enter, fd, count, 0, 0, 0, 0);
}

export type RingUse = "plain" | "disabled" | "restricted" | "single-issuer" | "eventfd" | "unknown";

/** The arguments of an io_uring_register(2) that changes nothing: its errno tells what `ringUseOf` says. */
export function useProbe(fd: number): readonly [bigint, bigint, bigint, bigint] {
  return [BigInt(fd), BigInt(IORING_REGISTER_EVENTFD), BigInt(NOWHERE), 1n];
}

/** What the errno of `useProbe` says of a ring; the kernel checks in this order. */
export function ringUseOf(result: number): RingUse {
  switch (errnoName(-result)) {
    case "EEXIST":
      return "single-issuer";
    case "EACCES":
      return "restricted";
    case "EBUSY":
      return "eventfd";
    case "EFAULT":
      return "plain";
    default:
      return "unknown";
  }
}

/** How a ring may be used, as far as the kernel tells others than its maker. Changes nothing. */
export function probeRing(fd: Fd): RingUse {
  if (errnoName(-enterRing(fd, 0)) === "EBADFD") return "disabled";
  return ringUseOf(systemCall(SYSCALLS.io_uring_register, ...useProbe(fd)));
}

/** Whether buffers are provided to the ring under one of the first `groups` numbers; false before Linux 6.8, which does not tell. */
export function hasProvidedBuffers(fd: Fd, groups: number): boolean {
  // EINVAL: the group's buffers were provided one by one. Every group would give it on a kernel that does not know the question.
  if (askForBuffers(fd, groups) !== "ENOENT") return false;
  for (let group = 0; group < groups; group += 1) if (askForBuffers(fd, group) !== "ENOENT") return true;
  return false;
}

function askForBuffers(fd: Fd, group: number): string {
  // struct io_uring_buf_status: the group first, the rest is filled in or has to be zero.
  const status = Buffer.alloc(64);
  status.writeUInt32LE(group, 0);
  const result = systemCall(SYSCALLS.io_uring_register, fd, IORING_REGISTER_PBUF_STATUS, addressOf(status), 1);
  return result < 0 ? errnoName(-result) : "";
}

/** A ring's memory, mapped into this process as long as the scope lasts. */
export class RingMemory implements Disposable {
  readonly #address: number;
  readonly #lengthBytes: number;

  /** Throws a SyscallError: EINVAL for a ring that lies in memory of the program's own (IORING_SETUP_NO_MMAP). */
  constructor(fd: Fd, offsetBytes: number, lengthBytes: number) {
    const address = systemCall(SYSCALLS.mmap, 0, lengthBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offsetBytes);
    if (address < 0) throw new SyscallError("mmap", -address, errnoName(-address), { arguments: "of an io_uring" });
    this.#address = address;
    this.#lengthBytes = lengthBytes;
  }

  /** All of it; shorter when the ring has less memory than was asked for. */
  read(): Buffer {
    const bytes = Buffer.alloc(this.#lengthBytes);
    return bytes.subarray(0, readRemote(asPid(process.pid), asRemoteAddress(BigInt(this.#address)), bytes));
  }

  readWord(offsetBytes: number): number {
    readRemote(asPid(process.pid), asRemoteAddress(BigInt(this.#address + offsetBytes)), word);
    return word.readUInt32LE(0);
  }

  write(bytes: Uint8Array, offsetBytes = 0): void {
    writeRemote(asPid(process.pid), asRemoteAddress(BigInt(this.#address + offsetBytes)), bytes);
  }

  writeWord(offsetBytes: number, value: number): void {
    word.writeUInt32LE(value, 0);
    this.write(word, offsetBytes);
  }

  [Symbol.dispose](): void {
    systemCall(SYSCALLS.munmap, this.#address, this.#lengthBytes);
  }
}

/** Part of a longer buffer, for only long buffers keep their address. */
const word = Buffer.alloc(64).subarray(0, 4);

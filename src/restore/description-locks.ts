/** Locks and leases that belong to an open file description: F_OFD_SETLK and F_SETLEASE of fcntl(2). */
import { CairnError, SyscallError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { nameToText } from "../base/names.ts";
import type { ImageMetadata, LiveProcessImage, OpenFile } from "../image/mod.ts";
import { F_OFD_SETLK, F_RDLCK, F_SETLEASE, F_WRLCK } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { tryControl } from "../kernel/descriptors.ts";
import { addressOf } from "../kernel/memory-ffi.ts";
import { purposed } from "../tracee/puppet.ts";
import type { Puppet } from "../tracee/puppet.ts";

function textOf(file: OpenFile): string {
  return "name" in file ? nameToText(file.name) : `a ${file.kind}`;
}

/** By any process that has the description: nobody owns such a lock. */
export function restoreOfdLocks(fd: Fd, file: OpenFile): void {
  for (const lock of file.ofdLocks ?? []) {
    const record = Buffer.alloc(64);
    // struct flock: type, whence (s16), start, length (s64), pid.
    record.writeInt16LE(lock.exclusive ? F_WRLCK : F_RDLCK, 0);
    record.writeBigInt64LE(BigInt(lock.startBytes), 8);
    record.writeBigInt64LE(BigInt(lock.lengthBytes), 16);
    if (tryControl(fd, F_OFD_SETLK, addressOf(record)) >= 0) continue;
    throw new CairnError("conflict", `Cannot restart: ${textOf(file)} is locked by another process`, {
      hint: "End the program that holds the lock (`lslocks` names it) and try again",
    });
  }
}

interface Holder {
  readonly puppet: Puppet;
  readonly live: LiveProcessImage;
  readonly image: { readonly pid: number };
}

/**
 * By the process that is told when a lease is to be given up, through its own descriptor: the signal names that. Precondition: files
 * are taken back, which would break a lease; owners of descriptions are set.
 */
export function restoreLeases(processes: readonly Holder[], metadata: ImageMetadata): void {
  for (const file of metadata.openFiles) {
    if (file.lease === undefined) continue;
    const { exclusive, pid } = file.lease;
    const has = ({ live }: Holder): boolean => live.descriptors.some(({ openFile }) => openFile === file.id);
    const holder = processes.find((one) => one.image.pid === pid && has(one)) ?? processes.find(has);
    const fd = holder?.live.descriptors.find(({ openFile }) => openFile === file.id)?.fd;
    if (holder === undefined || fd === undefined) continue;
    try {
      const type = BigInt(exclusive ? F_WRLCK : F_RDLCK);
      holder.puppet.run([purposed(`taking a lease on ${textOf(file)}`, SYSCALLS.fcntl, BigInt(fd), BigInt(F_SETLEASE), type)]);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      throw new CairnError("conflict", `Cannot restart: the job's lease on ${textOf(file)} cannot be taken again: ${error.errnoName}`, {
        hint: "End the programs that have the file open (`fuser` names them) and try again",
        cause: error,
      });
    }
  }
}

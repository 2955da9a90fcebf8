/** Each process's own table of descriptors, out of what all puppets have in common. */
import type { ImageMetadata, LiveProcessImage } from "../image/mod.ts";
import { EPOLL_CTL_ADD, F_OWNER_PGRP, F_SETFL, F_SETLK, F_SETOWN_EX, F_SETSIG, O_ACCMODE, O_WRONLY } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { call, purposed, tolerant } from "../tracee/puppet.ts";
import type { Call, Puppet } from "../tracee/puppet.ts";
import { nameToBuffer, nameToText } from "../base/names.ts";
import type { Numbers } from "./numbers.ts";
import type { PassedOn } from "./pass-on.ts";
import { O_ASYNC } from "./open-files.ts";
import { addSpentWatch, isSpent, watchRecord } from "./spent-watches.ts";
import type { RestoredFiles } from "./open-files.ts";
import { CairnError, SyscallError } from "../base/errors.ts";

const O_CLOEXEC = 0o2000000n;
const AT_FDCWD = -100n;
const SEEK_SET = 0n;
const LARGEST_FD = 0xffff_ffffn;

/**
 * Files of /proc show the namespace of their reader, and may be of the job's own processes and threads: each process opens its own,
 * once all are there. (Processes that shared such an open file have one each now.)
 */
export function openInside(puppet: Puppet, live: LiveProcessImage, files: RestoredFiles, passed: PassedOn): Map<number, number> {
  const numbers = new Map<number, number>();
  let next = passed.base + passed.count;
  for (const file of files.openInside) {
    if (!live.descriptors.some((one) => one.openFile === file.id)) continue;
    const data = puppet.data();
    const path = data.put(Buffer.concat([nameToBuffer(file.name), Buffer.of(0)]));
    let fd: bigint | undefined;
    try {
      [fd] = puppet.run([purposed(`opening ${nameToText(file.name)}`, SYSCALLS.openat, AT_FDCWD, path, BigInt(file.flags), 0n)], data);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      throw new CairnError(
        "changed",
        `Cannot restart: ${nameToText(file.name)}, which the job has open, cannot be opened: ${error.errnoName}`,
        {
          data: { path: nameToText(file.name) },
          hint: "It is of a process outside the job, or of another machine's kernel, and cannot be opened here",
          cause: error,
        },
      );
    }
    puppet.run([call(SYSCALLS.dup3, fd as bigint, BigInt(next), 0n), call(SYSCALLS.close, fd as bigint)]);
    numbers.set(file.id, next);
    next += 1;
  }
  return numbers;
}

/**
 * Moving in a file of /proc reads it: names and the like have to be those of the job by then. Files that are not like that, and
 * directories, just take the position.
 */
export function seekInside(puppet: Puppet, live: LiveProcessImage, files: RestoredFiles): void {
  const calls = files.openInside.flatMap(({ id, positionBytes }) => {
    const fd = live.descriptors.find((one) => one.openFile === id)?.fd;
    if (fd === undefined || positionBytes === 0) return [];
    return [tolerant(SYSCALLS.lseek, BigInt(fd), BigInt(positionBytes), SEEK_SET)];
  });
  if (calls.length > 0) puppet.run(calls);
}

/** Precondition: memory is in place; nothing below needs the image or mapped files any more. */
export function restoreDescriptors(
  puppet: Puppet,
  live: LiveProcessImage,
  numbers: ReadonlyMap<number, number>,
  startingTerminals: RestoredFiles["startingTerminals"],
  base: number,
): void {
  const numberOf = (fd: number, openFile: number): number => startingTerminals.get(openFile)?.[fd] ?? numbers.get(openFile) ?? -1;
  const wanted = [...live.descriptors].sort((a, b) => a.fd - b.fd);
  const calls: Call[] = wanted.map(({ fd, openFile, closeOnExec }) =>
    purposed(`giving descriptor ${fd}`, SYSCALLS.dup3, BigInt(numberOf(fd, openFile)), BigInt(fd), closeOnExec ? O_CLOEXEC : 0n),
  );
  let free = 0;
  for (const { fd } of wanted) {
    if (fd > free) calls.push(call(SYSCALLS.close_range, BigInt(free), BigInt(fd - 1), 0n));
    free = fd + 1;
  }
  if (free < base) calls.push(call(SYSCALLS.close_range, BigInt(free), BigInt(base - 1), 0n));
  puppet.run(calls);
}

export function closePassedOn(base: number): Call {
  return call(SYSCALLS.close_range, BigInt(base), LARGEST_FD, 0n);
}

/**
 * Watches of epoll instances, by a process that has the instance. The kernel knows a watch by file and descriptor number;
 * a number that is closed by now, or open on something else, is lent to the watched file while the watch is added.
 * Precondition: the process has its own descriptors, and those passed on still.
 */
export function restoreEpolls(
  puppet: Puppet,
  live: LiveProcessImage,
  metadata: ImageMetadata,
  numbers: ReadonlyMap<number, number>,
  passed: PassedOn,
  done: Set<number>,
): void {
  const present = new Map(live.descriptors.map((one) => [one.fd, one]));
  const spare = BigInt(passed.base + passed.count + metadata.openFiles.length + 1);
  const data = puppet.data();
  const calls: Call[] = [];
  for (const { fd, openFile } of live.descriptors) {
    const file = metadata.openFiles[openFile];
    if (file?.kind !== "epoll" || done.has(openFile)) continue;
    done.add(openFile);
    for (const target of file.targets) {
      const number = BigInt(target.fd);
      const own = present.get(target.fd);
      const watched = BigInt(numbers.get(target.openFile) ?? -1);
      const [before, after]: [Call[], Call[]] = [[], []];
      if (own === undefined) {
        before.push(call(SYSCALLS.dup3, watched, number, 0n));
        after.push(call(SYSCALLS.close, number));
      } else if (own.openFile !== target.openFile) {
        before.push(call(SYSCALLS.dup3, number, spare, 0n), call(SYSCALLS.dup3, watched, number, 0n));
        after.push(call(SYSCALLS.dup3, spare, number, own.closeOnExec ? O_CLOEXEC : 0n), call(SYSCALLS.close, spare));
      }
      if (isSpent(target)) {
        // At once: each has to be the only one of its instance that can fire.
        puppet.run(before);
        addSpentWatch(puppet, fd, target, isReadingEnd(metadata.openFiles[target.openFile]));
        puppet.run(after);
        continue;
      }
      const purpose = `adding descriptor ${target.fd} to epoll ${fd}`;
      const add = purposed(purpose, SYSCALLS.epoll_ctl, BigInt(fd), BigInt(EPOLL_CTL_ADD), number, data.put(watchRecord(target)));
      calls.push(...before, add, ...after);
    }
  }
  puppet.run(calls, data);
}

function isReadingEnd(file: ImageMetadata["openFiles"][number] | undefined): boolean {
  return (file?.kind === "pipe" || file?.kind === "fifo") && (file.flags & O_ACCMODE) !== O_WRONLY;
}

const F_RDLCK = 0;
const F_WRLCK = 1;

/** POSIX record locks, and who gets the signals of a description. */
export function restoreLocksAndOwners(
  puppet: Puppet,
  live: LiveProcessImage,
  metadata: ImageMetadata,
  numbers: Numbers,
  owned: Set<number>,
): void {
  const data = puppet.data();
  const calls: Call[] = [];
  for (const lock of live.recordLocks) {
    // struct flock: type, whence (s16), start, length (s64), pid.
    const record = Buffer.alloc(32);
    record.writeInt16LE(lock.exclusive ? F_WRLCK : F_RDLCK, 0);
    record.writeBigInt64LE(BigInt(lock.startBytes), 8);
    record.writeBigInt64LE(BigInt(lock.lengthBytes), 16);
    calls.push(purposed(`locking through descriptor ${lock.fd}`, SYSCALLS.fcntl, BigInt(lock.fd), BigInt(F_SETLK), data.put(record)));
  }
  for (const { fd, openFile } of live.descriptors) {
    const file = metadata.openFiles[openFile];
    const owner = file?.owner;
    if (file === undefined || owner === undefined || owned.has(openFile)) continue;
    owned.add(openFile);
    const record = Buffer.alloc(8);
    record.writeInt32LE(owner.type, 0);
    record.writeInt32LE(numbers.of(owner.pid), 4);
    if (owner.type !== F_OWNER_PGRP || owner.pid !== 0)
      calls.push(tolerant(SYSCALLS.fcntl, BigInt(fd), BigInt(F_SETOWN_EX), data.put(record)));
    if (owner.signal !== 0) calls.push(tolerant(SYSCALLS.fcntl, BigInt(fd), BigInt(F_SETSIG), BigInt(owner.signal)));
    // By the process itself: the signal tells the number under which the descriptor was when it was set.
    if ((file.flags & O_ASYNC) !== 0) calls.push(tolerant(SYSCALLS.fcntl, BigInt(fd), BigInt(F_SETFL), BigInt(file.flags)));
  }
  puppet.run(calls, data);
}

/**
 * A watch with EPOLLONESHOT that has fired waits for nothing, not even for an error or the other end's closing. epoll_ctl can't make
 * such a watch: to whatever is asked for it adds those two. So it is made to fire here, while the instance has no other watch.
 */
import { EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLPRI, EPOLL_CTL_ADD, EPOLL_CTL_MOD, O_NONBLOCK, O_WRONLY } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { call, purposed, tolerant } from "../tracee/puppet.ts";
import type { Call, Puppet } from "../tracee/puppet.ts";

/** EPOLLEXCLUSIVE, EPOLLWAKEUP, EPOLLONESHOT, EPOLLET: how to watch. All below is what for. */
const HOW = 0xf000_0000;
const EVENT_BYTES = 12;
const AT_FDCWD = -100n;

export interface Watch {
  readonly fd: number;
  readonly events: number;
  readonly data: string;
}

export function isSpent({ events }: Watch): boolean {
  return (events & EPOLLONESHOT) !== 0 && (events & ~HOW) === 0;
}

export function watchRecord({ events, data }: Watch): Buffer {
  const record = Buffer.alloc(EVENT_BYTES);
  record.writeUInt32LE(events >>> 0, 0);
  record.writeBigUInt64LE(BigInt(data), 4);
  return record;
}

/**
 * Precondition: descriptor `target.fd` is open on the watched file, and no watch of the instance can fire. `pipeEnd`: whether that
 * file is the reading end of a pipe. What can't be made to fire (a full pipe's writing end) waits for an error all the same.
 */
export function addSpentWatch(puppet: Puppet, epoll: number, target: Watch, isPipeEnd: boolean): void {
  const { fd } = target;
  const watched = `adding descriptor ${fd} to epoll ${epoll}`;
  const data = puppet.data();
  const any = data.put(watchRecord({ ...target, events: target.events | EPOLLIN | EPOLLOUT | EPOLLPRI }));
  const spent = data.put(watchRecord(target));
  const room = data.put(Buffer.alloc(EVENT_BYTES));
  const path = data.put(Buffer.from(`/proc/self/fd/${fd}\0`));
  const fire: Call = call(SYSCALLS.epoll_wait, BigInt(epoll), room, 1n, 0n);
  const add = purposed(watched, SYSCALLS.epoll_ctl, BigInt(epoll), BigInt(EPOLL_CTL_ADD), BigInt(fd), any);
  if (puppet.run([add, fire], data)[1] === 1n) return;
  // An empty pipe: a byte goes through it. No writing end may be left in the job, so one is opened.
  const [writeEnd] = isPipeEnd ? puppet.run([tolerant(SYSCALLS.openat, AT_FDCWD, path, BigInt(O_WRONLY | O_NONBLOCK), 0n)], data) : [-1n];
  if (writeEnd !== undefined && writeEnd >= 0n) {
    const [written, fired] = puppet.run([tolerant(SYSCALLS.write, writeEnd, room, 1n), fire], data);
    if (written === 1n) puppet.run([call(SYSCALLS.read, BigInt(fd), room, 1n)], data);
    puppet.run([call(SYSCALLS.close, writeEnd)]);
    if (fired === 1n) return;
  }
  puppet.run([purposed(watched, SYSCALLS.epoll_ctl, BigInt(epoll), BigInt(EPOLL_CTL_MOD), BigInt(fd), spent)], data);
}

/**
 * Descriptors for puppets that exist already: what can be opened only when the tree is made. They come through a socket that every
 * puppet inherits, so that one open file description reaches all who share it. (A puppet in a user namespace of its own may not
 * take descriptors from us by pidfd_getfd(2).)
 */
import { CairnError } from "../base/errors.ts";
import type { Fd } from "../base/ids.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { CONTROL_BYTES, descriptorIn, messageHeader, oneByteVector, sendDescriptor, socketPair } from "../kernel/pass-descriptor.ts";
import { call, purposed } from "../tracee/puppet.ts";
import type { Puppet } from "../tracee/puppet.ts";
import type { PassedOn } from "./pass-on.ts";

const MSG_DONTWAIT = 0x40n;

export class HandOver {
  readonly #near: Fd;
  /** The far end, in every puppet. */
  readonly #number: number;

  /** Precondition: the first puppet, which is to inherit the socket, does not exist yet. */
  constructor(passed: PassedOn) {
    const { near, far } = socketPair();
    this.#near = passed.keep(near);
    this.#number = passed.add(far);
  }

  /** Gives the puppet a descriptor of ours under a number that is free in it, or whose descriptor is replaced. */
  give(puppet: Puppet, fd: Fd, number: number): void {
    sendDescriptor(this.#near, fd);
    const data = puppet.data();
    const control = data.put(Buffer.alloc(CONTROL_BYTES));
    const vector = data.put(oneByteVector(data.put(Buffer.alloc(1))));
    const header = data.put(messageHeader(vector, control));
    puppet.run([purposed("receiving a descriptor", SYSCALLS.recvmsg, BigInt(this.#number), header, MSG_DONTWAIT)], data);
    const got = descriptorIn(puppet.readData(control, CONTROL_BYTES));
    // What the kernel cannot put into the table of descriptors it leaves out of the message.
    if (got === null) throw new CairnError("io", `Cannot restart: process ${puppet.pid} has no room for another descriptor`);
    puppet.run([call(SYSCALLS.dup3, BigInt(got), BigInt(number), 0n), call(SYSCALLS.close, BigInt(got))]);
  }
}

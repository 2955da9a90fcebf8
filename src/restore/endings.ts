/** How processes of the tree end before they ever ran: zombies, helpers, and a first thread that had ended. */
import type { Pid } from "../base/ids.ts";
import { nameToBuffer } from "../base/names.ts";
import { PR_SET_NAME } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { call, tolerant } from "../tracee/puppet.ts";
import type { Puppet } from "../tracee/puppet.ts";
import type { MadeProcess } from "./tree.ts";

/** Ends as it had ended, under its own name. */
export function endAsZombie({ puppet, image }: MadeProcess): void {
  giveName(puppet, nameToBuffer(image.comm));
  endAs(puppet, image.exitStatus);
}

/** Ends as the wait status says: by its exit code, or by the signal that killed it. */
export function endAs(puppet: Puppet, exitStatus: number): void {
  const signal = exitStatus & 0x7f;
  if (signal === 0) {
    puppet.runLast([call(SYSCALLS.exit_group, BigInt((exitStatus >> 8) & 0xff))]);
    return;
  }
  const data = puppet.data();
  const record = Buffer.alloc(32);
  const address = data.put(record);
  const none = data.put(Buffer.alloc(16));
  puppet.run([call(SYSCALLS.prlimit64, 0n, 4n, none, 0n), tolerant(SYSCALLS.rt_sigaction, BigInt(signal), address, 0n, 8n)], data);
  signalTo(puppet.pid, signal);
  puppet.endBySignal(signal);
}

export function signalTo(pid: Pid, signal: number): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** A process whose leader thread has ended goes on by its other threads. */
export function endLeader(puppet: Puppet, instruction: bigint): void {
  const registers = puppet.ownRegisters();
  registers.loadSyscall(instruction, SYSCALLS.exit, [0n]);
  puppet.become(registers, null, 0xffff_ffff_ffff_ffffn);
}

export function giveName(puppet: Puppet, name: Buffer): void {
  const data = puppet.data();
  puppet.run([call(SYSCALLS.prctl, BigInt(PR_SET_NAME), data.put(Buffer.concat([name, Buffer.of(0)])))], data);
}

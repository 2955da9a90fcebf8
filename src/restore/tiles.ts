/**
 * AMX's tile registers (x86-64): a process has to ask for them, and a thread's save area grows only when it first uses
 * them. A thread that had used them uses them once before its registers are set; without, the kernel refuses the larger area.
 */
import type { Thread } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { purposed } from "../tracee/puppet.ts";
import type { Puppet } from "../tracee/puppet.ts";

const ARCH_REQ_XCOMP_PERM = 0x1023n;
const TILE_DATA = 18n;
/** XSTATE_BV in the xsave area: which components are not in their initial state. */
const IN_USE_AT = 512;
/** ldtilecfg [rax]; tilezero tmm0; tilerelease */
const USE_ONCE = Buffer.from("c4e2784900c4e27b49c0c4e27849c0", "hex");

export function usesTiles(thread: Thread): boolean {
  const area = Buffer.from(thread.extendedRegisters, "base64");
  return area.length >= IN_USE_AT + 8 && ((area.readBigUInt64LE(IN_USE_AT) >> TILE_DATA) & 1n) === 1n;
}

/** Before the process has a second thread. */
export function askForTiles(puppet: Puppet): void {
  puppet.run([purposed("asking for AMX tile registers", SYSCALLS.arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA)]);
}

/** A configuration of palette 1 with one row of one tile is enough. */
export function unfoldTiles(puppet: Puppet): void {
  const configuration = Buffer.alloc(64);
  configuration[0] = 1;
  configuration.writeUInt16LE(64, 16);
  configuration[48] = 1;
  puppet.execute(USE_ONCE, configuration);
}

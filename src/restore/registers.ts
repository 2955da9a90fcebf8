/** The registers with which a thread goes on: those of the checkpoint, and an interrupted system call issued again. */
import { CairnError } from "../base/errors.ts";
import type { Thread } from "../image/mod.ts";
import { Registers } from "../tracee/x86-64/registers.ts";
import { REISSUE, reissueOf } from "../tracee/x86-64/restart-codes.ts";

/** Offset of XSTATE_BV in an xsave area, and of the features that the saving machine had (struct fpx_sw_bytes). */
const IN_USE_AT = 512;

export function finalRegisters(thread: Thread): Registers {
  const registers = new Registers(Buffer.from(thread.registers, "base64"));
  if (reissueOf(registers.syscall, registers.result) !== REISSUE.none) {
    // restart_syscall would ask for a block that only the old kernel had: the call itself is made again.
    registers.reissueSyscall(registers.syscall);
  }
  registers.set("orig_rax", 0xffff_ffff_ffff_ffffn);
  return registers;
}

/**
 * The xsave area for this processor, which may have one of another length. Throws a CairnError (`incompatible`) when the
 * thread used registers that this processor lacks.
 */
export function fitExtendedRegisters(thread: Thread, ownBytes: number, ownFeatures: bigint): Buffer {
  const saved = Buffer.from(thread.extendedRegisters, "base64");
  if (saved.length === ownBytes) return saved;
  const inUse = saved.length >= IN_USE_AT + 8 ? saved.readBigUInt64LE(IN_USE_AT) : 3n;
  const missing = inUse & ~ownFeatures;
  const fitted = Buffer.alloc(ownBytes);
  if (missing !== 0n || saved.subarray(ownBytes).some((byte) => byte !== 0)) {
    throw new CairnError(
      "incompatible",
      `Cannot restart: thread ${thread.tid} uses processor registers (features 0x${missing.toString(16)}) that this machine lacks`,
      {
        data: { tid: thread.tid, inUse: `0x${inUse.toString(16)}`, ownFeatures: `0x${ownFeatures.toString(16)}` },
        hint: "Restart on a machine whose processor has at least the features of the one that took the checkpoint",
      },
    );
  }
  saved.copy(fitted, 0, 0, Math.min(saved.length, ownBytes));
  return fitted;
}

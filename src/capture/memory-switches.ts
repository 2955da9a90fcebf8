/** Switches that the kernel keeps with a process's address space, apart from its mappings; only the process itself can ask for them. */
import { CairnError } from "../base/errors.ts";
import type { LiveProcessImage } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import type { RemoteSyscalls } from "../tracee/remote-syscalls.ts";

const PR_GET_MDWE = 66n;
const PR_GET_MEMORY_MERGE = 68n;
const MEMBARRIER_GET_REGISTRATIONS = 1n << 9n;
/** MEMBARRIER_CMD_PRIVATE_EXPEDITED, _SYNC_CORE and _RSEQ; of each the next bit registers for it. */
const PRIVATE_BARRIERS = [1 << 3, 1 << 5, 1 << 7];
const READ_LDT = 0n;
const LDT_ENTRY_BYTES = 8;

export type MemorySwitches = Pick<LiveProcessImage, "membarriers" | "denyWriteExecute" | "mergeMemory">;

/** Throws a CairnError (`unsupported`) for a local descriptor table. A kernel that knows a switch not has it off. */
export function captureMemorySwitches(remote: RemoteSyscalls): MemorySwitches {
  refuseLocalDescriptors(remote);
  const membarriers = registeredBarriers(remote);
  const denyWriteExecute = Number(remote.call(SYSCALLS.prctl, PR_GET_MDWE, 0n, 0n, 0n, 0n));
  const merges = remote.call(SYSCALLS.prctl, PR_GET_MEMORY_MERGE, 0n, 0n, 0n, 0n) === 1n;
  return {
    ...(membarriers === 0 ? {} : { membarriers }),
    ...(denyWriteExecute <= 0 ? {} : { denyWriteExecute }),
    ...(merges ? { mergeMemory: true } : {}),
  };
}

/** Before Linux 6.3 a process can only try: a barrier that was not registered for is refused. The global one can't be tried. */
function registeredBarriers(remote: RemoteSyscalls): number {
  const told = remote.call(SYSCALLS.membarrier, MEMBARRIER_GET_REGISTRATIONS, 0n, 0n);
  if (told >= 0n) return Number(told);
  let registered = 0;
  for (const command of PRIVATE_BARRIERS) {
    if (remote.call(SYSCALLS.membarrier, BigInt(command), 0n, 0n) === 0n) registered |= command << 1;
  }
  return registered;
}

function refuseLocalDescriptors(remote: RemoteSyscalls): void {
  const { pid, scratch, scratchBytes } = remote;
  if (remote.call(SYSCALLS.modify_ldt, READ_LDT, scratch, BigInt(LDT_ENTRY_BYTES)) !== BigInt(LDT_ENTRY_BYTES)) return;
  // There is a table; it may be empty again. As large as it can be it has just room in the scratch memory.
  remote.writeScratch(Buffer.alloc(scratchBytes));
  remote.call(SYSCALLS.modify_ldt, READ_LDT, scratch, BigInt(scratchBytes));
  if (remote.readScratch(scratchBytes).every((byte) => byte === 0)) return;
  throw new CairnError("unsupported", `Cannot save process ${pid}: it has segments of its own (modify_ldt)`, {
    data: { pid, kind: "local descriptor table" },
    hint: "Programs for 16 or 32 bits, as Wine runs them, are not carried over. The job was not changed",
  });
}

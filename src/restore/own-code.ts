/** A system call instruction in the code of a restored process: what is left when the arena goes. */
import type { LiveProcessImage } from "../image/mod.ts";
import type { Puppet } from "../tracee/puppet.ts";

const SYSCALL_INSTRUCTION = Buffer.from([0x0f, 0x05]);

/** A system call instruction of the process's own, through which the arena can be unmapped. */
export function syscallInstruction(puppet: Puppet, live: LiveProcessImage): bigint | null {
  const code = [...live.mappings]
    .sort((a, b) => Number(b.kind === "vdso") - Number(a.kind === "vdso"))
    .filter((mapping) => mapping.permissions.startsWith("r-x"));
  for (const mapping of code) {
    const start = BigInt(mapping.start);
    const length = Math.min(Number(BigInt(mapping.end) - start), 1 << 20);
    const at = tryRead(puppet, start, length)?.indexOf(SYSCALL_INSTRUCTION) ?? -1;
    if (at >= 0) return start + BigInt(at);
  }
  return null;
}

function tryRead(puppet: Puppet, address: bigint, length: number): Buffer | null {
  try {
    return puppet.readData(address, length);
  } catch {
    return null; // Behind the end of its file: no code there.
  }
}

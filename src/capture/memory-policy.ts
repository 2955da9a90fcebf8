/** NUMA policies, set_mempolicy(2) and mbind(2): of a thread, and of mappings that have one of their own. */
import { CairnError } from "../base/errors.ts";
import type { MemoryPolicy } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import type { RemoteCall, RemoteSyscalls } from "../tracee/remote-syscalls.ts";
import type { PlannedMapping } from "./mappings.ts";

const MPOL_DEFAULT = 0;
const MPOL_F_ADDR = 2n;
/** As many as a kernel can be built for. */
const LARGEST_NODES = 1024;
const MODE_AT = 256;
const NODES_AT = 320;

/** Of the thread in which `call` is made, or of the mapping at `address`; undefined for the default one. */
export function askMemoryPolicy(remote: RemoteSyscalls, call: RemoteCall, address?: bigint): MemoryPolicy | undefined {
  const mode = remote.scratch + BigInt(MODE_AT);
  const nodes = remote.scratch + BigInt(NODES_AT);
  const where = address === undefined ? [0n, 0n] : [address, MPOL_F_ADDR];
  const result = call(SYSCALLS.get_mempolicy, mode, nodes, BigInt(LARGEST_NODES + 1), ...where);
  if (result !== 0n) {
    const { pid } = remote;
    throw new CairnError("unsupported", `Cannot save process ${pid}: it has a NUMA memory policy that it cannot tell (errno ${-result})`, {
      data: { pid, kind: "memory policy" },
      hint: "Start the program without numactl, or without its NUMA options. The job was not changed",
    });
  }
  const told = remote.readScratch(4, MODE_AT).readUInt32LE(0);
  return told === MPOL_DEFAULT ? undefined : { mode: told, nodes: remote.readScratch(LARGEST_NODES / 8, NODES_AT).toString("base64") };
}

/** One call for each mapping: only for a process of which numa_maps says that there is something to be found. */
export function captureMappingPolicies(remote: RemoteSyscalls, planned: readonly PlannedMapping[]): void {
  for (const { mapping } of planned) {
    if (mapping.kind !== "anonymous" && mapping.kind !== "shared" && mapping.kind !== "file") continue;
    const policy = askMemoryPolicy(remote, (number, ...args) => remote.call(number, ...args), BigInt(mapping.start));
    if (policy !== undefined) mapping.memoryPolicy = policy;
  }
}

/** The memory of one process: every mapping, planned, and where a trampoline can stand. */
import type { Pid } from "../base/ids.ts";
import { readMaps, readVmFlags } from "../kernel/procfs/mod.ts";
import { ProcessGone } from "../kernel/remote-memory.ts";
import type { ExecutableRange } from "../tracee/x86-64/trampoline-place.ts";
import { lostRing, planMapping } from "./mappings.ts";
import type { PlannedMapping } from "./mappings.ts";
import type { RingIds } from "./rings.ts";
import type { SharedObjects } from "./shared-memory.ts";

export interface MemoryPlan {
  readonly planned: readonly PlannedMapping[];
  readonly executable: readonly ExecutableRange[];
}

export function planMemory(pid: Pid, shared: SharedObjects, rings: RingIds): MemoryPlan {
  const maps = readMaps(pid);
  const flags = readVmFlags(pid);
  if (maps === null || flags === null) throw new ProcessGone(pid);
  const planned: PlannedMapping[] = [];
  const executable: ExecutableRange[] = [];
  for (const entry of maps) {
    if (entry.permissions.startsWith("r-xp") && entry.special !== "vsyscall") {
      executable.push({ start: entry.start, end: entry.end, isVdso: entry.special === "vdso" });
    }
    const plan = planMapping(pid, entry, flags.get(entry.start));
    if (plan === null) continue;
    if (plan.sharedKey !== undefined && plan.mapping.shared !== undefined) {
      plan.mapping.shared.id = shared.addMapping(plan.sharedKey, pid, entry);
    }
    if (plan.ringKey !== undefined && plan.mapping.ioUring !== undefined) {
      const openFile = rings.get(plan.ringKey) ?? null;
      if (openFile === null) throw lostRing(pid, entry);
      plan.mapping.ioUring.openFile = openFile;
    }
    planned.push(plan);
  }
  return { planned, executable };
}

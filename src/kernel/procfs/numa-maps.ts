/**
 * /proc/PID/numa_maps and /proc/PID/task/TID/numa_maps: a line for each mapping, `START POLICY KEY=VALUE...`, set_mempolicy(2).
 *
 * A mapping without a policy of its own (mbind) shows that of the thread whose file it is. The kernel walks every page table
 * for the whole file, but for one line no more than one mapping's.
 */
import { asRemoteAddress, type Pid, type RemoteAddress, type Tid } from "../../base/ids.ts";
import { bigHexadecimal, malformed } from "./fields.ts";
import { readProcRaw, readProcStart } from "./read.ts";

const FILE = "/proc/PID/numa_maps";
/** Two policies have a space of their own. Flags follow after `=`, nodes after `:`. */
const LINE = /^([0-9a-f]+) ((?:prefer \(many\)|weighted interleave|[a-z]+)(?:=[a-z|]+)?(?::[0-9,-]+)?)(?: |$)/;
/** Enough for `START POLICY`, whatever nodes the policy names; the kernel prints its first line whole. */
const FIRST_LINE_BYTES = 256;

export interface NumaMapping {
  readonly start: RemoteAddress;
  /** `default`, `bind:0-1`, `interleave=static:0,2`, ... */
  readonly policy: string;
}

export function parseNumaMaps(raw: string): NumaMapping[] {
  const mappings: NumaMapping[] = [];
  for (const line of raw.split("\n")) {
    if (line === "") continue;
    const found = LINE.exec(line);
    if (found === null) throw malformed(FILE, line);
    mappings.push({ start: asRemoteAddress(bigHexadecimal(found[1], FILE)), policy: found[2] as string });
  }
  return mappings;
}

/** Null when the process is gone, or the kernel knows no NUMA. */
export function readNumaMaps(pid: Pid): NumaMapping[] | null {
  const raw = readProcRaw(`/proc/${pid}/numa_maps`);
  return raw === null ? null : parseNumaMaps(raw);
}

/** Whether the thread has a policy of its own, as far as its process's first mapping shows; false where the kernel knows no NUMA. */
export function hasMemoryPolicy(pid: Pid, tid: Tid): boolean {
  const start = readProcStart(`/proc/${pid}/task/${tid}/numa_maps`, FIRST_LINE_BYTES);
  return start !== null && start !== "" && !/^[0-9a-f]+ default\b/.test(start);
}

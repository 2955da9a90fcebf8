/** /proc/PID/limits: soft and hard resource limits, in columns of fixed width under a heading. */
import type { Pid } from "../../base/ids.ts";
import { bigDecimal, malformed, words } from "./fields.ts";
import { readProcRaw } from "./read.ts";

export interface ResourceLimit {
  /** RLIMIT_* number. */
  readonly resource: number;
  readonly soft: bigint | "unlimited";
  readonly hard: bigint | "unlimited";
}

const FILE = "/proc/PID/limits";
const NAME_WIDTH = 25;

/** In the order of RLIMIT_* (asm-generic/resource.h; the same on x86-64 and arm64). */
export const LIMIT_LABELS: readonly string[] = [
  "Max cpu time",
  "Max file size",
  "Max data size",
  "Max stack size",
  "Max core file size",
  "Max resident set",
  "Max processes",
  "Max open files",
  "Max locked memory",
  "Max address space",
  "Max file locks",
  "Max pending signals",
  "Max msgqueue size",
  "Max nice priority",
  "Max realtime priority",
  "Max realtime timeout",
];

/** By number, ascending; a limit that this version does not know is an error, for it would be lost. */
export function parseLimits(raw: string): ResourceLimit[] {
  const limits: ResourceLimit[] = [];
  for (const line of raw.split("\n").slice(1)) {
    if (line === "") continue;
    const resource = LIMIT_LABELS.indexOf(line.slice(0, NAME_WIDTH).trimEnd());
    const [soft, hard] = words(line.slice(NAME_WIDTH));
    if (resource < 0) throw malformed(FILE, line);
    limits.push({ resource, soft: limitValue(soft), hard: limitValue(hard) });
  }
  if (limits.length === 0) throw malformed(FILE, raw);
  return limits.toSorted((a, b) => a.resource - b.resource);
}

function limitValue(text: string | undefined): bigint | "unlimited" {
  return text === "unlimited" ? text : bigDecimal(text, FILE);
}

export function readLimits(pid: Pid): ResourceLimit[] | null {
  const raw = readProcRaw(`/proc/${pid}/limits`);
  return raw === null ? null : parseLimits(raw);
}

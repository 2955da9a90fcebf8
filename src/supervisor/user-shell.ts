/**
 * What the user's shell gave us to hand on to the job, byte for byte, without what belongs to us or to Node.
 *
 * Node resets signal dispositions and raises the soft limit of open files before any of our code runs, and gives its
 * environment and arguments as text; `bin/cairn` notes the first two and a copy of the environment in variables of its own.
 */
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { splitAtNul } from "../kernel/procfs/mod.ts";

export interface ShellInheritance {
  /** `NAME=value` each. */
  readonly environment: readonly Uint8Array[];
  /** Bit n-1 stands for signal n. */
  readonly ignoredSignals: bigint;
  readonly openFilesSoftLimit: number | undefined;
}

const SIGNALS_VARIABLE = "CAIRN_SIGNALS_IGNORED";
const FILES_VARIABLE = "CAIRN_OPEN_FILES";
const ENVIRONMENT_VARIABLE = "CAIRN_ENVIRONMENT";

export function inheritanceFrom(variables: Readonly<Record<string, string | undefined>>): ShellInheritance {
  const { [SIGNALS_VARIABLE]: signals = "", [FILES_VARIABLE]: files = "", [ENVIRONMENT_VARIABLE]: copy, ...own } = variables;
  return {
    environment:
      copy === undefined
        ? Object.entries(own).map(([name, value]) => Buffer.from(`${name}=${value ?? ""}`))
        : splitAtNul(Buffer.from(copy, "base64")),
    ignoredSignals: /^[0-9a-f]{1,16}$/i.test(signals) ? BigInt(`0x${signals}`) : 0n,
    openFilesSoftLimit: /^[0-9]{1,9}$/.test(files) ? Number(files) : undefined,
  };
}

/** The last `count` words of our own command line, as the kernel has them. */
export function lastArguments(count: number): Uint8Array[] {
  return count === 0 ? [] : splitAtNul(readFileSync("/proc/self/cmdline")).slice(-count);
}

/**
 * The descriptors that came from the user's shell: `5<file`, a process substitution, a jobserver's pipe. Node's own are told from
 * them by their kind: event descriptors, and pipes of which it holds both ends.
 *
 * Sockets above standard error are left out: editors and terminals leak theirs into the shell, no program misses them, and one that has
 * them cannot be saved.
 * Precondition: called before we open anything ourselves.
 */
export function inheritedDescriptors(): number[] {
  const targets = new Map<number, string>();
  for (const entry of readdirSync("/proc/self/fd")) {
    try {
      targets.set(Number(entry), readlinkSync(`/proc/self/fd/${entry}`));
    } catch {
      // The descriptor of the listing itself.
    }
  }
  return selectInherited(targets);
}

export function selectInherited(targets: ReadonlyMap<number, string>): number[] {
  const ends = Map.groupBy(
    [...targets].filter(([, target]) => target.startsWith("pipe:")),
    ([, target]) => target,
  );
  return [...targets]
    .filter(([fd, target]) => fd <= 2 || (!/^(anon_inode|socket):/.test(target) && (ends.get(target)?.length ?? 0) < 2))
    .map(([fd]) => fd)
    .toSorted((a, b) => a - b);
}

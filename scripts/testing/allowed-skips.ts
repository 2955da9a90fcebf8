/**
 * What may be skipped where every test is required (CAIRN_REQUIRE_ALL=1, as .ci/run sets it), because the machine or the
 * user cannot do it. An entry asks the machine itself, so that it excuses nothing where the test could have run.
 */
import { accessSync, constants, readFileSync } from "node:fs";
import { release } from "node:os";
import type { TestOutcome } from "./run-file.ts";

export interface AllowedSkip {
  /** What the test says when it is skipped. */
  readonly said: RegExp;
  /** Only this test, by its full name; any when absent. */
  readonly test?: string;
  /** Why the test cannot run where `cannotRun` holds. */
  readonly because: string;
  cannotRun(): boolean;
}

const hasProcessorFlag = (flag: string): boolean =>
  new RegExp(`^flags\\s.*\\b${flag}\\b`, "m").test(readFileSync("/proc/cpuinfo", "latin1"));
const isOrdinaryUser = (): boolean => process.getuid?.() !== 0;

function isOlderThan(major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = release().split(".").map(Number);
  return ownMajor < major || (ownMajor === major && ownMinor < minor);
}

/** In the first version of cgroups the controller has a folder of its own, in the second the root passes it on. */
function canLimit(controller: string): boolean {
  const isWritable = (path: string): boolean => {
    try {
      accessSync(path, constants.W_OK);
      return true;
    } catch {
      return false;
    }
  };
  if (isWritable(`/sys/fs/cgroup/${controller}`)) return true;
  const passedOn = "/sys/fs/cgroup/cgroup.subtree_control";
  return isWritable(passedOn) && readFileSync(passedOn, "latin1").trim().split(" ").includes(controller);
}

export const allowedSkips: readonly AllowedSkip[] = [
  {
    said: /^needs root$/,
    because: "some privileges cannot be had by an ordinary user; the same tests run as root in the other half of .ci/run",
    cannotRun: isOrdinaryUser,
  },
  {
    said: /^this user may not make namespaces$/,
    test: "thread-namespace is refused by name before the job is disturbed",
    because: "a thread of several can't make a user namespace first, as an ordinary user has to",
    cannotRun: isOrdinaryUser,
  },
  ...["fanotify", "bpf-map", "packet-socket", "raw-socket"].map((object) => ({
    said: /^this machine or user does not have it$/,
    test: `${object} is refused by name before the job is disturbed`,
    because: "the kernel gives it to privileged users only",
    cannotRun: isOrdinaryUser,
  })),
  ...["memory", "pids"].map((controller) => ({
    said: new RegExp(`^no cgroup that limits ${controller} can be made here$`),
    because: "some machines, and most containers, leave no cgroups to be made",
    cannotRun: () => !canLimit(controller),
  })),
  {
    said: /^this kernel does not tell of syscall user dispatch$/,
    because: "Linux has told of it since 6.4",
    cannotRun: () => isOlderThan(6, 4),
  },
  {
    said: /^this processor or kernel has no AMX$/,
    test: "a checkpoint keeps the tile registers of AMX",
    because: "few processors have these registers",
    cannotRun: () => !hasProcessorFlag("amx_tile"),
  },
  {
    said: /^no protection keys on this machine$/,
    test: "protection-key is carried over, or refused by name before the job is disturbed",
    because: "some processors, and some virtual machines, have no protection keys",
    cannotRun: () => !hasProcessorFlag("ospke"),
  },
];

export function isAllowedSkip({ name, detail }: TestOutcome, list: readonly AllowedSkip[] = allowedSkips): boolean {
  return list.some((entry) => entry.said.test(detail) && (entry.test ?? name) === name && entry.cannotRun());
}

/**
 * What the machine is and allows: for `cairn doctor`, and for the host that an image names. A knob that this kernel
 * lacks, or that a container hides, is null.
 */
import * as fs from "node:fs";
import { CairnError } from "../../base/errors.ts";
import { decimal } from "./fields.ts";
import { readProcRaw } from "./read.ts";

export interface SystemFacts {
  readonly bootId: string;
  readonly kernelRelease: string;
  readonly hostName: string;
  /** Yama: 0 any process of the same user, 1 descendants only, 2 root only, 3 nobody. */
  readonly yamaPtraceScope: number | null;
  /** 0 forbids user namespaces. */
  readonly maxUserNamespaces: number | null;
  /** Debian's knob: 0 forbids them to users. */
  readonly unprivilegedUserNamespaceClone: number | null;
  /** Ubuntu's knob: 1 takes the capabilities out of a user's new user namespace. */
  readonly apparmorRestrictsUserNamespaces: number | null;
  /** 1 forbids userfaultfd for faults in the kernel to all but root; 0 is the default since Linux 5.11. */
  readonly unprivilegedUserfaultfd: number | null;
  readonly nsLastPidWritable: boolean;
  readonly pidMax: number;
  readonly lastCapability: number;
  readonly processorModel: string;
  /** Of the first processor: `flags` on x86-64, `Features` on arm64. */
  readonly processorFlags: readonly string[];
}

export function readSystemFacts(): SystemFacts {
  return {
    bootId: readSetting("random/boot_id") ?? "",
    kernelRelease: readSetting("osrelease") ?? "",
    hostName: readSetting("hostname") ?? "",
    yamaPtraceScope: readNumber("kernel/yama/ptrace_scope"),
    maxUserNamespaces: readNumber("user/max_user_namespaces"),
    unprivilegedUserNamespaceClone: readNumber("kernel/unprivileged_userns_clone"),
    apparmorRestrictsUserNamespaces: readNumber("kernel/apparmor_restrict_unprivileged_userns"),
    unprivilegedUserfaultfd: readNumber("vm/unprivileged_userfaultfd"),
    nsLastPidWritable: canOpenForWriting("/proc/sys/kernel/ns_last_pid"),
    pidMax: readNumber("kernel/pid_max") ?? 32768,
    lastCapability: readNumber("kernel/cap_last_cap") ?? 0,
    ...parseProcessor(readProcRaw("/proc/cpuinfo") ?? ""),
  };
}

/** The first processor's model and features: of processors that differ, the scheduler hides what not all have. */
export function parseProcessor(raw: string): { processorModel: string; processorFlags: string[] } {
  const end = raw.indexOf("\n\n");
  let processorModel = "";
  let processorFlags: string[] = [];
  for (const line of (end < 0 ? raw : raw.slice(0, end)).split("\n")) {
    const colon = line.indexOf(":");
    const key = line.slice(0, colon).trim();
    const value = line.slice(colon + 1).trim();
    if (key === "model name" || (key === "CPU part" && processorModel === "")) processorModel = value;
    if (key === "flags" || key === "Features") processorFlags = value.split(" ");
  }
  return { processorModel, processorFlags };
}

/** Below /proc/sys, in kernel/ where no folder is given. */
function readSetting(name: string): string | null {
  const path = name.includes("/") && !name.startsWith("random/") ? name : `kernel/${name}`;
  try {
    return readProcRaw(`/proc/sys/${path}`)?.trim() ?? null;
  } catch (error) {
    if (error instanceof CairnError && error.code === "permission") return null;
    throw error;
  }
}

function readNumber(name: string): number | null {
  const text = readSetting(name);
  return text === null ? null : decimal(text, `/proc/sys/${name}`);
}

/** Opening shows it: the file's mode says writable by all where a capability decides. Nothing is written. */
function canOpenForWriting(path: string): boolean {
  try {
    fs.closeSync(fs.openSync(path, fs.constants.O_WRONLY));
    return true;
  } catch {
    return false;
  }
}

/** May we trace, and whom: Yama's knob, and a real trace of a process of our own. */
import { asPid, asRemoteAddress } from "../../base/ids.ts";
import { readMaps } from "../../kernel/procfs/mod.ts";
import { readRemoteExactly } from "../../kernel/remote-memory.ts";
import { SYSCALLS } from "../../kernel/abi/x86-64/syscalls.ts";
import { errnoName } from "../../kernel/errno.ts";
import { systemCall } from "../../kernel/syscall-ffi.ts";
import { limited, no, ok } from "./check.ts";
import type { CheckDefinition, Finding } from "./check.ts";
import type { FrozenHelper } from "./helper-process.ts";

export const scopeCheck: CheckDefinition = {
  name: "ptrace-scope",
  title: "Whom this user may trace",
  why: "a job that Cairn did not start can be saved only if tracing it is allowed",
  essential: false,
};

/** `scope` is kernel.yama.ptrace_scope, null without Yama; `privileged` is CAP_SYS_PTRACE. */
export function judgeScope(scope: number | null, privileged: boolean): Finding {
  if (scope === 3)
    return no(
      "nobody may trace (kernel.yama.ptrace_scope = 3)",
      "Only a reboot with another value of kernel.yama.ptrace_scope changes this",
    );
  if (privileged) return ok("every process (this user has CAP_SYS_PTRACE)");
  if (scope === null) return ok("every process of this user (no Yama)");
  if (scope === 0) return ok("every process of this user (kernel.yama.ptrace_scope = 0)");
  if (scope === 1) {
    return limited(
      "only what it started itself (kernel.yama.ptrace_scope = 1)",
      "Jobs under cairn run are not affected while their cairn lives; to checkpoint other processes by pid: sudo sysctl kernel.yama.ptrace_scope=0",
    );
  }
  return no("only root may trace (kernel.yama.ptrace_scope = 2)", "Run as root, or: sudo sysctl kernel.yama.ptrace_scope=1");
}

export const ptraceCheck: CheckDefinition = {
  name: "ptrace",
  title: "Tracing a process",
  why: "a checkpoint stops the job and reads its state by ptrace",
  essential: true,
};

/** `helper` is a process that we have started and stopped, or what went wrong. */
export function judgePtrace(helper: FrozenHelper | Error): Finding {
  if (!(helper instanceof Error)) return ok("started, stopped and resumed a process");
  return no(helper.message, "In a container add --cap-add SYS_PTRACE; elsewhere see ptrace-scope and container in this list");
}

export const memoryCheck: CheckDefinition = {
  name: "process-memory",
  title: "Reading another process's memory",
  why: "pages are read by process_vm_readv",
  essential: true,
};

export function probeMemory(helper: FrozenHelper): Finding {
  const readable = readMaps(asPid(helper.pid))?.find((entry) => entry.permissions.startsWith("r") && entry.special === null);
  if (readable === undefined) return no("no readable mapping was found", "Report this with the output of cairn doctor --json");
  readRemoteExactly(helper.pid, asRemoteAddress(readable.start), 8);
  return ok("process_vm_readv works");
}

export const pidfdCheck: CheckDefinition = {
  name: "pidfd",
  title: "Borrowing a process's descriptors",
  why: "pipes, terminals and sockets are asked through pidfd_getfd",
  essential: true,
};

export function probePidfd(helper: FrozenHelper): Finding {
  const pidfd = systemCall(SYSCALLS.pidfd_open, helper.pid, 0);
  if (pidfd < 0) return refusedPidfd("pidfd_open", pidfd);
  try {
    const fd = systemCall(SYSCALLS.pidfd_getfd, pidfd, helper.openFd, 0);
    if (fd < 0) return refusedPidfd("pidfd_getfd", fd);
    systemCall(SYSCALLS.close, fd);
    return ok("pidfd_open and pidfd_getfd work");
  } finally {
    systemCall(SYSCALLS.close, pidfd);
  }
}

function refusedPidfd(call: string, result: number): Finding {
  return no(`${call} answers ${errnoName(-result)}`, "Needs Linux 5.6 or newer, and a container that does not filter it");
}

/**
 * Waits for tracees that end by themselves. A thread that was told to do one system call, to stop or to die does so at once; one that
 * does not is held by something that nobody here knew of (a frozen cgroup, a namespace whose init waits for its last process), and
 * to wait for it would keep the whole job standing.
 */
import type { Pid, Tid } from "../base/ids.ts";
import { CairnError } from "../base/errors.ts";
import { resume, waitAtMost } from "../kernel/ptrace.ts";
import type { WaitOutcome } from "../kernel/ptrace.ts";
import { rememberEnded } from "./unreported.ts";

/** Far longer than the slowest machine needs for one system call, a copy of a large address space included. */
const PATIENCE_MS = 30_000;

/** As waitpid(2) that blocks, for a while: `nothing` when the patience is at its end. */
export function waitPatiently(tid: Tid, patienceMs = PATIENCE_MS): WaitOutcome {
  return waitAtMost(tid, patienceMs);
}

/** What to throw when a tracee did not come. It is let go as soon as it does. */
export function unresponsive(pid: Pid, tid: Tid): CairnError {
  rememberEnded(tid);
  return new CairnError("unsupported", `The checkpoint was given up: thread ${tid} of process ${pid} does not answer; the job runs on`, {
    data: { pid, tid, kind: "unresponsive" },
    hint: "Something holds it in the kernel: a frozen cgroup (cgroup.freeze), a device, a network file system. Try again when that is over",
  });
}

/**
 * Takes the end of a tracee that was killed or has exited, so that its parent gets to see it; false when it does not come to its end
 * in time. Then it is taken later, if this process lives on (see unreported.ts).
 */
export function tryReap(tid: Tid, patienceMs = PATIENCE_MS): boolean {
  for (;;) {
    const outcome = waitPatiently(tid, patienceMs);
    if (outcome.kind === "nothing") {
      rememberEnded(tid);
      return false;
    }
    if (outcome.kind !== "stopped") return true;
    resume(tid);
  }
}

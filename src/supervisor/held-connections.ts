/**
 * TCP connections that a guard holds for a job's restart after `cairn checkpoint --stop --tcp keep`. They belong to that checkpoint alone, and end when
 * the guard does: with the restart, the removal, after a day.
 */
import { asPid } from "../base/ids.ts";
import type { HeldSockets } from "../capture/mod.ts";
import { duplicateFrom, openProcess } from "../kernel/descriptors.ts";
import type { OwnedFd } from "../kernel/descriptors.ts";
import type { HeldForRestart } from "../restore/mod.ts";
import type { HeldRecord, Job } from "../store/mod.ts";
import { currentBootId, identify, isAlive } from "./process-identity.ts";

/** Precondition: the job's lock is held. */
export function recordHeld(job: Job, number: number, { pid, sockets }: HeldSockets): void {
  const startTime = identify(pid)?.startTime ?? 0;
  job.writeHeld({ pid, startTime, bootId: currentBootId(), number, sockets: [...sockets] });
}

/** Null when nobody holds anything for this job any more. */
function livingHolder(job: Job): HeldRecord | null {
  const held = job.held();
  return held !== null && isAlive(held) ? held : null;
}

export function hasHeld(job: Job): boolean {
  return livingHolder(job) !== null;
}

/** What is held for a restart from checkpoint `number`; null where that is nothing. */
export function heldFor(job: Job, number: number): HeldForRestart | null {
  const held = livingHolder(job);
  if (held?.number !== number) return null;
  const fds = new Map(held.sockets.map(({ openFile, fd }) => [openFile, fd]));
  return {
    openFiles: new Set(fds.keys()),
    take: (openFile): OwnedFd => {
      using holder = openProcess(asPid(held.pid));
      return duplicateFrom(holder, held.pid, fds.get(openFile) ?? -1);
    },
    end: () => endHeld(job),
  };
}

/** Connections that nobody has taken over are found reset by their peers. */
export function endHeld(job: Job): void {
  const held = livingHolder(job);
  try {
    if (held !== null) process.kill(held.pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
  if (job.held() !== null) job.writeHeld(null);
}

/**
 * What a parent learns by wait(2) of children that live, as far as it had not learnt it. A child whose stop the parent knows of
 * is stopped early, and the parent made to take the report; one whose going on it does not know of is stopped and continued.
 */
import type { ProcessImage } from "../image/mod.ts";
import { WNOHANG, WUNTRACED, __WALL } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { tolerant } from "../tracee/puppet.ts";
import type { Numbers } from "./numbers.ts";
import type { MadeProcess } from "./tree.ts";

/** Whether the process is to be stopped only when it is let go: then its parent hears of it. */
export function isStopToBeReported(image: ProcessImage): boolean {
  return image.state === "stopped" && image.waitReport !== "none";
}

/**
 * Precondition: the process has no threads besides the first, and nothing queued; its parent's signals are flushed after this, for
 * each step queues a SIGCHLD.
 */
export function restoreWaitReport({ puppet, image }: MadeProcess, parent: MadeProcess | undefined, numbers: Numbers): void {
  const isKnownStop = image.state === "stopped" && !isStopToBeReported(image);
  if (image.state === "zombie" || (!isKnownStop && image.waitReport !== "continued")) return;
  puppet.stopByJobControl();
  if (image.waitReport === "continued") process.kill(puppet.pid, "SIGCONT");
  else parent?.puppet.run([tolerant(SYSCALLS.wait4, BigInt(numbers.of(image.pid)), 0n, BigInt(WUNTRACED | WNOHANG | __WALL), 0n)]);
}

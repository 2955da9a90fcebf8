/**
 * What a parent can still learn by wait(2) of children that live: that one was stopped, or goes on again. Each is told once, and
 * only the parent can ask whether it still will be.
 */
import type { JobPid, Pid } from "../base/ids.ts";
import type { ProcessImage } from "../image/mod.ts";
import { CLD_CONTINUED, P_PID, WCONTINUED, WNOHANG, WNOWAIT, WSTOPPED, __WALL } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import type { RemoteSyscalls } from "../tracee/remote-syscalls.ts";

export type WaitReport = NonNullable<ProcessImage["waitReport"]>;

/** struct siginfo of a child: signal, errno, code, padding, pid. */
const INFORMATION_BYTES = 128;
const CODE_AT = 8;
const PID_AT = 16;

/** Asks the parent `remote` about its children, by the numbers that it knows them by. */
export function captureWaitReports(remote: RemoteSyscalls, children: ReadonlyMap<Pid, JobPid>, into: Map<Pid, WaitReport>): void {
  const options = BigInt(WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT | __WALL);
  for (const [pid, number] of children) {
    remote.writeScratch(Buffer.alloc(INFORMATION_BYTES));
    if (remote.call(SYSCALLS.waitid, BigInt(P_PID), BigInt(number), remote.scratch, options, 0n) !== 0n) continue;
    const information = remote.readScratch(INFORMATION_BYTES);
    if (information.readInt32LE(PID_AT) === 0) continue;
    into.set(pid, information.readInt32LE(CODE_AT) === CLD_CONTINUED ? "continued" : "stopped");
  }
}

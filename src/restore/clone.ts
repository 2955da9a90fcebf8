/** clone3(2) with a chosen number. */
import { CairnError, SyscallError } from "../base/errors.ts";
import type { TapeData } from "../tracee/puppet.ts";

/** struct clone_args, version 2: eleven words, up to and with `cgroup`. */
const BYTES = 88;

/** `pid` null: whatever number the kernel gives. */
export function cloneArguments(
  data: TapeData,
  flags: bigint,
  exitSignal: number,
  pid: number | null,
): { readonly address: bigint; readonly lengthBytes: bigint } {
  const record = Buffer.alloc(BYTES);
  record.writeBigUInt64LE(flags, 0);
  record.writeBigUInt64LE(BigInt(exitSignal), 32);
  if (pid !== null) {
    const number = Buffer.alloc(8);
    number.writeUInt32LE(pid, 0);
    record.writeBigUInt64LE(data.put(number), 64);
    record.writeBigUInt64LE(1n, 72);
  }
  return { address: data.put(record), lengthBytes: BigInt(BYTES) };
}

/** Says of a process or thread that could not be made what the errno means here; any other error is given back as it is. */
export function explainLimit(error: unknown): unknown {
  if (!(error instanceof SyscallError) || error.errnoName !== "EAGAIN" || !error.call.startsWith("making ")) return error;
  return new CairnError("syscall", error.message, {
    data: error.data,
    hint: "The number of processes and threads is at its limit here: ulimit -u, or pids.max of a cgroup. Raise it; nothing of the job was left running",
    cause: error,
  });
}

/**
 * posix_spawn(3) and memfd_create(2): starting a process that libuv does not know of and will not wait for.
 */
import { closeSync, writeSync } from "node:fs";
import koffi from "koffi";
import { SyscallError } from "../base/errors.ts";
import type { Fd, Pid } from "../base/ids.ts";
import { asPid } from "../base/ids.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { errnoName } from "./errno.ts";
import { addressOf } from "./memory-ffi.ts";
import { systemCall } from "./syscall-ffi.ts";

const libc = koffi.load(null);
const posixSpawn = libc.func("int posix_spawn(uint64 pid, const char *path, uint64 actions, uint64 attributes, uint64 argv, uint64 envp)");
const actionsInit = libc.func("int posix_spawn_file_actions_init(uint64 actions)");
const actionsDestroy = libc.func("int posix_spawn_file_actions_destroy(uint64 actions)");
const actionsDup2 = libc.func("int posix_spawn_file_actions_adddup2(uint64 actions, int from, int to)");
const attributesInit = libc.func("int posix_spawnattr_init(uint64 attributes)");
const attributesDestroy = libc.func("int posix_spawnattr_destroy(uint64 attributes)");
const setFlags = libc.func("int posix_spawnattr_setflags(uint64 attributes, short flags)");
const setDefaults = libc.func("int posix_spawnattr_setsigdefault(uint64 attributes, uint64 set)");

const POSIX_SPAWN_SETSIGDEF = 4;
const MFD_CLOEXEC = 1;
const MFD_EXEC = 16;
const EINVAL = 22;
/** Larger than any libc's posix_spawnattr_t and posix_spawn_file_actions_t. */
const OPAQUE_BYTES = 1024;
const SIGNAL_SET_BYTES = 128;

/** An executable that has no name in any file system. Close the descriptor once the program has been started. */
export function executableInMemory(name: string, image: Uint8Array): Fd {
  const text = Buffer.alloc(256);
  text.write(name);
  let fd = systemCall(SYSCALLS.memfd_create, addressOf(text), MFD_CLOEXEC | MFD_EXEC);
  // Linux before 6.3 does not know MFD_EXEC, and needs none.
  if (fd === -EINVAL) fd = systemCall(SYSCALLS.memfd_create, addressOf(text), MFD_CLOEXEC);
  if (fd < 0) throw new SyscallError("memfd_create", -fd, errnoName(-fd));
  writeSync(fd, image);
  return fd as Fd;
}

export interface SpawnRequest {
  readonly program: Fd;
  readonly arguments: readonly Uint8Array[];
  readonly environment: readonly Uint8Array[];
  /** Descriptors of ours that the child gets under other numbers, in this order. All else that is not close-on-exec it gets as it is. */
  readonly descriptors: readonly { readonly from: number; readonly to: number }[];
}

/** Starts the program with all signals at their defaults. Throws a SyscallError (posix_spawn). */
export function spawnProgram(request: SpawnRequest): Pid {
  const pid = Buffer.alloc(64);
  const actions = Buffer.alloc(OPAQUE_BYTES);
  const attributes = Buffer.alloc(OPAQUE_BYTES);
  const all = Buffer.alloc(SIGNAL_SET_BYTES, 0xff);
  const argv = stringVector(request.arguments);
  const envp = stringVector(request.environment);
  attributesInit(addressOf(attributes));
  actionsInit(addressOf(actions));
  try {
    setFlags(addressOf(attributes), POSIX_SPAWN_SETSIGDEF);
    setDefaults(addressOf(attributes), addressOf(all));
    for (const { from, to } of request.descriptors) {
      const result = actionsDup2(addressOf(actions), from, to) as number;
      if (result !== 0)
        throw new SyscallError("posix_spawn_file_actions_adddup2", result, errnoName(result), { arguments: `${from}, ${to}` });
    }
    const path = `/proc/self/fd/${request.program}`;
    const error = posixSpawn(
      addressOf(pid),
      path,
      addressOf(actions),
      addressOf(attributes),
      addressOf(argv.vector),
      addressOf(envp.vector),
    ) as number;
    if (error !== 0) throw new SyscallError("posix_spawn", error, errnoName(error));
    return asPid(pid.readInt32LE(0));
  } finally {
    actionsDestroy(addressOf(actions));
    attributesDestroy(addressOf(attributes));
    // Held until here: the kernel has copied them by now.
    void argv.strings;
    void envp.strings;
  }
}

/** A NULL-terminated array of pointers to NUL-terminated strings. */
function stringVector(strings: readonly Uint8Array[]): { vector: Buffer; strings: Buffer } {
  const total = strings.reduce((sum, string) => sum + string.length + 1, 0);
  const bytes = Buffer.alloc(Math.max(total, 64));
  const vector = Buffer.alloc(Math.max((strings.length + 1) * 8, 64));
  const base = addressOf(bytes);
  let at = 0;
  strings.forEach((string, index) => {
    vector.writeBigUInt64LE(base + BigInt(at), index * 8);
    bytes.set(string, at);
    at += string.length + 1;
  });
  return { vector, strings: bytes };
}

/** A pipe whose ends are close-on-exec. */
export function closeOnExecPipe(): { readonly readEnd: Fd; readonly writeEnd: Fd } {
  const ends = Buffer.alloc(64);
  const O_CLOEXEC = 0o2000000;
  const result = systemCall(SYSCALLS.pipe2, addressOf(ends), O_CLOEXEC);
  if (result < 0) throw new SyscallError("pipe2", -result, errnoName(-result));
  return { readEnd: ends.readInt32LE(0) as Fd, writeEnd: ends.readInt32LE(4) as Fd };
}

export function closeFd(fd: Fd): void {
  closeSync(fd);
}

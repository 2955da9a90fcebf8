/** Can a restarted job have clocks of its own, which go on from where they were. */
import { SYSCALLS } from "../../kernel/abi/x86-64/syscalls.ts";
import { CLONE_NEWTIME } from "../../kernel/abi/constants.ts";
import { errnoName } from "../../kernel/errno.ts";
import { limited, ok } from "./check.ts";
import type { CheckDefinition, Finding } from "./check.ts";
import type { FrozenHelper } from "./helper-process.ts";

export const clockCheck: CheckDefinition = {
  name: "time-namespaces",
  title: "Time namespaces",
  why: "a restarted job's monotonic clocks go on from where they were, so that its timeouts are as far away as they were",
  essential: false,
};

/** Precondition: the helper is in a user namespace of its own, or this process is root. */
export function probeTimeNamespace(helper: FrozenHelper): Finding {
  const made = helper.call(SYSCALLS.unshare, BigInt(CLONE_NEWTIME));
  if (made >= 0n) return ok("made one");
  return limited(
    `a time namespace is refused (${errnoName(Number(-made))}): a restarted job has this system's clocks`,
    "Boot Linux 5.6 or newer built with CONFIG_TIME_NS; in a container allow unshare, for example --security-opt seccomp=unconfined",
  );
}

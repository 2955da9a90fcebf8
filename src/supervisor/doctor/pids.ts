/**
 * Can a restart have its pids back: on this machine's own numbering, or in a user namespace with a numbering of its own.
 */
import { SYSCALLS } from "../../kernel/abi/x86-64/syscalls.ts";
import { errnoName } from "../../kernel/errno.ts";
import { addressOf } from "../../kernel/memory-ffi.ts";
import { systemCall } from "../../kernel/syscall-ffi.ts";
import { limited, no, ok } from "./check.ts";
import type { CheckDefinition, Finding } from "./check.ts";
import type { FrozenHelper } from "./helper-process.ts";

const CLONE_NEWUSER = 0x1000_0000n;
const CLONE_NEWPID = 0x2000_0000n;
/** struct clone_args of linux/sched.h, the version with set_tid. */
const CLONE_ARGS_BYTES = 80;
const EXIT_SIGNAL_AT = 32;
const SET_TID_AT = 64;
const SET_TID_SIZE_AT = 72;
const SIGCHLD = 17n;

export const namespaceCheck: CheckDefinition = {
  name: "user-namespaces",
  title: "User and pid namespaces",
  why: "where pids are taken, or not this user's to choose, a job is restarted in namespaces of its own",
  essential: false,
};

/** Makes them for real, inside the helper: sysctl values alone do not tell what a security module allows. */
export function probeNamespaces(helper: FrozenHelper): Finding {
  const made = helper.call(SYSCALLS.unshare, CLONE_NEWUSER);
  if (made < 0n) return refused("a user namespace", made);
  // AppArmor lets a user make the namespace on Ubuntu 24.04, and takes the capabilities in it away.
  const used = helper.call(SYSCALLS.unshare, CLONE_NEWPID);
  if (used < 0n) return refused("a pid namespace inside a user namespace", used);
  return ok("made both");
}

/** The same for root, who needs no user namespace. */
export function probeRootNamespace(helper: FrozenHelper): Finding {
  const made = helper.call(SYSCALLS.unshare, CLONE_NEWPID);
  return made < 0n ? refused("a pid namespace", made) : ok("made one");
}

function refused(what: string, result: bigint): Finding {
  return no(
    `${what} is refused (${errnoName(Number(-result))})`,
    "sudo sysctl user.max_user_namespaces=10000 kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0 (those that exist here)",
  );
}

export const setTidCheck: CheckDefinition = {
  name: "set-tid",
  title: "Choosing pids",
  why: "a restarted process must have the pid it had",
  essential: false,
};

/** Asks for a pid that is taken, our own: the kernel looks at the permission first, and no process is ever made. */
export function probeSetTid(): Finding {
  const wanted = Buffer.alloc(64);
  wanted.writeInt32LE(process.pid, 0);
  const args = Buffer.alloc(CLONE_ARGS_BYTES);
  args.writeBigUInt64LE(SIGCHLD, EXIT_SIGNAL_AT);
  args.writeBigUInt64LE(addressOf(wanted), SET_TID_AT);
  args.writeBigUInt64LE(1n, SET_TID_SIZE_AT);
  return judgeSetTid(systemCall(SYSCALLS.clone3, addressOf(args), CLONE_ARGS_BYTES));
}

export function judgeSetTid(result: number): Finding {
  const name = errnoName(-result);
  if (name === "EEXIST") return ok("on this machine's own numbering");
  if (name === "EPERM") {
    return limited(
      "not on this machine's own numbering: jobs are restarted in a pid namespace",
      "Nothing to do unless others must see the same pids: then run as root, or give node CAP_CHECKPOINT_RESTORE",
    );
  }
  return no(`clone3 answers ${name}`, "In a container add --security-opt seccomp=unconfined; else boot Linux 5.5 or newer");
}

/** The main job needs one of the two ways. */
export function restartPossible(namespaces: Pick<Finding, "status">, setTid: Pick<Finding, "status">): boolean {
  return setTid.status === "ok" || (namespaces.status === "ok" && setTid.status !== "no");
}

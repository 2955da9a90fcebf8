/**
 * A pid namespace for the job, where its numbers are free: made by the first puppet, whose child is the namespace's
 * init and becomes the job's keeper. An ordinary user gets it inside a user namespace of his own.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { CairnError, SyscallError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import type { Tid } from "../base/ids.ts";
import { CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { Made, call, childOf, purposed, tolerant } from "../tracee/puppet.ts";
import type { Puppet } from "../tracee/puppet.ts";
import { cloneArguments } from "./clone.ts";

const MS_NOSUID_NODEV_NOEXEC = 2n | 4n | 8n;
const MS_REC = 16384n;
const MS_SLAVE = 1n << 19n;
const SIGCHLD = 17;

/** The init of a new pid namespace, with a /proc of its own. Gives warnings, too. */
export function enterNamespace(
  outer: Puppet,
  asUser: boolean,
  withIpc: boolean,
  onMade: (made: Made) => void,
): { readonly init: Puppet; readonly warnings: string[] } {
  const flags = BigInt(CLONE_NEWPID | CLONE_NEWNS | (asUser ? CLONE_NEWUSER : 0) | (withIpc ? CLONE_NEWIPC : 0));
  try {
    outer.run([call(SYSCALLS.unshare, flags)]);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new CairnError(
      "permission",
      `Cannot restart: this system does not let ${asUser ? "this user" : "root"} make a ${asUser ? "user and " : ""}pid namespace (${error.errnoName})`,
      {
        cause: error,
        hint: "Restart as root, or allow user namespaces; `cairn doctor` says what forbids them and how to allow them",
      },
    );
  }
  if (asUser) mapOwnIds(outer);
  const data = outer.data();
  const { address, lengthBytes } = cloneArguments(data, 0n, SIGCHLD, null);
  let made: Tid | undefined;
  outer.run([purposed("making the namespace's init", SYSCALLS.clone3, address, lengthBytes)], data, (tid) => {
    onMade(new Made(asPid(tid), tid));
    made = tid;
  });
  const init = childOf(outer, made as Tid);
  return { init, warnings: mountProc(init) };
}

/** An IPC namespace alone, where the job has pids of this system. */
export function enterIpcNamespace(puppet: Puppet): void {
  try {
    puppet.run([call(SYSCALLS.unshare, BigInt(CLONE_NEWIPC))]);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new CairnError("permission", `Cannot restart: this system does not let this user make an IPC namespace (${error.errnoName})`, {
      cause: error,
      hint: "Restart as root, or with a pid namespace too: --pids namespace",
    });
  }
}

function mapOwnIds(puppet: Puppet): void {
  const uid = process.geteuid?.() ?? 0;
  const gid = process.getegid?.() ?? 0;
  writeFileSync(`/proc/${puppet.pid}/setgroups`, "deny");
  writeFileSync(`/proc/${puppet.pid}/uid_map`, `${uid} ${uid} 1`);
  writeFileSync(`/proc/${puppet.pid}/gid_map`, `${gid} ${gid} 1`);
}

function mountProc(init: Puppet): string[] {
  const data = init.data();
  const text = (value: string): bigint => data.put(Buffer.from(`${value}\0`));
  const [, mounted] = init.run(
    [
      tolerant(SYSCALLS.mount, text("none"), text("/"), 0n, MS_REC | MS_SLAVE, 0n),
      tolerant(SYSCALLS.mount, text("proc"), text("/proc"), text("proc"), MS_NOSUID_NODEV_NOEXEC, 0n),
    ],
    data,
  );
  if (mounted === 0n) return [];
  return ["/proc could not be mounted anew for the job's pid namespace: programs that look at /proc see this machine's processes"];
}

/** Whether this process may choose pids in its own namespace: CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN. */
export function mayChoosePids(): boolean {
  const line = readFileSync("/proc/self/status", "utf8").match(/^CapEff:\t([0-9a-f]+)$/m)?.[1] ?? "0";
  const effective = BigInt(`0x${line}`);
  return ((effective >> 40n) & 1n) === 1n || ((effective >> 21n) & 1n) === 1n;
}

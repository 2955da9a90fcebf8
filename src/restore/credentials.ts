/** Ids and capabilities. In Linux they belong to a thread, so each thread sets its own. */
import type { Credentials } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { call, tolerant } from "../tracee/puppet.ts";
import type { Call, TapeData } from "../tracee/puppet.ts";

const PR_SET_KEEPCAPS = 8n;
const PR_CAPBSET_DROP = 24n;
const PR_SET_SECUREBITS = 28n;
const PR_SET_NO_NEW_PRIVS = 38n;
const PR_CAP_AMBIENT = 47n;
const PR_CAP_AMBIENT_RAISE = 2n;
const PR_CAP_AMBIENT_CLEAR_ALL = 4n;
const CAPABILITY_VERSION_3 = 0x20080522;
/** CAP_CHECKPOINT_RESTORE, the last one of Linux 6.18. */
const LAST_CAPABILITY = 40;

/** Under SECBIT_NO_SETUID_FIXUP ids change without touching capabilities. */
const NO_SETUID_FIXUP = 4n;

/** `ids` false leaves user and group as they are: in a user namespace there is but one of each. */
export function credentialCalls(data: TapeData, credentials: Credentials, ids: boolean): Call[] {
  const { capabilities } = credentials;
  const calls: Call[] = [];
  const bounding = BigInt(capabilities.bounding);
  for (let capability = 0; capability <= LAST_CAPABILITY; capability += 1) {
    if (((bounding >> BigInt(capability)) & 1n) === 0n) calls.push(tolerant(SYSCALLS.prctl, PR_CAPBSET_DROP, BigInt(capability)));
  }
  if (ids) calls.push(...idCalls(data, credentials));
  calls.push(tolerant(SYSCALLS.prctl, PR_SET_KEEPCAPS, 0n));
  calls.push(tolerant(SYSCALLS.prctl, PR_SET_SECUREBITS, BigInt(credentials.secureBits)));
  const inheritable = BigInt(capabilities.inheritable);
  const permitted = BigInt(capabilities.permitted);
  // In two steps: what is inheritable has to be allowed by the present sets.
  calls.push(call(SYSCALLS.capset, data.put(header()), data.put(sets(BigInt(capabilities.effective), permitted, inheritable))));
  const ambient = BigInt(capabilities.ambient);
  calls.push(tolerant(SYSCALLS.prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0n, 0n, 0n));
  for (let capability = 0; capability <= LAST_CAPABILITY; capability += 1) {
    if (((ambient >> BigInt(capability)) & 1n) === 1n)
      calls.push(call(SYSCALLS.prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, BigInt(capability), 0n, 0n));
  }
  if (credentials.noNewPrivileges) calls.push(call(SYSCALLS.prctl, PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n));
  return calls;
}

function idCalls(data: TapeData, { uids, gids, groups }: Credentials): Call[] {
  const list = Buffer.alloc(Math.max(4, groups.length * 4));
  groups.forEach((group, index) => list.writeUInt32LE(group, index * 4));
  return [
    call(SYSCALLS.prctl, PR_SET_SECUREBITS, NO_SETUID_FIXUP),
    call(SYSCALLS.setgroups, BigInt(groups.length), data.put(list)),
    call(SYSCALLS.setresgid, BigInt(gids.real), BigInt(gids.effective), BigInt(gids.saved)),
    call(SYSCALLS.setfsgid, BigInt(gids.fileSystem)),
    call(SYSCALLS.setresuid, BigInt(uids.real), BigInt(uids.effective), BigInt(uids.saved)),
    call(SYSCALLS.setfsuid, BigInt(uids.fileSystem)),
  ];
}

function header(): Buffer {
  const record = Buffer.alloc(8);
  record.writeUInt32LE(CAPABILITY_VERSION_3, 0);
  return record;
}

/** Two of struct __user_cap_data_struct: low and high halves. */
function sets(effective: bigint, permitted: bigint, inheritable: bigint): Buffer {
  const record = Buffer.alloc(24);
  [effective, permitted, inheritable].forEach((set, index) => {
    record.writeUInt32LE(Number(set & 0xffff_ffffn), index * 4);
    record.writeUInt32LE(Number((set >> 32n) & 0xffff_ffffn), 12 + index * 4);
  });
  return record;
}

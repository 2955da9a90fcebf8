/** What belongs to a process as a whole, apart from its memory, descriptors, threads, signals and timers. */
import { statSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import type { Pid } from "../base/ids.ts";
import { nameToBuffer, nameToText } from "../base/names.ts";
import { toWord } from "../base/words.ts";
import type { Credentials, FileAccess, FileIdentity, LiveProcessImage, Name } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import {
  readAuxiliaryVector,
  readCommandLine,
  readCoreDumpFilter,
  readEnvironment,
  readLimits,
  readMaps,
  readOomScoreAdjustment,
  readPersonality,
  readProcessLink,
} from "../kernel/procfs/mod.ts";
import type { ProcessStat, ProcessStatus } from "../kernel/procfs/mod.ts";
import { ProcessGone } from "../kernel/remote-memory.ts";
import type { RemoteSyscalls } from "../tracee/remote-syscalls.ts";
import { captureMemorySwitches } from "./memory-switches.ts";
import type { MemorySwitches } from "./memory-switches.ts";

const PR_GET_DUMPABLE = 3n;
const PR_GET_KEEPCAPS = 7n;
const PR_GET_SECUREBITS = 27n;
const PR_GET_CHILD_SUBREAPER = 37n;
const PR_GET_THP_DISABLE = 42n;
const THP_DISABLED = 1n;
/** PR_THP_DISABLE_EXCEPT_ADVISED, since Linux 6.18. */
const THP_EXCEPT_ADVISED = 2n;

export type ProcessAttributes = Pick<
  LiveProcessImage,
  | "executable"
  | "executableIdentity"
  | "commandLine"
  | "environment"
  | "workingDirectory"
  | "rootDirectory"
  | "umask"
  | "personality"
  | "oomScoreAdjustment"
  | "dumpable"
  | "childSubreaper"
  | "keepCapabilities"
  | "transparentHugePagesDisabled"
  | "coreDumpFilter"
  | keyof MemorySwitches
  | "credentials"
  | "limits"
  | "memoryLayout"
>;

export function identityOf(path: string | Buffer): FileIdentity {
  const stat = statSync(path, { bigint: true });
  return { device: stat.dev.toString(), inode: stat.ino.toString(), sizeBytes: Number(stat.size), mtimeNs: stat.mtimeNs.toString() };
}

export function accessOf(path: string | Buffer): FileAccess {
  const { mode, uid, gid } = statSync(path);
  return { mode: mode & 0o7777, uid, gid };
}

function present<T>(pid: Pid, value: T | null): T {
  if (value === null) throw new ProcessGone(pid);
  return value;
}

/** Null when the process is gone. Throws a CairnError (`unsupported`) for a folder that was removed. */
export function workingDirectoryOf(pid: Pid): Name | null {
  const link = readProcessLink(pid, "cwd");
  if (link === null || !link.deleted) return link?.name ?? null;
  throw new CairnError("unsupported", `Cannot save process ${pid}: its current directory was removed`, {
    data: { pid, directory: link.name },
    hint: "Make the directory again, or let the process change to another",
  });
}

export function captureAttributes(remote: RemoteSyscalls, stat: ProcessStat, status: ProcessStatus): ProcessAttributes {
  const { pid } = remote;
  const executable = executableOf(pid, stat);
  const asked = remote.call(SYSCALLS.prctl, PR_GET_THP_DISABLE, 0n, 0n, 0n, 0n);
  const hugePages = asked < 0n ? 0n : asked;
  const coreDumpFilter = readCoreDumpFilter(pid);
  return {
    ...executable,
    commandLine: present(pid, readCommandLine(pid)).toString("base64"),
    environment: present(pid, readEnvironment(pid)).toString("base64"),
    workingDirectory: present(pid, workingDirectoryOf(pid)),
    rootDirectory: present(pid, readProcessLink(pid, "root")).name,
    umask: status.umask ?? 0o22,
    personality: readPersonality(pid) ?? 0,
    oomScoreAdjustment: readOomScoreAdjustment(pid) ?? 0,
    dumpable: Math.max(0, Number(remote.call(SYSCALLS.prctl, PR_GET_DUMPABLE))),
    childSubreaper: readFlag(remote, PR_GET_CHILD_SUBREAPER),
    keepCapabilities: remote.call(SYSCALLS.prctl, PR_GET_KEEPCAPS) === 1n,
    transparentHugePagesDisabled: (hugePages & THP_DISABLED) !== 0n,
    ...((hugePages & THP_EXCEPT_ADVISED) === 0n ? {} : { transparentHugePagesWhereAdvised: true }),
    ...captureMemorySwitches(remote),
    ...(coreDumpFilter === null ? {} : { coreDumpFilter }),
    credentials: credentialsOf(status, remote.call(SYSCALLS.prctl, PR_GET_SECUREBITS)),
    limits: present(pid, readLimits(pid)).map(({ resource, soft, hard }) => ({
      resource,
      soft: soft === "unlimited" ? soft : soft.toString(),
      hard: hard === "unlimited" ? hard : hard.toString(),
    })),
    memoryLayout: {
      startCode: toWord(stat.startCode),
      endCode: toWord(stat.endCode),
      startData: toWord(stat.startData),
      endData: toWord(stat.endData),
      startBrk: toWord(stat.startBrk),
      brk: toWord(remote.call(SYSCALLS.brk, 0n)),
      startStack: toWord(stat.startStack),
      argStart: toWord(stat.argStart),
      argEnd: toWord(stat.argEnd),
      envStart: toWord(stat.envStart),
      envEnd: toWord(stat.envEnd),
      auxv: present(pid, readAuxiliaryVector(pid)).toString("base64"),
    },
  };
}

/** What /proc/PID/exe of a restarted process names where its user was not allowed to set it. */
const STAND_IN = "/memfd:cairn-keeper";

function executableOf(pid: Pid, stat: ProcessStat): Pick<LiveProcessImage, "executable" | "executableIdentity"> {
  const { name } = present(pid, readProcessLink(pid, "exe"));
  if (nameToText(name) === STAND_IN) {
    // Its program is the one whose code is where the code was said to be.
    const program = readMaps(pid)?.find(({ start, end }) => start <= stat.startCode && stat.startCode < end);
    if (program !== undefined && program.name !== null && !program.deleted) {
      return { executable: program.name, executableIdentity: identityOf(nameToBuffer(program.name)) };
    }
  }
  return { executable: name, executableIdentity: identityOf(`/proc/${pid}/exe`) };
}

function readFlag(remote: RemoteSyscalls, option: bigint): boolean {
  remote.writeScratch(Buffer.alloc(8));
  remote.call(SYSCALLS.prctl, option, remote.scratch);
  return remote.readScratch(4).readInt32LE(0) === 1;
}

/** Of the thread that the status is of. */
export function credentialsOf(status: ProcessStatus, secureBits: bigint): Credentials {
  const { inheritable, permitted, effective, bounding, ambient } = status.capabilities;
  return {
    uids: { ...status.uids },
    gids: { ...status.gids },
    groups: [...status.groups],
    capabilities: {
      inheritable: toWord(inheritable),
      permitted: toWord(permitted),
      effective: toWord(effective),
      bounding: toWord(bounding),
      ambient: toWord(ambient),
    },
    secureBits: Math.max(0, Number(secureBits)),
    noNewPrivileges: status.noNewPrivileges,
  };
}

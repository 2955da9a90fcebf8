/**
 * What a restart would not bring back just as it is now, of a job that runs: for `cairn check`. Nothing is changed, and nobody
 * stands still, so a loss may have come or gone when the checkpoint is taken.
 */
import { statSync } from "node:fs";
import { CairnError } from "../base/errors.ts";
import type { Pid } from "../base/ids.ts";
import { formatBytes } from "../base/bytes.ts";
import { nameToBuffer, nameToText } from "../base/names.ts";
import type { Name } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { listThreads, readMaps, readSyscall } from "../kernel/procfs/mod.ts";
import type { BlockingCall } from "../kernel/procfs/mod.ts";
import { isWritable, leadsOutside, needsContent, streamOf } from "./files.ts";
import { LARGEST_SAVED_BYTES, PipeEnds } from "./open-files.ts";
import type { Found } from "./open-files.ts";
import { connectionsOutside } from "./sockets.ts";

export interface Loss {
  readonly pid: Pid;
  /** Null where it is none of a descriptor. */
  readonly fd: number | null;
  readonly what: string;
}

const TIMER_ABSTIME = 1n;

/** `found`: the open file descriptions of these processes. */
export function findLosses(pids: readonly Pid[], found: readonly Found[]): Loss[] {
  const losses = [...lossesOfFiles(found), ...pids.flatMap((pid) => [...lossesOfMappings(pid, found), ...lossesOfSleep(pid)])];
  const seen = new Set<string>();
  return losses.filter(({ what, pid, fd }) => {
    // A file that several have open is taken back once; a stream is bound for each.
    const key = what.startsWith("file ") ? what : `${pid} ${fd} ${what}`;
    return !seen.has(key) && seen.add(key);
  });
}

function* lossesOfFiles(found: readonly Found[]): Generator<Loss> {
  const pipes = new PipeEnds(found);
  const outside = connectionsOutside(found.map(({ description }) => description));
  const masters = new Set(found.flatMap(({ inspected }) => (inspected.what === "pty-master" ? [inspected.index] : [])));
  for (const { description, inspected } of found) {
    const reference = description.references[0];
    const loss = (what: string): Loss => ({ pid: reference.pid, fd: reference.fd, what });
    const bound = `a restart binds it to its own standard ${["input", "output", "error"][streamOf(description)]}`;
    switch (inspected.what) {
      case "regular": {
        if (inspected.deleted || !isWritable(reference.info.flags)) break;
        const size = trySize(inspected.path);
        const what = size === null ? null : lossOfFile(nameToText(inspected.name), size, needsContent(reference.info.flags));
        if (what !== null) yield loss(what);
        break;
      }
      case "pipe": {
        const ends = pipes.of(inspected.key);
        const isHalf = inspected.name === null && !(ends.reader !== null && ends.writes);
        if (isHalf && mayLeadOutside(reference, inspected.reads)) yield loss(`a pipe that leads out of the job: ${bound}`);
        break;
      }
      case "socket": {
        const what = outside.get(description.id);
        if (what === undefined) break;
        const isStandardStream = description.references.some(({ fd }) => fd <= 2);
        const kept = what.startsWith("a TCP ") ? ", unless --tcp keep can keep it" : "";
        yield loss(isStandardStream ? `${what}: ${bound}` : `${what}: after a restart the program finds it broken${kept}`);
        break;
      }
      case "terminal":
        yield loss(startingTerminal(inspected.name, bound));
        break;
      case "pty-slave":
        if (!masters.has(inspected.index)) yield loss(startingTerminal(inspected.name, bound));
        break;
      default:
        break;
    }
  }
}

function startingTerminal(name: Name, bound: string): string {
  return `the terminal ${nameToText(name)}, on which the job was started: ${bound}`;
}

function lossOfFile(text: string, size: number, inPlace: boolean): string {
  if (!inPlace) return `file ${text} (${formatBytes(size)}): a restart cuts off what is written after the checkpoint, and keeps it aside`;
  if (size > LARGEST_SAVED_BYTES)
    return `file ${text} (${formatBytes(size)}) is written in place and too large to be saved (more than ${formatBytes(LARGEST_SAVED_BYTES)}): a restart takes back its length, not changes inside it`;
  return `file ${text} (${formatBytes(size)}) is saved with its content: a restart takes it back to that, and keeps what it was aside`;
}

/** Files that are changed through a shared mapping count as open for reading and writing, whether they are open or not. */
function* lossesOfMappings(pid: Pid, found: readonly Found[]): Generator<Loss> {
  const told = new Set(
    found.flatMap(({ description, inspected }) =>
      inspected.what === "regular" && needsContent(description.references[0].info.flags) ? [nameToText(inspected.name)] : [],
    ),
  );
  for (const entry of readMaps(pid) ?? []) {
    const isFile = entry.special === null && entry.name !== null && nameToText(entry.name).startsWith("/") && !entry.deleted;
    if (!isFile || entry.name === null || !/^.w.s$/.test(entry.permissions) || told.has(nameToText(entry.name))) continue;
    const size = trySize(nameToBuffer(entry.name));
    if (size === null) continue;
    const text = nameToText(entry.name);
    yield {
      pid,
      fd: null,
      what:
        size > LARGEST_SAVED_BYTES
          ? `file ${text} (${formatBytes(size)}) is changed through a mapping and too large to be saved (more than ${formatBytes(LARGEST_SAVED_BYTES)}): a restart does not take back changes inside it`
          : `file ${text} (${formatBytes(size)}) is changed through a mapping and saved with its content: a restart takes it back to that`,
    };
  }
}

function* lossesOfSleep(pid: Pid): Generator<Loss> {
  for (const tid of listThreads(pid) ?? []) {
    const call = tryCall(pid, tid);
    const name = call === null ? null : relativeWait(call);
    if (name === null) continue;
    const who = (tid as number) === (pid as number) ? "it" : `its thread ${tid}`;
    yield { pid, fd: null, what: `${who} waits for a time (${name}): the wait starts anew at a restart` };
  }
}

/** A wait for a length of time which only the kernel knows the rest of: its name. Select and the like keep what is left themselves. */
export function relativeWait({ number, arguments: words }: BlockingCall): string | null {
  switch (number) {
    case SYSCALLS.nanosleep:
      return "nanosleep";
    case SYSCALLS.clock_nanosleep:
      return ((words[1] ?? 0n) & TIMER_ABSTIME) === 0n ? "clock_nanosleep" : null;
    case SYSCALLS.poll: {
      const timeoutMs = Number(BigInt.asIntN(32, words[2] ?? 0n));
      return timeoutMs > 0 ? "poll" : null;
    }
    default:
      return null;
  }
}

function tryCall(pid: Pid, tid: Parameters<typeof readSyscall>[1]): BlockingCall | null {
  try {
    return readSyscall(pid, tid);
  } catch (error) {
    // Yama lets nobody look but those who may trace it; what is not known is not told.
    if (error instanceof CairnError && error.code === "permission") return null;
    throw error;
  }
}

function mayLeadOutside(reference: Parameters<typeof leadsOutside>[0], reads: boolean): boolean {
  try {
    return leadsOutside(reference, reads);
  } catch (error) {
    if (!(error instanceof CairnError)) throw error;
    return true; // Closed meanwhile, or not to be borrowed: a pipe of which the job has one end most often leads outside.
  }
}

function trySize(path: string | Buffer): number | null {
  return statSync(path, { throwIfNoEntry: false })?.size ?? null;
}

/**
 * What the kernel tells of the other end of a Unix socket (SO_PEERCRED) is who made the pair, or who listens, and can't be set. So pairs are made
 * by the very processes that had made them, once those are there, and handed to all who have them; and listening sockets listen once more, each by
 * the process that had them listen. (A connection that came about by name is made by us, and shows us.)
 */
import type { Fd } from "../base/ids.ts";
import type { ImageMetadata, LiveProcessImage, SocketFile } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { F_SETFL, O_NONBLOCK } from "../kernel/abi/constants.ts";
import { control, duplicateFrom, openProcess } from "../kernel/descriptors.ts";
import { duplicate } from "../kernel/open.ts";
import { AF_UNIX } from "../kernel/sockets.ts";
import { call, purposed, tolerant } from "../tracee/puppet.ts";
import type { Puppet } from "../tracee/puppet.ts";
import { HandOver } from "./hand-over.ts";
import type { PassedOn } from "./pass-on.ts";

type UnixSocket = Extract<SocketFile, { kind: "unix-socket" }>;
type Pair = readonly [UnixSocket, UnixSocket];

const UNCHANGED = -1n;

/** Pairs that a process of the image had made. */
export function latePairs({ openFiles, processes }: ImageMetadata): Pair[] {
  const made = new Set(processes.map(({ pid }) => pid));
  const sockets = new Map(openFiles.flatMap((file) => (file.kind === "unix-socket" ? [[file.id, file] as const] : [])));
  return [...sockets.values()].flatMap((one) => {
    const other = sockets.get(one.peer ?? -1);
    const isPair =
      other !== undefined && other.peer === one.id && one.id < other.id && one.local === undefined && other.local === undefined;
    const maker = one.credentials?.pid;
    return isPair && one.type === other.type && maker !== undefined && made.has(maker) && other.credentials?.pid === maker
      ? [[one, other] as const]
      : [];
  });
}

export class LateSockets {
  readonly #pairs: readonly Pair[];
  readonly #passed: PassedOn;
  readonly #handOver: HandOver | null;
  readonly #made = new Map<number, Fd>();

  /** Precondition: the first puppet does not exist yet. */
  constructor(metadata: ImageMetadata, passed: PassedOn) {
    this.#pairs = latePairs(metadata);
    this.#passed = passed;
    this.#handOver = this.#pairs.length === 0 ? null : new HandOver(passed);
  }

  /** Precondition: the tree is made, and every process may still become any user. `take` gets a duplicate of each socket. */
  make(puppetOf: (pid: number) => Puppet | undefined, take: (id: number, fd: Fd) => void): void {
    for (const pair of this.#pairs) {
      const maker = puppetOf(pair[0].credentials?.pid ?? 0);
      if (maker === undefined) continue;
      const ends = makePair(maker, pair[0]);
      pair.forEach(({ id, flags }, index) => {
        const fd = this.#passed.keep(ends[index] as Fd);
        control(fd, F_SETFL, flags & O_NONBLOCK);
        this.#made.set(id, fd);
        take(id, duplicate(fd));
      });
    }
  }

  /** Gives the process those that it has; their numbers in it. `next` and what follows must be free. */
  give(puppet: Puppet, live: LiveProcessImage, next: number): Map<number, number> {
    const numbers = new Map<number, number>();
    const wanted = new Set(live.descriptors.map(({ openFile }) => openFile));
    for (const [id, fd] of this.#made) {
      if (!wanted.has(id)) continue;
      this.#handOver?.give(puppet, fd, next + numbers.size);
      numbers.set(id, next + numbers.size);
    }
    return numbers;
  }
}

/** socketpair(2) in the process, as the user that it was then. */
function makePair(maker: Puppet, { type, credentials }: UnixSocket): readonly [Fd, Fd] {
  const isRoot = process.geteuid?.() === 0;
  const user = BigInt(credentials?.uid ?? 0);
  const group = BigInt(credentials?.gid ?? 0);
  const data = maker.data();
  const ends = data.put(Buffer.alloc(8));
  const become = [tolerant(SYSCALLS.setresgid, UNCHANGED, group, UNCHANGED), tolerant(SYSCALLS.setresuid, UNCHANGED, user, UNCHANGED)];
  const back = [tolerant(SYSCALLS.setresuid, UNCHANGED, 0n, UNCHANGED), tolerant(SYSCALLS.setresgid, UNCHANGED, 0n, UNCHANGED)];
  maker.run(
    [
      ...(isRoot ? become : []),
      purposed("making a pair of sockets", SYSCALLS.socketpair, BigInt(AF_UNIX), BigInt(type), 0n, ends),
      ...(isRoot ? back : []),
    ],
    data,
  );
  const numbers = maker.readData(ends, 8);
  const inside = [numbers.readInt32LE(0), numbers.readInt32LE(4)] as const;
  using process_ = openProcess(maker.pid);
  const take = (fd: number): Fd => {
    using taken = duplicateFrom(process_, maker.pid, fd);
    return duplicate(taken.fd);
  };
  const own = [take(inside[0]), take(inside[1])] as const;
  maker.run(inside.map((fd) => call(SYSCALLS.close, BigInt(fd))));
  return own;
}

/** The process's listening sockets show it again to those who connect. Precondition: it has its descriptors and credentials. */
export function listenAgain(puppet: Puppet, pid: number, live: LiveProcessImage, { openFiles }: ImageMetadata): void {
  const done = new Set<number>();
  const calls = live.descriptors.flatMap(({ fd, openFile }) => {
    const file = openFiles[openFile];
    const isOurs = file?.kind === "unix-socket" && file.backlog !== undefined && file.credentials?.pid === pid && !done.has(openFile);
    if (!isOurs) return [];
    done.add(openFile);
    return [tolerant(SYSCALLS.listen, BigInt(fd), BigInt(file.backlog ?? 0))];
  });
  if (calls.length > 0) puppet.run(calls);
}

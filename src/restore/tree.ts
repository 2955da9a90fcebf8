/** Makes the puppets of a tree, with pids, sessions and groups, by the plan of tree-plan.ts. */
import { CairnError, SyscallError } from "../base/errors.ts";
import { asPid } from "../base/ids.ts";
import type { Tid } from "../base/ids.ts";
import type { ImageMetadata, ProcessImage } from "../image/mod.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { Made, call, childOf, purposed, tolerant } from "../tracee/puppet.ts";
import type { Puppet } from "../tracee/puppet.ts";
import { cloneArguments } from "./clone.ts";
import type { Numbers } from "./numbers.ts";
import { KEEPER, planTree } from "./tree-plan.ts";

const SIGCHLD = 17;
const WALL = 0x40000000n;

export interface MadeProcess {
  readonly image: ProcessImage;
  readonly puppet: Puppet;
}

/** A pid that was free when we looked is taken: try again in a namespace. */
export class PidTaken extends Error {
  readonly pid: number;
  constructor(pid: number, cause: unknown) {
    super(`pid ${pid} is taken`, { cause });
    this.name = "PidTaken";
    this.pid = pid;
  }
}

/** `onSession` is told of each new session before its leader has children in it: they inherit the controlling terminal. */
export function makeTree(
  keeper: Puppet,
  metadata: ImageMetadata,
  numbers: Numbers,
  onMade: (made: Made) => void,
  onSession: (leader: Puppet, pid: number) => void,
): Map<number, MadeProcess> {
  const byPid = new Map<number, Puppet>([[KEEPER, keeper]]);
  const images = new Map(metadata.processes.map((one) => [one.pid, one]));
  /** What the maker of a helper calls it: its number in the namespace, which the plan does not know. */
  const inside = new Map<number, bigint>();
  const notes = new Map<number, Made>();
  for (const step of planTree(metadata.processes)) {
    const actor = puppetOf(byPid, step.step === "make" || step.step === "end-helper" ? step.parent : step.pid);
    switch (step.step) {
      case "make": {
        const image = images.get(step.pid);
        const made = makeChild(actor, step.pid > 0 ? numbers.wanted(step.pid) : null, image?.exitSignal ?? SIGCHLD, (one) => {
          notes.set(step.pid, one);
          onMade(one);
        });
        byPid.set(step.pid, made.puppet);
        inside.set(step.pid, made.number);
        if (step.pid > 0) numbers.note(step.pid, Number(made.number));
        break;
      }
      case "new-session":
        actor.run([purposed(`starting session ${step.pid}`, SYSCALLS.setsid)]);
        onSession(actor, step.pid);
        break;
      case "join-group":
        actor.run([
          purposed(
            `joining process group ${step.group}`,
            SYSCALLS.setpgid,
            0n,
            BigInt(step.group === step.pid ? 0 : numbers.of(step.group)),
          ),
        ]);
        break;
      case "end-helper": {
        const helper = puppetOf(byPid, step.pid);
        helper.runLast([call(SYSCALLS.exit_group, 0n)]);
        reapHelper(actor, inside.get(step.pid) ?? -1n);
        byPid.delete(step.pid);
        notes.get(step.pid)?.forget();
        break;
      }
    }
  }
  const made = new Map<number, MadeProcess>();
  for (const image of metadata.processes) made.set(image.pid, { image, puppet: puppetOf(byPid, image.pid) });
  return made;
}

function puppetOf(byPid: ReadonlyMap<number, Puppet>, pid: number): Puppet {
  const puppet = byPid.get(pid);
  if (puppet === undefined) throw new CairnError("damaged", `The image's process tree refers to process ${pid}, which was not made`);
  return puppet;
}

/** Makes a process of whatever number, by a parent that waits for it by `reapHelper` once it has ended. */
export function makeHelper(parent: Puppet, onMade: (made: Made) => void): { readonly puppet: Puppet; readonly number: bigint } {
  return makeChild(parent, null, SIGCHLD, onMade);
}

export function reapHelper(parent: Puppet, number: bigint): void {
  parent.run([tolerant(SYSCALLS.wait4, number, 0n, WALL, 0n)]);
}

function makeChild(
  parent: Puppet,
  pid: number | null,
  exitSignal: number,
  onMade: (made: Made) => void,
): { readonly puppet: Puppet; readonly number: bigint } {
  const data = parent.data();
  const { address, lengthBytes } = cloneArguments(data, 0n, exitSignal, pid);
  let child: Tid | undefined;
  try {
    const [number] = parent.run(
      [purposed(`making process ${pid ?? "of any number"}`, SYSCALLS.clone3, address, lengthBytes)],
      data,
      (tid) => {
        onMade(new Made(asPid(tid), tid));
        child = tid;
      },
    );
    return { puppet: childOf(parent, child as Tid), number: number as bigint };
  } catch (error) {
    if (error instanceof SyscallError && error.errnoName === "EEXIST" && pid !== null) throw new PidTaken(pid, error);
    throw error;
  }
}

/** Calls on System V IPC in a namespace that is not ours, made by a puppet in it. */
import { CairnError } from "../base/errors.ts";
import type { Pid } from "../base/ids.ts";
import { asRemoteAddress, asTid } from "../base/ids.ts";
import { closeSync } from "node:fs";
import { CLONE_NEWIPC, CLONE_NEWUSER } from "../kernel/abi/constants.ts";
import { SYSCALLS } from "../kernel/abi/x86-64/syscalls.ts";
import { openProcess } from "../kernel/descriptors.ts";
import { readNamespaces } from "../kernel/procfs/mod.ts";
import { executableInMemory, spawnProgram } from "../kernel/spawn-ffi.ts";
import type { CallArgument, IpcCalls } from "../kernel/sysv-ipc.ts";
import { ARENA, Made, Puppet, call, tolerant } from "./puppet.ts";
import { keeperProgram } from "./x86-64/keeper-program.ts";

/** The helper shares its memory with no job: any address will do. */
const HELPER_ADDRESS = asRemoteAddress(0x10_0000_0000n);
/** The one descriptor that the helper gets besides what every program has. */
const PIDFD_NUMBER = 3;

export class PuppetCalls implements IpcCalls {
  readonly #puppet: Puppet;

  constructor(puppet: Puppet) {
    this.#puppet = puppet;
  }

  get pid(): Pid {
    return this.#puppet.pid;
  }

  call(number: number, ...args: CallArgument[]): number {
    const data = this.#puppet.data();
    const filled: { readonly buffer: Buffer; readonly address: bigint }[] = [];
    const words = args.map((one) => {
      if (typeof one !== "object") return BigInt(one);
      const address = data.put(one);
      filled.push({ buffer: one, address });
      return address;
    });
    const [result] = this.#puppet.run([tolerant(number, ...words)], data);
    for (const { buffer, address } of filled) this.#puppet.readData(address, buffer.length).copy(buffer);
    return Number(result);
  }
}

/**
 * A process of ours in the IPC namespace of `member`. Node can't go there itself: a namespace is entered by one thread,
 * and a user namespace only by a process that has no other. It dies with us.
 */
export class IpcHelper implements Disposable {
  readonly calls: IpcCalls;
  readonly #made: Made;
  readonly #puppet: Puppet;

  constructor(member: Pid) {
    using pidfd = openProcess(member);
    const { image } = keeperProgram({
      baseAddress: HELPER_ADDRESS,
      lengthBytes: ARENA.bytes,
      recordFd: -1,
      pipeFd: -1,
      mode: { kind: "restore" },
    });
    const program = executableInMemory("cairn-ipc", image);
    try {
      const pid = spawnProgram({
        program,
        arguments: [Buffer.from("cairn-ipc")],
        environment: [],
        descriptors: [{ from: pidfd.fd, to: PIDFD_NUMBER }],
      });
      this.#made = new Made(pid, asTid(pid));
      this.#puppet = Puppet.seizeFirst(pid, HELPER_ADDRESS);
    } finally {
      closeSync(program);
    }
    try {
      this.#puppet.run([call(SYSCALLS.setns, BigInt(PIDFD_NUMBER), BigInt(CLONE_NEWIPC | (sharesUsers(member) ? 0 : CLONE_NEWUSER)))]);
    } catch (cause) {
      this[Symbol.dispose]();
      throw new CairnError("permission", `Cannot look at the System V IPC of process ${member}: its IPC namespace can't be entered`, {
        data: { pid: member },
        hint: "Checkpoint as the user who restarted the job, or as root",
        cause,
      });
    }
    this.calls = new PuppetCalls(this.#puppet);
  }

  [Symbol.dispose](): void {
    this.#made.kill();
    this.#made.reap();
  }
}

function sharesUsers(member: Pid): boolean {
  return readNamespaces(member)?.user === readNamespaces(process.pid as Pid)?.user;
}

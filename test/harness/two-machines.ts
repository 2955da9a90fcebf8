/**
 * Two machines, as far as the network goes: a peer's network namespace, and one of the job's that can be replaced by another with the same
 * addresses. Between the two a cable (a pair of veth devices) that can be pulled out.
 */
import { spawnSync } from "node:child_process";
import { findTool } from "./programs.ts";

export const PEER_ADDRESSES = { 4: "10.77.0.1", 6: "fd77::1" } as const;
const JOB_ADDRESSES = { 4: "10.77.0.2", 6: "fd77::2" } as const;
/** The same after each replacement, so that nobody has to forget where the other one was. */
const PEER_HARDWARE = "02:00:00:00:77:01";
const JOB_HARDWARE = "02:00:00:00:77:02";

let count = 0;

/** Why there can be none here; null when there can. */
export function whyNoMachines(): string | null {
  if (process.getuid?.() !== 0) return "needs root";
  return findTool("ip") === undefined || findTool("nsenter") === undefined ? "no iproute2 or util-linux on this machine" : null;
}

export class TwoMachines implements Disposable {
  readonly #name = `cairn-test-${process.pid}-${++count}`;
  #generation = 0;

  constructor() {
    this.#ip("netns", "add", this.#peer);
    this.#inside(this.#peer, "link", "set", "lo", "up");
    this.newMachine();
  }

  get #peer(): string {
    return `${this.#name}-peer`;
  }

  get #job(): string {
    return `${this.#name}-job${this.#generation}`;
  }

  /** What is put before a command, so that it runs on the peer's machine. */
  get onPeer(): readonly [string, ...string[]] {
    return ["nsenter", `--net=/run/netns/${this.#peer}`];
  }

  get onJob(): readonly [string, ...string[]] {
    return ["nsenter", `--net=/run/netns/${this.#job}`];
  }

  /** The job's machine is gone, cable and all, and another one has its addresses. Precondition: nobody runs on the old one. */
  newMachine({ isReachable = true, hasAddresses = true } = {}): void {
    if (this.#generation > 0) {
      this.pullCable();
      this.#ip("netns", "del", this.#job);
    }
    this.#generation += 1;
    this.#ip("netns", "add", this.#job);
    this.#inside(this.#job, "link", "set", "lo", "up");
    this.#plugCable(hasAddresses);
    if (isReachable) this.makeReachable();
  }

  makeReachable(): void {
    this.#inside(this.#peer, "link", "set", "peer0", "up");
  }

  #plugCable(hasAddresses: boolean): void {
    const [job, peer] = ["job0", "peer0"];
    this.#inside(
      this.#job,
      "link",
      "add",
      job,
      "address",
      JOB_HARDWARE,
      "type",
      "veth",
      "peer",
      "name",
      peer,
      "address",
      PEER_HARDWARE,
      "netns",
      this.#peer,
    );
    for (const [where, device, addresses] of [
      [this.#job, job, JOB_ADDRESSES],
      [this.#peer, peer, PEER_ADDRESSES],
    ] as const) {
      if (where === this.#job && !hasAddresses) continue;
      this.#inside(where, "address", "add", `${addresses[4]}/24`, "dev", device);
      this.#inside(where, "address", "add", `${addresses[6]}/64`, "dev", device, "nodad");
      if (where === this.#job) this.#inside(where, "link", "set", device, "up");
    }
  }

  pullCable(): void {
    spawnSync("ip", ["-n", this.#peer, "link", "del", "peer0"]);
  }

  [Symbol.dispose](): void {
    for (const name of [this.#job, this.#peer]) spawnSync("ip", ["netns", "del", name]);
  }

  #inside(name: string, ...argv: readonly string[]): void {
    this.#ip("-n", name, ...argv);
  }

  #ip(...argv: readonly string[]): void {
    const { status, stderr } = spawnSync("ip", [...argv], { encoding: "utf8" });
    if (status !== 0) throw new Error(`ip ${argv.join(" ")} failed: ${stderr}`);
  }
}

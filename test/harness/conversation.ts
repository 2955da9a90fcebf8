/** A job and a peer outside it that talk by TCP as the test orders (see test/programs/talkers.py). */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Job, touch } from "./job.ts";
import { CAIRN } from "./place.ts";
import type { Outcome, Place, SpawnOptions, Started } from "./place.ts";
import { PROGRAMS } from "./programs.ts";
import { TAG_VARIABLE, isAlive, killIfAlive, processFacts } from "./processes.ts";
import { PEER_ADDRESSES } from "./two-machines.ts";
import type { TwoMachines } from "./two-machines.ts";
import { until } from "./wait.ts";

export type Role = "listen" | "connect";

export interface Told {
  readonly sent: number;
  readonly received: number;
}

export class Conversation implements AsyncDisposable {
  readonly place: Place;
  readonly job: Job;
  readonly peer: Started;
  readonly #onJob: () => readonly string[];
  readonly #folder: string;
  #orders = 0;
  /** Whoever has held connections for the job. */
  readonly #holders = new Set<number>();

  private constructor(place: Place, onJob: () => readonly string[], folder: string, peer: Started, job: Job) {
    this.place = place;
    this.job = job;
    this.peer = peer;
    this.#onJob = onJob;
    this.#folder = folder;
  }

  /** Over the loopback address, or from one machine to the other. */
  static begin(place: Place, python: string, machines: TwoMachines | null = null, family: 4 | 6 = 4): Promise<Conversation> {
    const address = machines === null ? (family === 4 ? "127.0.0.1" : "::1") : PEER_ADDRESSES[family];
    return Conversation.#begin(place, python, address, machines?.onPeer ?? [], () => machines?.onJob ?? []);
  }

  /** Over the loopback address; what the job's side does is done by way of a command before it. */
  static beginBehind(place: Place, python: string, command: readonly string[]): Promise<Conversation> {
    return Conversation.#begin(place, python, "127.0.0.1", [], () => command);
  }

  static async #begin(
    place: Place,
    python: string,
    address: string,
    onPeer: readonly string[],
    onJob: () => readonly string[],
  ): Promise<Conversation> {
    const folder = place.path("orders");
    mkdirSync(folder);
    const program = join(PROGRAMS, "talkers.py");
    const [command, ...words] = [...onPeer, python, program, "listen", address, folder];
    // Not one of the processes that go down with the job.
    const peer = place.start(command, words, { environment: { [TAG_VARIABLE]: undefined } });
    const port = await until("the peer listens", () => /^port (\d+)$/m.exec(readFileSync(peer.stdoutPath, "utf8"))?.[1]);
    const job = new Job(place, [python, program, "connect", address, port, folder], { around: onJob() });
    await job.says("connected\n");
    return new Conversation(place, onJob, folder, peer, job);
  }

  get peerOut(): string {
    return readFileSync(this.peer.stdoutPath, "utf8");
  }

  /** Gives an order, without waiting until it is done. Its number. */
  order(who: Role, what: string): number {
    this.#orders += 1;
    touch(join(this.#folder, `${this.#orders}-${who}-${what}`));
    return this.#orders;
  }

  async do(who: Role, what: string): Promise<void> {
    const number = this.order(who, what);
    await until(`${who === "listen" ? "the peer" : "the job"} has done: ${what}`, () => this.answerTo(who, number) === "done");
  }

  /** Orders `who-what`, one after the other. */
  async doAll(orders: readonly string[]): Promise<void> {
    for (const order of orders) {
      const [who = "", what = ""] = order.split(/-(.*)/s);
      await this.do(who as Role, what);
    }
  }

  /** `done`, or the name of an error. */
  answerTo(who: Role, number: number): string | undefined {
    return new RegExp(`^order ${number} (\\w+)$`, "m").exec(who === "listen" ? this.peerOut : this.job.out)?.[1];
  }

  /** A cairn command on the job's machine. */
  cairn(...argv: string[]): Promise<Outcome> {
    return this.cairnWith({}, ...argv);
  }

  async cairnWith(options: SpawnOptions, ...argv: string[]): Promise<Outcome> {
    const [command = CAIRN, ...words] = [...this.#onJob(), CAIRN, ...argv];
    const started = this.place.start(command, words, options);
    let isOver = false;
    void started.ended.then(() => (isOver = true));
    await until(`cairn ${argv.join(" ")} ends`, () => isOver);
    this.holder();
    return started.ended;
  }

  /** The process that holds connections for the job; null when there is none. */
  holder(): number | null {
    const path = join(this.place.store, "jobs/job/held.json");
    if (!existsSync(path)) return null;
    const { pid } = JSON.parse(readFileSync(path, "utf8")) as { pid: number };
    this.#holders.add(pid);
    return isAlive(pid) ? pid : null;
  }

  /** Nobody holds anything any more. */
  async isLetGo(): Promise<void> {
    await until("the holder has ended", () => [...this.#holders].every((pid) => !isAlive(pid)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of this.#holders) if (processFacts(pid)?.comm === "cairn-holder") killIfAlive(pid);
    this.peer.signal("SIGKILL");
    await this.peer.ended;
  }

  /** Restarts the job on its machine; when this returns, it runs. */
  async restart(...options: string[]): Promise<void> {
    const stderr = this.place.path(`restart.err`);
    this.job.restart("job", options, { stderr, around: this.#onJob() });
    await until("the job runs again", () => {
      if (this.job.outcome !== undefined) assert.fail(`The restart failed: ${this.job.explain()}`);
      return this.place.read("restart.err").includes("goes on from checkpoint");
    });
  }

  /** Both end and read to the end: all that one has sent the other has received, and nothing else. */
  async finish(haveEnded: readonly Role[] = []): Promise<void> {
    for (const who of ["listen", "connect"] as const) if (!haveEnded.includes(who)) this.order(who, "end");
    this.order("listen", "rest");
    this.order("connect", "rest");
    const told = async (who: Role): Promise<Told> => {
      const [, sent, received, right] = await until(`${who} has come to the end`, () => {
        const out = who === "listen" ? this.peerOut : this.job.out;
        assert.doesNotMatch(out, /Error$/m, this.job.explain());
        return /^sent (\d+) received (\d+) (\w+)$/m.exec(out) ?? undefined;
      });
      assert.equal(right, "right", `what ${who} received is what was sent`);
      return { sent: Number(sent), received: Number(received) };
    };
    const [peer, job] = [await told("listen"), await told("connect")];
    assert.deepEqual(peer, { sent: job.received, received: job.sent });
  }
}

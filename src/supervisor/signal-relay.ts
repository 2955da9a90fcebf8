/**
 * Makes this process transparent to signals: what is sent to it alone reaches the job, what the terminal sends reaches the job
 * anyway, and job control stops and continues both, and gives both the terminal. The decisions are in signal-policy.ts.
 */
import type { Pid } from "../base/ids.ts";
import { readStat } from "../kernel/procfs/mod.ts";
import { signalOwnGroup, stopBy } from "../kernel/stop-self.ts";
import { SIGNALS } from "../kernel/signals.ts";
import type { Keeper } from "../tracee/mod.ts";
import { fromKeys, missesJob, onStop, passedSignals, passesOn } from "./signal-policy.ts";
import type { Sender, SignalName } from "./signal-policy.ts";
import { TerminalLoan } from "./terminal-loan.ts";
import { canBeContinued, readTerminalState } from "./terminal.ts";
import { SignalOrigins } from "./x86-64/signal-origins.ts";

export class SignalRelay implements Disposable {
  readonly terminal = new TerminalLoan();
  readonly #hadTerminal = readTerminalState().controllingTerminal;
  readonly #handlers = new Map<SignalName, () => void>();
  readonly #origins: SignalOrigins | null;
  /** How many of each, made by processes, have been dealt with. */
  readonly #seen = new Map<SignalName, number>();
  #rootPid: Pid | undefined;
  #waiting: SignalName[] = [];
  /** Come before the job's first instruction, and Node has not told us of them yet. */
  readonly #owed = new Set<SignalName>();

  /** From here on no signal of the list ends this process. */
  constructor() {
    for (const signal of passedSignals) this.#handle(signal, () => this.#received(signal));
    this.#handle("SIGCONT", () => this.#continued());
    this.#origins = SignalOrigins.tryInstall(passedSignals);
  }

  #handle(signal: SignalName, handler: () => void): void {
    this.#handlers.set(signal, handler);
    process.on(signal, handler);
  }

  /**
   * The job stands complete and is about to run. What has come until now cannot have reached it; but Node tells us of it only when we are done with
   * what we do in one go, and a key would look by then as if the terminal had sent it to the job too.
   */
  jobBegins(): void {
    for (const signal of passedSignals) {
      const counts = this.#origins?.countsOf(signal);
      if (counts === undefined || this.#waiting.includes(signal)) continue;
      if (counts.fromProcesses > 0 || (counts.fromKernel > 0 && fromKeys.has(signal))) this.#owed.add(signal);
    }
  }

  /**
   * The job runs: it gets what came while it was being started, none of which can have reached it.
   * `borrowsTerminal`: it has a process group of its own that is to have the terminal whenever ours does.
   */
  attach(keeper: Keeper, borrowsTerminal: boolean): void {
    this.#rootPid = keeper.rootPid;
    this.terminal.attach(keeper, borrowsTerminal);
    for (const signal of this.#waiting.splice(0)) this.#send(signal);
  }

  #received(signal: SignalName): void {
    if (this.#rootPid === undefined) {
      this.#waiting.push(signal);
      return;
    }
    const { foreground, controllingTerminal } = readTerminalState();
    const borrower = this.terminal.borrower();
    const facts = { foreground, hungUp: this.#hadTerminal && !controllingTerminal, borrowed: borrower !== null };
    const sender = this.#senderOf(signal);
    if (this.#owed.delete(signal)) return this.#send(signal);
    if (borrower !== null && missesJob(signal, sender, facts)) {
      this.terminal.lend();
      sendIfAlive(-Number(borrower), signal);
    } else if (passesOn(signal, sender, facts)) this.#send(signal);
  }

  /** Of several that came together, those of processes count: one signal for the job, as a pending signal is one. */
  #senderOf(signal: SignalName): Sender {
    if (this.#origins === null) return "unknown";
    const { fromProcesses } = this.#origins.countsOf(signal);
    const isNew = fromProcesses > (this.#seen.get(signal) ?? 0);
    this.#seen.set(signal, fromProcesses);
    return isNew ? "process" : "kernel";
  }

  #send(signal: SignalName): void {
    if (this.#rootPid !== undefined) sendIfAlive(this.#rootPid, signal);
  }

  /**
   * The keeper saw the job's root stop. That may be old news: 1. the job stops, and we with it, before we could read of it; 2. `fg`
   * continues both; 3. we read of the stop. Whoever stopped now would stand beside a job that runs.
   */
  jobStopped(signal: number): void {
    const root = this.#rootPid === undefined ? null : readStat(this.#rootPid);
    if (root?.state !== "T") return;
    const state = readTerminalState();
    const withJob = this.terminal.isWithJob(state);
    const borrowed = this.terminal.borrower() !== null;
    switch (onStop(signal, { ...state, withJob, borrowed, canBeContinued: canBeContinued() })) {
      case "lend":
        this.terminal.lend();
        return sendIfAlive(-Number(root.processGroup), "SIGCONT");
      case "continue":
        return sendIfAlive(-Number(root.processGroup), "SIGCONT");
      case "stop":
        if (withJob) this.terminal.takeBack();
        // The key, or the job, stopped a group: what stands beside us in a pipeline is stopped as it would be beside the program.
        if (borrowed) signalOwnGroup(signal === SIGNALS.SIGSTOP ? SIGNALS.SIGTSTP : signal);
        return stopBy(signal);
      case "stay":
    }
  }

  /** `fg` continues the whole process group, the job with it if it is in it; `kill -CONT` may have continued us alone. */
  #continued(): void {
    if (this.#rootPid === undefined) return;
    // First: what the job does at its terminal when it goes on would stop it again.
    this.terminal.lend();
    const root = readStat(this.#rootPid);
    if (root?.state === "T") sendIfAlive(-Number(root.processGroup), "SIGCONT");
  }

  [Symbol.dispose](): void {
    for (const [signal, handler] of this.#handlers) process.off(signal, handler);
  }
}

function sendIfAlive(pid: number, signal: SignalName): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // Ended meanwhile, or become somebody else's by a setuid program: then it is not for us to say.
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}

/**
 * Which signals the supervisor passes on to the job, and when it stops itself. Pure: what the terminal and the
 * process table say comes in as facts.
 *
 * The job stands in our process group or has the terminal for its own, so whatever the terminal sends reaches it without us; passing
 * it on as well would deliver it twice. What the kernel makes for us alone (SIGXCPU) is no business of the job's either.
 */
export type SignalName = NodeJS.Signals;

export interface TerminalFacts {
  /** Our process group is the foreground group of our controlling terminal. */
  readonly foreground: boolean;
  /** We had a controlling terminal when we started, and it is gone. */
  readonly hungUp: boolean;
  /** The job has a group of its own, which is to have the terminal whenever ours is given it (terminal-loan.ts). */
  readonly borrowed: boolean;
}

/** Sent by a key or a window change to the whole foreground group. */
export const fromKeys: ReadonlySet<SignalName> = new Set(["SIGINT", "SIGQUIT", "SIGTSTP", "SIGWINCH"]);

/** Every signal that a user may send to a program and that we would not survive, or would swallow, without a handler. */
export const passedSignals: readonly SignalName[] = [
  "SIGINT",
  "SIGQUIT",
  "SIGTSTP",
  "SIGWINCH",
  "SIGHUP",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGVTALRM",
  "SIGIO",
  "SIGPWR",
  "SIGURG",
  "SIGXCPU",
  "SIGXFSZ",
];

/** `unknown` where the system does not let us see the sender (x86-64/signal-origins.ts): then we go by whether the terminal could have sent it. */
export type Sender = "kernel" | "process" | "unknown";

export function passesOn(signal: SignalName, sender: Sender, terminal: TerminalFacts): boolean {
  if (missesJob(signal, sender, terminal)) return true;
  if (sender === "kernel") return false;
  if (sender === "unknown" && fromKeys.has(signal)) return !terminal.foreground;
  // When a terminal closes, the kernel tells the shell, and the shell the whole process group.
  if (signal === "SIGHUP") return !terminal.hungUp;
  return true;
}

/**
 * A key that went to our group while the job's own group should have had the terminal: a shell that makes a job which runs in the background
 * its foreground job says so to nobody.
 */
export function missesJob(signal: SignalName, sender: Sender, { foreground, borrowed }: TerminalFacts): boolean {
  return borrowed && foreground && sender !== "process" && fromKeys.has(signal);
}

export interface StopFacts {
  readonly controllingTerminal: boolean;
  /** Our group is in the foreground. */
  readonly foreground: boolean;
  /** Another group of the job is. */
  readonly withJob: boolean;
  readonly borrowed: boolean;
  /** Somebody waits for us who could continue us: not so for a session's leader. */
  readonly canBeContinued: boolean;
}

const SIGTSTP = 20;
const SIGTTIN = 21;
const SIGTTOU = 22;

/**
 * The job's root has stopped:
 * - `stop` ourselves too, so that the shell that waits for us takes its terminal back. Only where somebody is there to continue us. A SIGSTOP
 *   that a script sent to the job in the background is no business of the shell's: its SIGCONT would go to the job alone and leave us stopped
 *   for ever;
 * - `lend` it the terminal that we have, and that it stopped for want of;
 * - `continue` it: alone in our place, the key would not have stopped it, for nobody could continue it;
 * - `stay` as we are.
 */
export function onStop(signal: number, facts: StopFacts): "stop" | "lend" | "continue" | "stay" {
  const { foreground, withJob, borrowed } = facts;
  if (!facts.controllingTerminal) return "stay";
  const wantsTerminal = signal === SIGTTIN || signal === SIGTTOU;
  if (wantsTerminal && foreground && borrowed) return "lend";
  if (!facts.canBeContinued) return withJob && signal === SIGTSTP ? "continue" : "stay";
  return foreground || withJob || wantsTerminal || signal === SIGTSTP ? "stop" : "stay";
}

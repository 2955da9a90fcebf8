/** The restart itself: in this process, which then stands by the job until it ends. */
import { restartJob } from "../supervisor/restart-job.ts";
import type { RestartRequest, Restarted } from "../supervisor/restart-job.ts";
import { SignalRelay } from "../supervisor/signal-relay.ts";
import type { Reporter } from "./background.ts";
import { endBySignal } from "./end-like-job.ts";
import { formatAge } from "./format.ts";
import type { RestartOptions } from "./restart.ts";
import { say, superviseToTheEnd } from "./supervised.ts";

/** Which checkpoint, and how it is to be restored. */
export type Chosen = Omit<RestartRequest, "detached" | "onBegin" | "onReady">;

/** `report`: of a restart in the background. Gives the exit code of a restart that failed there; otherwise ends as the job does. */
export async function restartHere(chosen: Chosen, options: RestartOptions, report: Reporter | null): Promise<number> {
  const quiet = options.quiet === true;
  let relay: SignalRelay | undefined;
  // What a background is sent is between it and its sender; nobody reads there.
  const untilBegin = report === null ? sayingThatItWasGivenUp() : null;
  const request: RestartRequest = {
    ...chosen,
    detached: options.detach === true,
    onBegin: () => {
      relay = new SignalRelay();
      untilBegin?.[Symbol.dispose]();
    },
    onReady: (restarted) => {
      if (!quiet) tell(restarted, options.detach === true ? null : say);
      relay?.jobBegins();
    },
  };
  let restarted: Restarted;
  try {
    restarted = await restartJob(request);
  } catch (error) {
    untilBegin?.[Symbol.dispose]();
    relay?.terminal.settle(true);
    relay?.[Symbol.dispose]();
    if (report !== null) return report.failed(error);
    throw error;
  }
  report?.running(lineFor(restarted));
  return superviseToTheEnd({
    ...restarted,
    relay: relay ?? new SignalRelay(),
    everyMs: options.every ?? null,
    quiet,
    nameChosenByUser: true,
  });
}

/** For as long as the image is read and checked: Ctrl-C then ends us, and the user is told how things stand. */
function sayingThatItWasGivenUp(): Disposable {
  const handler = (_name: NodeJS.Signals, signal: number): never => {
    say("The restart was given up; nothing was changed");
    return endBySignal(signal);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, handler);
  return {
    [Symbol.dispose]: () => {
      for (const signal of signals) process.off(signal, handler);
    },
  };
}

function tell(restarted: Restarted, headline: ((line: string) => void) | null): void {
  headline?.(lineFor(restarted));
  for (const warning of restarted.warnings) say(`Note: ${warning}`);
}

function lineFor({ job, checkpoint, keeper }: Restarted): string {
  const age = formatAge(Date.parse(checkpoint.manifest.takenAt), Date.now());
  return `Job "${job.name}" goes on from checkpoint ${checkpoint.number}, taken ${age} (process ${keeper.rootPid})`;
}

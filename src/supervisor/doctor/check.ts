/** One thing that Cairn needs from the machine: what was found, why it matters, what to do about it. */

export type CheckStatus = "ok" | "limited" | "no";

export interface Check {
  /** Stable, for scripts. */
  readonly name: string;
  readonly title: string;
  readonly status: CheckStatus;
  readonly found: string;
  readonly why: string;
  readonly remedy: string | null;
  /** Without it, run, checkpoint and restart do not work at all. */
  readonly essential: boolean;
}

/** What a probe found; the rest of a check is the same whatever that is. */
export interface Finding {
  readonly status: CheckStatus;
  readonly found: string;
  readonly remedy?: string;
}

export const ok = (found: string): Finding => ({ status: "ok", found });
export const limited = (found: string, remedy: string): Finding => ({ status: "limited", found, remedy });
export const no = (found: string, remedy: string): Finding => ({ status: "no", found, remedy });

export interface CheckDefinition {
  readonly name: string;
  readonly title: string;
  readonly why: string;
  readonly essential: boolean;
}

/** A probe that fails in an unforeseen way is a finding too: doctor runs where things are broken. */
export function runCheck(definition: CheckDefinition, probe: () => Finding): Check {
  let finding: Finding;
  try {
    finding = probe();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    finding = no(`the check failed: ${message}`, "Run it again with CAIRN_DEBUG=1 and report what it prints");
  }
  return { ...definition, status: finding.status, found: finding.found, remedy: finding.remedy ?? null };
}

/** Whether the main job (run, checkpoint, restart) works here. */
export function mainJobWorks(checks: readonly Check[]): boolean {
  return checks.every((check) => check.status !== "no" || !check.essential);
}

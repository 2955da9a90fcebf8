/** `cairn restart --dry-run`: everything that differs here, and whether the job could go on. */
import { clauseOf } from "../restore/problems.ts";
import { previewRestart } from "../supervisor/preview-restart.ts";
import type { RestartPreview } from "../supervisor/preview-restart.ts";
import { EXIT_OK, exitCodeOf } from "./exit-codes.ts";
import { formatAge } from "./format.ts";
import { printJson, printOut, styleOut } from "./output.ts";

export interface DryRunJson {
  readonly job: string;
  readonly number: number;
  readonly wouldRestart: boolean;
  /** Of this system's own numbering, or of a pid namespace of the job's. */
  readonly pids: "host" | "namespace";
  readonly problems: readonly { readonly code: string; readonly what: string; readonly remedy: string | null }[];
  readonly notes: readonly string[];
}

/** The exit code: 0 when it would restart, else that with which a restart would be refused. */
export async function dryRun(request: Parameters<typeof previewRestart>[0], json: boolean): Promise<number> {
  const preview = await previewRestart(request);
  const result = dryRunJson(preview);
  if (json) printJson(result);
  else printOut(report(result, preview));
  const [first] = preview.problems;
  return first === undefined ? EXIT_OK : exitCodeOf(first.code);
}

function dryRunJson({ job, checkpoint, problems, notes, pids }: RestartPreview): DryRunJson {
  return {
    job: job.name,
    number: checkpoint.number,
    wouldRestart: problems.length === 0,
    pids,
    problems: problems.map((problem) => ({ code: problem.code, what: clauseOf(problem), remedy: problem.hint ?? null })),
    notes,
  };
}

function report({ job, number, wouldRestart, problems, notes, pids }: DryRunJson, { checkpoint }: RestartPreview): string {
  const lines = [
    ...problems.flatMap(({ what, remedy }) => [
      `${styleOut("red", "no  ")}  ${what}`,
      ...(remedy === null ? [] : [`      Remedy: ${remedy}`]),
    ]),
    ...notes.map((note) => `${styleOut("yellow", "note")}  ${note}`),
  ];
  const from = `checkpoint ${number}, taken ${formatAge(Date.parse(checkpoint.manifest.takenAt), Date.now())}`;
  lines.push(
    wouldRestart
      ? `Job "${job}" would go on from ${from}, with its pids${pids === "namespace" ? " in a pid namespace of its own" : ""}`
      : styleOut("red", `Job "${job}" cannot go on here from ${from}`),
  );
  return `${lines.join("\n")}\n`;
}

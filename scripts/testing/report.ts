/** What `npm test` prints: progress while it runs, and a summary that hides no skipped test. */
import { styleText } from "node:util";
import { isAllowedSkip } from "./allowed-skips.ts";
import type { FileResult, TestOutcome } from "./run-file.ts";

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const marks = { passed: styleText("green", "✔"), failed: styleText("red", "✖"), skipped: styleText("yellow", "-") } as const;

/** Longer than this, and a test's duration is of interest. */
const SLOW_MS = 1_000;
/** Output of a failed file that is shown: its end, where the reason usually is. */
const OUTPUT_LINES = 200;

export function countOutcomes(outcomes: readonly TestOutcome[]): Counts {
  const count = (kind: TestOutcome["kind"]): number => outcomes.filter((outcome) => outcome.kind === kind).length;
  return { passed: count("passed"), failed: count("failed"), skipped: count("skipped") };
}

/** The line that says how it ended, alone on a line and without colour, for people and for scripts. */
export function closingLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

export function printOutcome(outcome: TestOutcome): void {
  const duration = outcome.durationMs >= SLOW_MS ? ` (${(outcome.durationMs / 1000).toFixed(1)} s)` : "";
  const reason = outcome.kind === "skipped" ? `: ${outcome.detail}` : "";
  console.log(`  ${marks[outcome.kind]} ${outcome.name}${reason}${duration}`);
}

export function printRemark(remark: string): void {
  console.log(styleText("dim", remark.replaceAll(/^/gm, "      ")));
}

/** One line for a file of quick tests, and whatever did not pass. */
export function printFile(file: string, result: FileResult): void {
  const counts = countOutcomes(result.outcomes);
  console.log(`${counts.failed > 0 ? marks.failed : marks.passed} ${file} ${styleText("dim", closingLine(counts))}`);
  for (const outcome of result.outcomes) if (outcome.kind !== "passed") printOutcome(outcome);
}

export function printFailures(result: FileResult): void {
  const failures = result.outcomes.filter(({ kind }) => kind === "failed");
  for (const { name, detail } of failures) console.log(`\n${marks.failed} ${name}\n${indent(detail)}`);
  if (failures.length > 0 && result.remarks.length > 0) console.log(`\n  Remarks of its tests:\n${indent(result.remarks.join("\n"))}`);
  if (failures.length > 0 && result.output.trim() !== "") {
    const lines = result.output.trimEnd().split("\n");
    const shown = lines.slice(-OUTPUT_LINES);
    const cut = lines.length > shown.length ? ` (the last ${shown.length} of ${lines.length} lines)` : "";
    console.log(`\n  Output of this file${cut}:\n${indent(shown.join("\n"))}`);
  }
  if (failures.length > 0) console.log("");
}

/** Returns whether all is well: tests ran, none failed, and none was skipped that had to run. */
export function printSummary(outcomes: readonly TestOutcome[], requireAll: boolean): boolean {
  const counts = countOutcomes(outcomes);
  const skipped = outcomes.filter(({ kind }) => kind === "skipped");
  const unexcused = requireAll ? skipped.filter((outcome) => !isAllowedSkip(outcome)) : [];
  printSkipped(
    "Skipped",
    skipped.filter((outcome) => !unexcused.includes(outcome)),
  );
  printSkipped("Skipped, although every test is required here (CAIRN_REQUIRE_ALL)", unexcused);
  const failed = outcomes.filter(({ kind }) => kind === "failed");
  if (failed.length > 0) console.log(`\nFailed (${failed.length}):`);
  for (const { file, name } of failed) console.log(`  ${file}: ${name}`);
  const nothingRan = counts.passed + counts.failed === 0;
  if (nothingRan) console.log("\nNo test was run");
  console.log(`\n${closingLine(counts)}`);
  return counts.failed === 0 && unexcused.length === 0 && !nothingRan;
}

/** By reason: a compiler that is missing has many tests to its name. */
function printSkipped(title: string, skipped: readonly TestOutcome[]): void {
  if (skipped.length === 0) return;
  console.log(`\n${title} (${skipped.length}):`);
  for (const [reason, outcomes] of Map.groupBy(skipped, ({ detail }) => detail)) {
    console.log(`  ${reason}:`);
    for (const { file, name } of outcomes) console.log(`    ${file}: ${name}`);
  }
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}

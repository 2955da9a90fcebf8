/** `cairn doctor`: what works for this user on this machine, and what to do about the rest. */
import type { Command } from "commander";
import type { Store } from "../store/mod.ts";
import { examine, mainJobWorks } from "../supervisor/doctor/mod.ts";
import type { Check, CheckStatus } from "../supervisor/doctor/mod.ts";
import { EXIT_OK, exitCodeOf } from "./exit-codes.ts";
import type { Finish } from "./main.ts";
import { printJson, printOut, styleOut } from "./output.ts";
import { storeOf } from "./store-option.ts";

const help = `
Examples:
  cairn doctor             what works here, and the remedy for what does not
  cairn doctor --json      for scripts: docs/json.md describes the fields

The exit code is 0 when run, checkpoint and restart work here, and ${exitCodeOf("unsupported")} when they do not.
`;

export function define(command: Command, finish: Finish): void {
  command
    .description("Says what works on this machine, and what to do about the rest.")
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(finish((options: { json?: true }, self: Command) => doctor(storeOf(self), options.json === true)));
}

function doctor(store: Store, json: boolean): number {
  const checks = examine(store.directory);
  const works = mainJobWorks(checks);
  if (json) printJson({ works, checks });
  else printOut(report(checks, works));
  return works ? EXIT_OK : exitCodeOf("unsupported");
}

const marks: Readonly<Record<CheckStatus, () => string>> = {
  ok: () => styleOut("green", "ok     "),
  limited: () => styleOut("yellow", "limited"),
  no: () => styleOut("red", "no     "),
};

function report(checks: readonly Check[], works: boolean): string {
  const width = Math.max(...checks.map(({ title }) => title.length));
  const lines = checks.flatMap((check) => {
    const line = `${marks[check.status]()}  ${check.title.padEnd(width)}  ${check.found}`;
    if (check.remedy === null) return [line];
    const indent = " ".repeat(9);
    return [line, `${indent}${styleOut("dim", `Why:    ${check.why}`)}`, `${indent}Remedy: ${check.remedy}`];
  });
  const verdict = works
    ? "cairn run, checkpoint and restart work here."
    : styleOut("red", "cairn cannot save and restart programs here as it stands.");
  return `${lines.join("\n")}\n\n${verdict}\n`;
}

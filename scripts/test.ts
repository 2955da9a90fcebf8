/** `npm test`: runs the unit tests and the end-to-end tests, each file in a process of its own. */
import { appendFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { renewBundle } from "./bundle/make.ts";
import { parseTestOptions, planTests, usage, type TestOptions } from "./testing/options.ts";
import { countOutcomes, printFailures, printFile, printOutcome, printRemark, printSummary } from "./testing/report.ts";
import { killTestsUnderWay, runTestFile, type TestOutcome } from "./testing/run-file.ts";

const UNIT_FILES_AT_ONCE = 2;
/** One where nothing is said: what goes wrong is seen at once, and beside nothing else. Tests mostly wait, so that two take little longer. */
const END_TO_END_FILES_AT_ONCE = Number(process.env["CAIRN_TEST_FILES_AT_ONCE"] ?? 1);
/** Only against what hangs for ever: a machine with much other work takes several times as long as one without. */
const UNIT_LIMIT_MS = 10 * 60_000;
const END_TO_END_LIMIT_MS = 40 * 60_000;

function optionsOrExit(): TestOptions {
  try {
    return parseTestOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    process.exit(2);
  }
}

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);
renewBundle(root);
const { namePattern, ...plan } = planTests(root, optionsOrExit());
const outcomes: TestOutcome[] = [];

async function runUnitFiles(): Promise<void> {
  const queue = [...plan.unit];
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const result = await runTestFile({ file, limitMs: UNIT_LIMIT_MS, namePattern, onOutcome: () => undefined });
      outcomes.push(...result.outcomes);
      if (result.outcomes.length === 0) continue;
      printFile(file, result);
      printFailures(result);
    }
  };
  await Promise.all(Array.from({ length: UNIT_FILES_AT_ONCE }, worker));
}

async function runEndToEndFiles(): Promise<void> {
  // The longest first: nothing else is left to run beside what comes last.
  const queue = END_TO_END_FILES_AT_ONCE > 1 ? longestFirst(plan.endToEnd) : [...plan.endToEnd];
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runEndToEndFile(file);
  };
  await Promise.all(Array.from({ length: END_TO_END_FILES_AT_ONCE }, worker));
}

/** Told as it goes on; beside others, once it has ended. */
async function runEndToEndFile(file: string): Promise<void> {
  const lines: (() => void)[] = [];
  const tell = END_TO_END_FILES_AT_ONCE > 1 ? (print: () => void): void => void lines.push(print) : (print: () => void): void => print();
  if (namePattern === undefined) tell(() => console.log(`\n${file}`));
  const result = await runTestFile({
    file,
    limitMs: END_TO_END_LIMIT_MS,
    namePattern,
    onOutcome: (outcome) => tell(() => printOutcome(outcome)),
    onRemark: (remark) => tell(() => printRemark(remark)),
  });
  outcomes.push(...result.outcomes);
  for (const print of lines) print();
  printFailures(result);
}

function longestFirst(files: readonly string[]): string[] {
  const isLong = (file: string): boolean => /real-programs|safety/.test(file);
  return [...files.filter(isLong), ...files.filter((file) => !isLong(file))];
}

for (const [signal, number] of [
  ["SIGINT", 2],
  ["SIGTERM", 15],
  ["SIGHUP", 1],
] as const) {
  process.once(signal, () => {
    void killTestsUnderWay().finally(() => process.exit(128 + number));
  });
}
await runUnitFiles();
await runEndToEndFiles();
const good = printSummary(outcomes, process.env["CAIRN_REQUIRE_ALL"] === "1");
// For a caller that adds up several runs.
const tally = process.env["CAIRN_TEST_TALLY"];
if (tally !== undefined) appendFileSync(tally, `${JSON.stringify(countOutcomes(outcomes))}\n`);
process.exitCode = good ? 0 : 1;

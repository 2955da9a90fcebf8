/** Runs one test file in a process of its own and says how each of its tests ended. */
import { randomUUID } from "node:crypto";
import { inspect } from "node:util";
import { run } from "node:test";
import { FILE_VARIABLE, removeLeftovers } from "./leftovers.ts";

export interface TestOutcome {
  readonly file: string;
  readonly name: string;
  readonly kind: "passed" | "failed" | "skipped";
  readonly durationMs: number;
  /** Why it was skipped, or what failed. */
  readonly detail: string;
}

export interface FileRun {
  readonly file: string;
  /** Against a test that hangs for ever, not a demand on speed. */
  readonly limitMs: number;
  readonly namePattern: RegExp | undefined;
  readonly onOutcome: (outcome: TestOutcome) => void;
  /** What a test says about itself, such as its seed; comes after its outcome. */
  readonly onRemark?: (remark: string) => void;
}

export interface FileResult {
  readonly outcomes: readonly TestOutcome[];
  readonly remarks: readonly string[];
  /** What the file's process and its tests wrote. */
  readonly output: string;
}

/** Stands for a test's name where no single test is at fault. */
const THE_FILE = "(the file)";
const UNWRITTEN = "still to be written";

const underWay = new Set<string>();
let brokenOff = false;

/** For a run that is broken off: ends the test files under way and whatever they started; no other begins any more. */
export async function killTestsUnderWay(): Promise<void> {
  brokenOff = true;
  for (const identity of underWay) await removeLeftovers(identity, 0);
}

export async function runTestFile(request: FileRun): Promise<FileResult> {
  // The process ends before this does.
  if (brokenOff) return new Promise<never>(() => undefined);
  const { file, limitMs, namePattern } = request;
  const outcomes: TestOutcome[] = [];
  const output: string[] = [];
  const remarks: string[] = [];
  let fileFailure: string | undefined;
  let success = false;
  const report = (outcome: Omit<TestOutcome, "file">): void => {
    const complete = { file, ...outcome };
    outcomes.push(complete);
    request.onOutcome(complete);
  };

  const identity = randomUUID();
  underWay.add(identity);
  const abort = new AbortController();
  const deadline = setTimeout(() => abort.abort(), limitMs);
  const stream = run({
    files: [file],
    concurrency: 1,
    signal: abort.signal,
    // Node hands every option down with its default, and --report-signal, even with its default, would catch SIGUSR2.
    execArgv: ["--no-warnings", "--no-report-on-signal"],
    env: { ...process.env, [FILE_VARIABLE]: identity },
    ...(namePattern === undefined ? {} : { testNamePatterns: namePattern }),
  });
  // Names of the tests around the one that reports: a test ends after those that it holds.
  const around: string[] = [];
  stream.on("test:start", ({ nesting, name }) => {
    around.length = nesting;
    around.push(name);
  });
  stream.on("test:stdout", ({ message }) => output.push(message));
  stream.on("test:stderr", ({ message }) => output.push(message));
  stream.on("test:pass", (event) => {
    if (isTheFileItself(event, file)) {
      if (namePattern === undefined) report({ name: THE_FILE, kind: "failed", durationMs: 0, detail: "It holds no test" });
      return;
    }
    if (event.details.type === "suite" && event.skip === undefined) return;
    const reason = skipReason(event.skip, "skipped without a reason") ?? skipReason(event.todo, UNWRITTEN);
    report({
      name: fullName(around, event),
      kind: reason === undefined ? "passed" : "skipped",
      durationMs: event.details.duration_ms,
      detail: reason ?? "",
    });
  });
  stream.on("test:fail", (event) => {
    const { error, duration_ms: durationMs } = event.details;
    // What fails only because a test inside it failed is already counted there.
    if (failureTypeOf(error) === "subtestsFailed") return;
    const todo = skipReason(event.todo, UNWRITTEN);
    if (isTheFileItself(event, file)) {
      fileFailure = describeError(error);
    } else if (todo === undefined) {
      report({ name: fullName(around, event), kind: "failed", durationMs, detail: describeError(error) });
    } else {
      report({ name: fullName(around, event), kind: "skipped", durationMs, detail: todo });
    }
  });
  stream.on("test:diagnostic", ({ message }) => {
    if (/^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(message)) return;
    remarks.push(message);
    request.onRemark?.(message);
  });
  stream.on("test:summary", (summary) => {
    success = summary.success;
  });
  await new Promise<void>((resolve, reject) => {
    stream.once("end", resolve);
    stream.once("error", reject);
    stream.resume();
  });
  clearTimeout(deadline);
  // An error that a test threw after it had ended fails no test, and still something is wrong.
  if (fileFailure !== undefined || (!success && !outcomes.some(({ kind }) => kind === "failed"))) {
    const hung = abort.signal.aborted ? [`It had not ended after ${Math.round(limitMs / 1000)} s and was killed`] : [];
    report({ name: THE_FILE, kind: "failed", durationMs: 0, detail: [...hung, ...remarks, fileFailure ?? ""].join("\n") });
  }

  const left = await removeLeftovers(identity);
  underWay.delete(identity);
  if (left.length > 0) {
    const list = left.map(({ pid, command }) => `  ${pid} ${command}`).join("\n");
    report({ name: THE_FILE, kind: "failed", durationMs: 0, detail: `It left processes behind, which were killed:\n${list}` });
  }
  return { outcomes, remarks, output: output.join("") };
}

interface TestEvent {
  readonly name: string;
  readonly nesting: number;
}

/** Node reports a file as a test only when it holds none or could not be loaded. */
function isTheFileItself(event: TestEvent, file: string): boolean {
  return event.nesting === 0 && event.name === file;
}

function fullName(around: readonly string[], event: TestEvent): string {
  return [...around.slice(0, event.nesting), event.name].join(" > ");
}

function skipReason(value: string | boolean | undefined, unsaid: string): string | undefined {
  if (value === undefined || value === false) return undefined;
  return value === true || value === "" ? unsaid : value;
}

function failureTypeOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "failureType" in error ? error.failureType : undefined;
}

function describeError(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return cause instanceof Error ? (cause.stack ?? cause.message) : typeof cause === "string" ? cause : inspect(cause);
}

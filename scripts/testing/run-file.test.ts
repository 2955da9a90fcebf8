import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { TestOutcome } from "./run-file.ts";

/** In a process of its own, because Node runs no test files from within a test. */
function outcomesOf(code: string, limitMs = 60_000): TestOutcome[] {
  const folder = mkdtempSync(join(tmpdir(), "cairn-runner-"));
  try {
    const file = join(folder, "sample.test.mjs");
    writeFileSync(file, `import { test, describe, before } from "node:test";\nimport { spawn } from "node:child_process";\n${code}`);
    const runner = fileURLToPath(new URL("run-file.ts", import.meta.url));
    const script = `
      import { runTestFile } from ${JSON.stringify(runner)};
      const request = { file: ${JSON.stringify(file)}, limitMs: ${limitMs}, namePattern: undefined, onOutcome: () => {} };
      process.stdout.write(JSON.stringify((await runTestFile(request)).outcomes));`;
    // As a file: Node would hand `-e` and its script down to the processes that run the tests.
    const scriptFile = join(folder, "runner.mjs");
    writeFileSync(scriptFile, script);
    const environment = { ...process.env };
    delete environment["NODE_TEST_CONTEXT"];
    const printed = execFileSync(process.execPath, ["--no-warnings", scriptFile], { env: environment });
    return JSON.parse(printed.toString()) as TestOutcome[];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const brief = (outcomes: readonly TestOutcome[]): string[] => outcomes.map(({ kind, name }) => `${kind} ${name}`);

test("passes, failures and skips are told apart, and each is counted once", () => {
  const outcomes = outcomesOf(`
    test("good", () => {});
    describe("group", () => { test("bad", () => { throw new Error("boom"); }); });
    test("late", (t) => t.skip("no such thing here"));
    test("unwritten", { todo: true }, () => { throw new Error("not yet"); });`);
  assert.deepEqual(brief(outcomes), ["passed good", "failed group > bad", "skipped late", "skipped unwritten"]);
  assert.match(outcomes[1]?.detail ?? "", /boom/);
  assert.equal(outcomes[2]?.detail, "no such thing here");
});

test("a file without a test, one that cannot be loaded, and one that exits early are failures", () => {
  for (const code of ["", "throw new Error('no');", "process.exit(3);", "test('x', () => process.kill(process.pid, 'SIGKILL'));"]) {
    assert.deepEqual(brief(outcomesOf(code)), ["failed (the file)"], code);
  }
});

test("a hook that fails and an error after the end of a test are failures", () => {
  assert.ok(
    brief(outcomesOf("describe('group', () => { before(() => { throw new Error('hook'); }); test('x', () => {}); });")).includes(
      "failed group",
    ),
  );
  const late = outcomesOf("test('x', () => { setTimeout(() => { throw new Error('late'); }, 10); });");
  assert.deepEqual(brief(late), ["passed x", "failed (the file)"]);
  assert.match(late[1]?.detail ?? "", /late/);
});

test("a file that never ends is killed and counted as failed", () => {
  const outcomes = outcomesOf("test('x', () => {}); setInterval(() => {}, 1000);", 1_500);
  assert.equal(outcomes.at(-1)?.kind, "failed");
  assert.match(outcomes.at(-1)?.detail ?? "", /had not ended/);
});

test("processes that a file leaves behind are killed, named and counted as a failure", () => {
  const outcomes = outcomesOf("test('x', () => { spawn('setsid', ['-f', 'sleep', '1000'], { stdio: 'ignore' }).unref(); });");
  assert.deepEqual(brief(outcomes), ["passed x", "failed (the file)"]);
  assert.match(outcomes[1]?.detail ?? "", /sleep 1000/);
});

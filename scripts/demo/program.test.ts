import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { chooseProgram, expectedLog, isInstalled, programs } from "./program.ts";

for (const program of programs) {
  const absent = isInstalled(program) ? false : `${program.command} is not installed`;
  test(`the demonstration in ${program.command} writes what it is checked against`, { skip: absent }, (t) => {
    const place = mkdtempSync(join(tmpdir(), "cairn-demo-test-"));
    t.after(() => rmSync(place, { recursive: true, force: true }));
    // Nobody wants to wait for the counting: the pauses are taken out.
    writeFileSync(join(place, program.fileName), program.source.replaceAll(/^.*(sleep\(|sleep 0|select).*$/gm, ""));
    execFileSync(program.command, [program.fileName], { cwd: place });
    assert.equal(readFileSync(join(place, "count.log"), "utf8"), expectedLog());
  });
}

test("the program is written for the best interpreter that the machine has", (t) => {
  const bin = mkdtempSync(join(tmpdir(), "cairn-demo-bin-"));
  t.after(() => rmSync(bin, { recursive: true, force: true }));
  const add = (name: string): void => symlinkSync("/bin/sh", join(bin, name));
  writeFileSync(join(bin, "python3"), "not executable");
  chmodSync(join(bin, "python3"), 0o644);
  add("sh");
  assert.equal(chooseProgram(bin).command, "sh");
  add("perl");
  assert.equal(chooseProgram(bin).command, "perl");
  assert.throws(() => chooseProgram("/nonexistent"), /not even sh/);
});

import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { resolveCommand } from "./resolve-command.ts";

const folder = mkdtempSync(join(tmpdir(), "cairn-resolve-"));
after(() => rmSync(folder, { recursive: true }));
const first = join(folder, "first");
const second = join(folder, "second");
for (const made of [first, second, join(first, "tool")]) mkdirSync(made);
writeFileSync(join(first, "plain"), "");
chmodSync(join(first, "plain"), 0o644);
for (const made of [join(second, "tool"), join(second, "plain"), join(folder, "here")]) {
  writeFileSync(made, "");
  chmodSync(made, 0o755);
}
const searchPath = `${first}:${second}`;

test("a command is found in PATH past folders and files that cannot be executed", () => {
  assert.deepEqual(resolveCommand("tool", searchPath, "/"), { kind: "found", path: join(second, "tool") });
  assert.deepEqual(resolveCommand("plain", searchPath, "/"), { kind: "found", path: join(second, "plain") });
});

test("a file that may not be executed is told of when nothing else is found", () => {
  assert.deepEqual(resolveCommand("plain", first, "/"), { kind: "not-executable", path: join(first, "plain"), why: "permission denied" });
});

test("a name with a slash is a path from the working directory", () => {
  assert.deepEqual(resolveCommand("./here", "/nowhere", folder), { kind: "found", path: join(folder, "here") });
  assert.deepEqual(resolveCommand("first/tool", undefined, folder), {
    kind: "not-executable",
    path: join(first, "tool"),
    why: "it is a directory",
  });
});

test("an empty element of PATH is the working directory", () => {
  assert.deepEqual(resolveCommand("here", ":/nowhere", folder), { kind: "found", path: join(folder, "here") });
  assert.deepEqual(resolveCommand("here", "/nowhere", folder), { kind: "not-found" });
});

test("an unknown command is not found", () => {
  assert.deepEqual(resolveCommand("no-such-command", searchPath, "/"), { kind: "not-found" });
  assert.deepEqual(resolveCommand("", searchPath, "/"), { kind: "not-found" });
});

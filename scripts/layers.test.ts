import assert from "node:assert/strict";
import { test } from "node:test";
import { importsOf, layerViolations } from "./layers.ts";

const violationsOf = (path: string, code: string): number => layerViolations(path, code).length;

test("imports that point down pass", () => {
  assert.deepEqual(layerViolations("src/capture/memory.ts", 'import { x } from "../kernel/procfs/mod.ts";\nimport fs from "node:fs";'), []);
  assert.deepEqual(layerViolations("src/kernel/procfs/maps.ts", 'import type { Pid } from "../../base/ids.ts";'), []);
});

test("an import that points up or sideways is a violation, however it is written", () => {
  assert.equal(violationsOf("src/kernel/a.ts", 'import { x } from "../tracee/mod.ts";'), 1);
  assert.equal(violationsOf("src/kernel/abi/x86-64/a.ts", 'import type { X } from "../../../image/mod.ts";'), 1);
  assert.equal(violationsOf("src/capture/a.ts", 'export * from "../restore/mod.ts";'), 1);
  assert.equal(violationsOf("src/capture/a.ts", 'const x = await import("../supervisor/mod.ts");'), 1);
  assert.equal(violationsOf("src/capture/a.ts", 'import "../store/mod.ts";'), 1);
  assert.equal(violationsOf("src/base/a.ts", 'import {\n  x,\n} from "../kernel/errno.ts";'), 1);
  assert.equal(violationsOf("src/cli/start.mjs", 'import "../../scripts/layers.ts";'), 1);
});

test("koffi is imported by the kernel's FFI files only, tests included", () => {
  const code = 'import koffi from "koffi";';
  assert.equal(violationsOf("src/kernel/syscall-ffi.ts", code), 0);
  assert.equal(violationsOf("src/kernel/ptrace.ts", code), 1);
  assert.equal(violationsOf("src/kernel/ptrace.test.ts", code), 1);
});

test("a package that only development has is for tests only", () => {
  const code = 'import fc from "fast-check";';
  assert.equal(violationsOf("src/image/header.ts", code), 1);
  assert.equal(violationsOf("src/image/header.test.ts", code), 0);
  assert.equal(violationsOf("src/image/testing/arbitraries.ts", code), 0);
  assert.equal(violationsOf("src/image/header.ts", 'import { x } from "./testing/arbitraries.ts";'), 1);
});

test("the job's streams cannot be reached through node:process", () => {
  assert.equal(violationsOf("src/cli/run.ts", 'import { stdout } from "node:process";'), 1);
});

test("a new folder has to be placed, and none is called utils", () => {
  assert.equal(violationsOf("src/transport/mod.ts", ""), 1);
  assert.equal(violationsOf("src/main.ts", ""), 1);
  assert.equal(violationsOf("src/kernel/utils/a.ts", ""), 1);
});

test("imports in comments do not count", () => {
  assert.deepEqual(importsOf('/** import x from "a" */\n  // import y from "b"\nimport z from "c";'), ["c"]);
});

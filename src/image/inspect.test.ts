import assert from "node:assert/strict";
import { test } from "node:test";
import { commandLineOf, environmentOf, summariseImage, summariseProcess } from "./inspect.ts";
import { sampleMetadata } from "./testing/sample.ts";

test("an image is summed up over all its processes", () => {
  const summary = summariseImage(sampleMetadata());
  assert.equal(summary.processes, 3);
  assert.equal(summary.zombies, 1);
  assert.equal(summary.threads, 3);
  // Each of the two processes that live has all of them open.
  assert.equal(summary.descriptors, 2 * sampleMetadata().openFiles.length);
  assert.equal(summary.openFiles.pipe, 1);
  assert.equal("directory" in summary.openFiles, true);
  assert.deepEqual(summary.memoryByKind.anonymous, { mappings: 2, mappedBytes: 8 * 4096, savedBytes: 4 * 4096 });
  assert.equal(summary.memory.mappings, 12);
  assert.equal(summary.memory.savedBytes, 6 * 4096);
  assert.equal(summary.sharedMemoryBytes, 3 * 4096);
  assert.equal(summary.savedFileBytes, 2 * 4096);
  assert.equal(summary.pipeBytes, 9);
});

test("a zombie has no arguments and no memory", () => {
  const zombie = sampleMetadata().processes.find(({ state }) => state === "zombie");
  assert.ok(zombie !== undefined);
  const summary = summariseProcess(zombie);
  assert.deepEqual(summary.arguments, []);
  assert.deepEqual(summary.memory, { mappings: 0, mappedBytes: 0, savedBytes: 0 });
});

test("arguments and environment are taken apart as the process holds them", () => {
  const live = sampleMetadata().processes[0]?.alive;
  assert.ok(live);
  assert.deepEqual(commandLineOf(live), ["sample", "--fast"]);
  assert.deepEqual(environmentOf(live), ["HOME=/", "LANG=C"]);
  const odd = { ...live, commandLine: Buffer.from("\0a\xff\0end", "latin1").toString("base64") };
  assert.deepEqual(commandLineOf(odd), ["", { base64: "Yf8=" }, "end"]);
  assert.deepEqual(commandLineOf({ ...live, commandLine: "" }), []);
});

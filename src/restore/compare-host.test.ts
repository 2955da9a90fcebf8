import assert from "node:assert/strict";
import { test } from "node:test";
import type { ImageMetadata } from "../image/mod.ts";
import { sampleMetadata } from "../image/testing/sample.ts";
import { compareHost } from "./compare-host.ts";
import type { ThisHost } from "./compare-host.ts";

const here: ThisHost = {
  machine: "x86_64",
  kernelRelease: "6.18.0",
  processorModel: "Sample CPU",
  processorFlags: ["fpu", "avx", "avx2", "ospke"],
};

/** The sample, with these registers of its first thread in use (XSTATE_BV). */
function using(inUse: bigint): ImageMetadata {
  const metadata = sampleMetadata();
  const area = Buffer.alloc(832);
  area.writeBigUInt64LE(inUse, 512);
  for (const { alive } of metadata.processes) {
    for (const thread of alive?.threads ?? []) thread.extendedRegisters = Buffer.alloc(832).toString("base64");
  }
  const thread = metadata.processes[0]?.alive?.threads[0];
  assert.ok(thread !== undefined);
  thread.extendedRegisters = area.toString("base64");
  return metadata;
}

test("the same machine differs in nothing", () => {
  assert.deepEqual(compareHost(using(0b111n), here), { problems: [], notes: [] });
});

test("another architecture, and registers that this processor lacks, prevent a restart", () => {
  const other = compareHost(using(0n), { ...here, machine: "aarch64" });
  assert.match(other.problems[0]?.message ?? "", /taken on x86_64, this machine is aarch64/);
  const lacking = compareHost(using(0xe7n), here);
  assert.match(lacking.problems[0]?.message ?? "", /process 100 uses registers that this processor lacks \(avx512f\)/);
  assert.equal(lacking.problems[0]?.code, "incompatible");
  assert.deepEqual(compareHost(using(0xe7n), { ...here, processorFlags: [...here.processorFlags, "avx512f"] }).problems, []);
});

test("another kernel, processor and missing instructions are told", () => {
  const metadata = using(0n);
  metadata.host.processorFlags = ["fpu", "avx", "avx2", "avx512f", "sse4_2", "constant_tsc"];
  const { problems, notes } = compareHost(metadata, { ...here, kernelRelease: "6.1.0", processorModel: "Old CPU" });
  assert.deepEqual(problems, []);
  assert.deepEqual(notes, [
    "The kernel is another: 6.18.0 at the checkpoint, 6.1.0 here",
    "The processor is another: Sample CPU at the checkpoint, Old CPU here",
    "This processor lacks avx512f, sse4_2: a program that found them when it started may end with SIGILL",
  ]);
});

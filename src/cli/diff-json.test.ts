import assert from "node:assert/strict";
import { test } from "node:test";
import type { ImageMetadata, LiveProcessImage } from "../image/mod.ts";
import { sampleMetadata } from "../image/testing/sample.ts";
import { diffJson } from "./diff-json.ts";
import { diffText, parseDiffNumbers } from "./show-diff.ts";

function firstOf(metadata: ImageMetadata): LiveProcessImage {
  const alive = metadata.processes[0]?.alive;
  assert.ok(alive !== undefined && alive !== null);
  return alive;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

test("two checkpoints that are the same differ in nothing", () => {
  const diff = diffJson(sampleMetadata(), sampleMetadata());
  assert.deepEqual(diff, { processes: { came: [], went: [], changed: [] }, files: [] });
  const at = { number: 1, takenAt: "2026-03-01T10:00:00.000Z", imageBytes: 4096 };
  assert.match(diffText({ job: "lu", from: at, to: { ...at, number: 2 }, ...diff }, undefined), /nothing changed/);
});

test("processes and threads that came and went are told", () => {
  const [before, after] = [sampleMetadata(), sampleMetadata()];
  const zombie = after.processes.pop();
  assert.ok(zombie !== undefined);
  after.processes.push({ ...zombie, pid: 301 });
  const [thread] = firstOf(after).threads;
  assert.ok(thread !== undefined);
  firstOf(after).threads.pop();
  firstOf(after).threads.push({ ...thread, tid: 109, comm: "fresh" });
  const { processes } = diffJson(before, after);
  assert.deepEqual(
    [processes.came.map(({ pid }) => pid), processes.went.map(({ pid }) => pid), processes.changed.map(({ pid }) => pid)],
    [[301], [300], [100]],
  );
  assert.deepEqual(
    processes.changed[0]?.threads.came.map(({ tid }) => tid),
    [109],
  );
  assert.deepEqual(
    processes.changed[0]?.threads.went.map(({ tid }) => tid),
    [101],
  );
});

test("folder, umask, limits and environment are compared", () => {
  const [before, after] = [sampleMetadata(), sampleMetadata()];
  firstOf(before).environment = base64("A=1\0B=2\0");
  firstOf(before).limits = [{ resource: 7, soft: "1024", hard: "unlimited" }];
  Object.assign(firstOf(after), {
    environment: base64("A=3\0C=4\0"),
    limits: [{ resource: 7, soft: "77", hard: "unlimited" }],
    workingDirectory: "/elsewhere",
    umask: 0o77,
  });
  const [changed] = diffJson(before, after).processes.changed;
  assert.deepEqual(changed?.environment, { set: ["A=3", "C=4"], unset: ["B"] });
  const attributes = new Map(changed?.attributes.map(({ name, from, to }) => [name, [from, to]]));
  assert.deepEqual(attributes.get("limit of open files"), ["1024 (hard: unlimited)", "77 (hard: unlimited)"]);
  assert.equal(attributes.get("working directory")?.[1], "/elsewhere");
  assert.equal(attributes.get("umask")?.[1], "077");
});

test("mappings appear, vanish and grow at either end", () => {
  const [before, after] = [sampleMetadata(), sampleMetadata()];
  const mapping = { permissions: "rw-p", flags: [], kind: "anonymous" as const };
  firstOf(before).mappings = [
    { ...mapping, start: "0x1000000", end: "0x1002000", runs: [[0, 1, 0]] },
    { ...mapping, start: "0x2001000", end: "0x2003000", runs: [] },
    { ...mapping, start: "0x3000000", end: "0x3001000", runs: [] },
  ];
  firstOf(after).mappings = [
    { ...mapping, start: "0x1000000", end: "0x1004000", runs: [[0, 3, 0]] },
    { ...mapping, start: "0x2000000", end: "0x2003000", runs: [] },
    { ...mapping, start: "0x4000000", end: "0x4001000", runs: [] },
  ];
  const [changed] = diffJson(before, after).processes.changed;
  assert.deepEqual(
    changed?.mappings.changed.map(({ from, to }) => [from.bytes, to.bytes, from.savedBytes, to.savedBytes]),
    [
      [8192, 16384, 4096, 12288],
      [8192, 12288, 0, 0],
    ],
  );
  assert.deepEqual(
    [changed?.mappings.appeared.map(({ start }) => start), changed?.mappings.vanished.map(({ start }) => start)],
    [["0x4000000"], ["0x3000000"]],
  );
  assert.deepEqual(changed?.savedBytes, { from: 4096, to: 12288 });
});

test("descriptors are opened, closed and moved, and files grow", () => {
  const [before, after] = [sampleMetadata(), sampleMetadata()];
  const file = after.openFiles.find((one) => one.kind === "file");
  assert.ok(file?.kind === "file");
  const fd = firstOf(after).descriptors.find((one) => one.openFile === file.id)?.fd;
  file.positionBytes += 7;
  file.identity = { ...file.identity, sizeBytes: file.identity.sizeBytes + 100 };
  const gone = firstOf(after).descriptors.pop();
  firstOf(after).descriptors.push({ fd: 900, openFile: file.id, closeOnExec: false });
  const diff = diffJson(before, after);
  const descriptors = diff.processes.changed[0]?.descriptors;
  assert.deepEqual(
    descriptors?.opened.map((one) => one.fd),
    [900],
  );
  assert.deepEqual(
    descriptors?.closed.map((one) => one.fd),
    [gone?.fd],
  );
  assert.deepEqual(
    descriptors?.changed.map((one) => one.fd),
    [fd],
  );
  assert.match(descriptors?.changed[0]?.to ?? "", new RegExp(`at byte ${file.positionBytes}`));
  assert.equal(diff.files.length, 1);
  assert.equal((diff.files[0]?.to ?? 0) - (diff.files[0]?.from ?? 0), 100);
});

test("--diff takes two numbers", () => {
  assert.deepEqual(parseDiffNumbers(["3", "5"]), [3, 5]);
  for (const words of [["3"], ["3", "5", "7"], ["3", "x"], ["-1", "2"]]) assert.throws(() => parseDiffNumbers(words), /two checkpoints/);
});

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { temporaryDirectory } from "../base/testing/temporary-directory.ts";
import type { ImageMetadata } from "../image/mod.ts";
import { sampleMetadata } from "../image/testing/sample.ts";
import { addCheckpoint, sampleJob } from "../supervisor/testing/sample-store.ts";
import { runCairn } from "./testing/run-cairn.ts";

const place = temporaryDirectory();
const store = join(place.path, "store");
const documentation = readFileSync(new URL("../../docs/json.md", import.meta.url), "utf8");

before(async () => {
  await addCheckpoint(sampleJob(store).job);
  const { job } = sampleJob(store, "two");
  await addCheckpoint(job);
  await addCheckpoint(job, { metadata: laterMetadata() });
});
after(() => place[Symbol.dispose]());

/** The sample, with a difference of each kind. */
function laterMetadata(): ImageMetadata {
  const metadata = sampleMetadata();
  const [process] = metadata.processes;
  const file = metadata.openFiles.find((one) => one.kind === "file");
  assert.ok(process?.alive !== undefined && process.alive !== null && file !== undefined);
  file.positionBytes += 1;
  file.identity = { ...file.identity, sizeBytes: file.identity.sizeBytes + 1 };
  process.alive.umask += 1;
  process.alive.environment = Buffer.from("NEW=1\0").toString("base64");
  process.alive.threads = process.alive.threads.map((thread, index) => (index === 1 ? { ...thread, tid: 109 } : thread));
  process.alive.descriptors.push({ fd: 900, openFile: file.id, closeOnExec: false });
  process.alive.descriptors.shift();
  process.alive.mappings = process.alive.mappings.map((one, index) => (index === 0 ? { ...one, permissions: "---p" } : one));
  process.alive.mappings.pop();
  metadata.processes = metadata.processes.map((one) => (one.pid === 300 ? { ...one, pid: 301 } : one));
  return metadata;
}

function documented(name: string): unknown {
  const block = new RegExp(`\`\`\`json ${name}\\n([^]*?)\`\`\``).exec(documentation)?.[1];
  assert.ok(block !== undefined, `docs/json.md has no example called ${name}`);
  return JSON.parse(block);
}

/** Where the two differ in fields or types. Null, and an empty list, may stand for anything. */
function differences(expected: unknown, actual: unknown, path: string): string[] {
  if (expected === null || actual === null) return [];
  if (Array.isArray(expected) && Array.isArray(actual)) {
    return expected.length === 0 ? [] : actual.flatMap((item, index) => differences(expected[0], item, `${path}[${index}]`));
  }
  if (typeof expected === "object" && typeof actual === "object" && !Array.isArray(actual)) {
    const [wanted, given] = [expected as Record<string, unknown>, actual as Record<string, unknown>];
    const fields = new Set([...Object.keys(wanted), ...Object.keys(given)]);
    return [...fields].flatMap((field) => {
      if (!(field in wanted)) return [`${path}.${field} is not documented`];
      if (!(field in given)) return [`${path}.${field} is documented and missing`];
      return differences(wanted[field], given[field], `${path}.${field}`);
    });
  }
  return typeof expected === typeof actual && Array.isArray(expected) === Array.isArray(actual) ? [] : [`${path} has another type`];
}

const commands: readonly [name: string, argv: readonly string[], statuses: readonly number[]][] = [
  ["ls", ["ls", "--json"], [0]],
  ["ls-job", ["ls", "lu", "--json"], [0]],
  ["show", ["show", "lu@1", "--json"], [0]],
  // This process cannot be saved by a child of its own.
  ["check", ["check", String(process.pid), "--json"], [69]],
  ["show-diff", ["show", "two", "--diff", "1", "2", "--json"], [0]],
  // The sample's files are nowhere.
  ["restart-dry-run", ["restart", "lu@1", "--dry-run", "--json"], [67]],
  ["verify", ["verify", "lu", "--json"], [0]],
  ["doctor", ["doctor", "--json"], [0, 69]],
];

for (const [name, argv, statuses] of commands) {
  test(`cairn ${argv.join(" ")} prints the documented shape`, async () => {
    const { output, errors, status } = await runCairn(store, ...argv);
    assert.ok(statuses.includes(status ?? -1), errors);
    assert.deepEqual(differences(documented(name), JSON.parse(output), name), []);
  });
}

test("cairn checkpoint --json prints what ls prints for a checkpoint", () => {
  const list = documented("ls-job") as { checkpoints: unknown[] };
  assert.deepEqual(differences(list.checkpoints[0], documented("checkpoint"), "checkpoint"), []);
});

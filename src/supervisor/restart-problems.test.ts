import assert from "node:assert/strict";
import { mkdirSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../base/testing/temporary-directory.ts";
import { sampleLive, sampleMetadata } from "../image/testing/sample.ts";
import type { FileIdentity, ImageMetadata } from "../image/mod.ts";
import { restartProblems } from "./restart-problems.ts";
import { addCheckpoint, sampleJob } from "./testing/sample-store.ts";

function identityOf(path: string): FileIdentity {
  const stat = statSync(path, { bigint: true });
  return { device: stat.dev.toString(), inode: stat.ino.toString(), sizeBytes: Number(stat.size), mtimeNs: stat.mtimeNs.toString() };
}

/** A process of this user that needs one file and one folder. */
function needing(program: string, folder: string): ImageMetadata {
  const sample = sampleMetadata();
  const live = sampleLive([100], []);
  const own = process.geteuid?.() ?? 0;
  const alive = {
    ...live,
    credentials: { ...live.credentials, uids: { real: own, effective: own, saved: own, fileSystem: own } },
    executable: program,
    executableIdentity: identityOf(program),
    mappings: [],
    descriptors: [],
    recordLocks: [],
    workingDirectory: folder,
  };
  const [first] = sample.processes;
  assert.ok(first !== undefined);
  return { ...sample, openFiles: [], pipes: [], ptys: [], savedFiles: [], processes: [{ ...first, alive }] };
}

test("a checkpoint whose files are as they were can be restarted; else it says what differs", async () => {
  using place = temporaryDirectory();
  const program = join(place.path, "program");
  const folder = join(place.path, "folder");
  writeFileSync(program, "code");
  mkdirSync(folder);
  const { job } = sampleJob(join(place.path, "store"));
  const checkpoint = await addCheckpoint(job, { metadata: needing(program, folder) });
  assert.deepEqual(restartProblems(checkpoint), []);

  utimesSync(program, 1, 1);
  const [changed, ...more] = restartProblems(checkpoint);
  assert.deepEqual(more, []);
  assert.ok(changed?.startsWith(`${program} has changed since the checkpoint (the same length, but modified at `), changed);
  rmSync(program);
  rmSync(folder, { recursive: true });
  assert.deepEqual(restartProblems(checkpoint), [`${program} is missing`, `${folder}, the working directory of process 100, is missing`]);
});

test("a damaged checkpoint says so", async () => {
  using place = temporaryDirectory();
  const { job } = sampleJob(join(place.path, "store"));
  const checkpoint = await addCheckpoint(job);
  truncateSync(checkpoint.imagePath, 8192);
  const [record] = job.checkpoints();
  assert.ok(record !== undefined);
  assert.match(restartProblems(record).join(), /^damaged: its image has 8192 instead of/);
  assert.match(restartProblems(checkpoint).join(), /damaged|cut short|ends/);
});

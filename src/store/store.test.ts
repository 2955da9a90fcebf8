import assert from "node:assert/strict";
import {
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import { AssertionError } from "../base/assert.ts";
import { CairnError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { SeededRandom } from "../base/random.ts";
import { runChild } from "../base/testing/child.ts";
import { temporaryDirectory } from "../base/testing/temporary-directory.ts";
import type { Job } from "./job.ts";
import { openStore } from "./store.ts";
import type { Store } from "./store.ts";
import { sampleDetails, sampleRun, takeCheckpoint } from "./testing/sample.ts";

const NOBODY = 65534;
const WORK = fileURLToPath(new URL("testing/work.ts", import.meta.url));

function fails(code: ErrorCode, message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof CairnError && error.code === code && message.test(`${error.message}. ${error.hint ?? ""}`);
}

async function jobWithCheckpoints(store: Store, count: number): Promise<Job> {
  const job = store.createJob({ name: "lu", argv: ["lu"], cwd: "/" });
  using lock = job.tryLock();
  assert.ok(lock !== null);
  for (let index = 0; index < count; index++) await takeCheckpoint(job);
  return job;
}

test("a store is made by its first job, not by looking at it", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "deep", "store");
  const store = openStore({ directory: path });
  assert.deepEqual(store.jobs(), []);
  assert.equal(store.tryJob("lu"), null);
  assert.deepEqual(readdirSync(directory.path), []);
  const job = store.createJob({ name: "lu", argv: ["./lu", "ü"], cwd: "/tmp" });
  assert.equal(readFileSync(join(path, "format"), "utf8"), "cairn-store 1\n");
  assert.deepEqual(openStore({ directory: path }).jobs(), [job.record]);
  assert.deepEqual({ ...job.record, createdAt: "" }, { name: "lu", argv: ["./lu", "ü"], cwd: "/tmp", createdAt: "" });
});

test("the store is --store, else CAIRN_STORE, else the XDG state folder, else the home's", () => {
  using directory = temporaryDirectory();
  const at = (name: string) => join(directory.path, name);
  const environment = { CAIRN_STORE: at("chosen"), XDG_STATE_HOME: at("state") };
  assert.equal(openStore({ directory: at("given"), environment }).directory, at("given"));
  assert.equal(openStore({ environment }).directory, at("chosen"));
  assert.equal(openStore({ environment: { ...environment, CAIRN_STORE: "" } }).directory, at("state/cairn"));
  for (const state of [undefined, "", "relative"]) {
    assert.equal(openStore({ environment: { XDG_STATE_HOME: state } }).directory, join(homedir(), ".local/state/cairn"));
  }
});

test("a folder that holds something else is never taken for a store", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "folder");
  mkdirSync(path);
  openStore({ directory: path });
  writeFileSync(join(path, "thesis.tex"), "");
  assert.throws(() => openStore({ directory: path }), fails("usage", /it holds other files.*--store/));
  assert.throws(() => openStore({ directory: join(path, "thesis.tex") }), fails("usage", /is not a folder/));
  writeFileSync(join(path, "format"), "A4\n");
  assert.throws(() => openStore({ directory: path }), fails("usage", /is not that of a store/));
});

test("a store of a newer format is refused", () => {
  using directory = temporaryDirectory();
  openStore({ directory: directory.path }).createJob({ name: "lu", argv: [], cwd: "/" });
  writeFileSync(join(directory.path, "format"), "cairn-store 2\nand more\n");
  assert.throws(() => openStore({ directory: directory.path }), fails("incompatible", /has format 2, and this Cairn knows format 1/));
});

/** Runs `work` as a user who may not do everything, be it in root's place. */
function asOrdinaryUser(work: () => void): void {
  const { geteuid, seteuid } = process;
  assert.ok(geteuid !== undefined && seteuid !== undefined);
  if (geteuid() !== 0) {
    work();
    return;
  }
  seteuid(NOBODY);
  try {
    work();
  } finally {
    seteuid(0);
  }
}

test("a store of another user is refused", () => {
  asOrdinaryUser(() => assert.throws(() => openStore({ directory: "/" }), fails("permission", /belongs to another user \(uid 0\)/)));
});

test("folders are 0700 and files 0600 whatever the umask", async () => {
  using directory = temporaryDirectory();
  for (const umask of ["0", "777", "27"]) {
    const path = join(directory.path, umask, "store");
    mkdirSync(join(directory.path, umask));
    const { status, errors, output } = await runChild(WORK, ["everything", path, umask]);
    assert.equal(status, 0, errors);
    assert.equal(output, "null");
    for (const entry of [".", ...readdirSync(path, { recursive: true, encoding: "utf8" })]) {
      const stat = statSync(join(path, entry));
      // The image is whoever's who writes it.
      if (!entry.endsWith("/image")) assert.equal(stat.mode & 0o7777, stat.isDirectory() ? 0o700 : 0o600, `${entry} under umask ${umask}`);
    }
  }
});

test("names that could leave the store, hide in it or be taken for something else are refused", () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  for (const name of [
    "",
    ".",
    "..",
    "../lu",
    "a/b",
    "/etc",
    ".lu",
    "-lu",
    "--help",
    "lu@3",
    "a b",
    "a\0b",
    "a\nb",
    "ü",
    "x".repeat(65),
    "4711",
    "%",
    "~",
  ]) {
    assert.throws(() => store.createJob({ name, argv: [], cwd: "/" }), fails("usage", /cannot be the name of a job/), name);
    assert.equal(store.tryJob(name), null);
    assert.throws(() => store.job(name), fails("not-found", /There is no job/));
  }
  assert.deepEqual(readdirSync(directory.path), []);
  for (const name of ["a", "A.b_c-d", "x".repeat(64), "7z", "_"]) assert.equal(store.createJob({ name, argv: [], cwd: "/" }).name, name);
});

test("a fresh name can be given to a job, whatever the command is called", () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  const create = (base: string) => store.createJob({ name: store.freshName(base), argv: [], cwd: "/" }).name;
  assert.deepEqual([create("/usr/bin/python3"), create("python3"), create("python3")], ["python3", "python3-2", "python3-3"]);
  assert.deepEqual(
    [create("./..a b!.sh"), create("/"), create("123"), create("x".repeat(99))],
    ["a-b-.sh", "job", "job-123", "x".repeat(64)],
  );
  assert.equal(create("x".repeat(64)), `${"x".repeat(62)}-2`);
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 80 }), (base) => {
      create(base);
    }),
    { seed: new SeededRandom().seed, numRuns: 50 },
  );
});

test("a name that is taken is a conflict, and the job that has it is left alone", () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  store.createJob({ name: "lu", argv: ["first"], cwd: "/" });
  assert.throws(() => store.createJob({ name: "lu", argv: ["second"], cwd: "/" }), fails("conflict", /There is a job "lu" already/));
  assert.deepEqual(store.job("lu").record.argv, ["first"]);
  assert.deepEqual(readdirSync(join(directory.path, "jobs")), ["lu"]);
});

test("a mistyped job suggests the near one", () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  store.createJob({ name: "python3", argv: [], cwd: "/" });
  assert.throws(() => store.job("pyhton3"), fails("not-found", /Did you mean "python3"/));
  assert.throws(() => store.job("gnuplot"), fails("not-found", /List the jobs with cairn ls$/));
});

test("checkpoints are numbered from 1, and a removed number is never given again", async () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  const job = await jobWithCheckpoints(store, 3);
  assert.equal(job.newest()?.number, 3);
  assert.deepEqual(job.checkpoint(2).manifest, { ...sampleDetails(job.checkpoint(2).manifest.imageBytes), number: 2 });
  using lock = job.tryLock();
  assert.ok(lock !== null);
  job.remove(3);
  job.remove(2);
  assert.equal((await takeCheckpoint(job)).number, 4);
  assert.throws(() => job.remove(2), fails("not-found", /has no checkpoint 2\. It has 1 and 4$/));
  assert.throws(() => job.checkpoint(5), fails("not-found", /has no checkpoint 5\. It has 1 and 4$/));
  for (const number of [1, 4]) job.remove(number);
  assert.equal(job.newest(), null);
  assert.throws(() => job.checkpoint(1), fails("not-found", /cairn checkpoint lu/));
});

test("an error about a missing number names many numbers in few words", async () => {
  using directory = temporaryDirectory();
  const job = await jobWithCheckpoints(openStore({ directory: directory.path }), 20);
  assert.throws(() => job.checkpoint(21), fails("not-found", /It has 1 to 20$/));
  using lock = job.tryLock();
  assert.ok(lock !== null);
  for (const number of [2, 4, 6, 8, 10, 12, 14]) job.remove(number);
  assert.throws(() => job.checkpoint(21), fails("not-found", /It has among others 5, 7, 9, 11, 13 and 15 to 20$/));
});

test("an aborted checkpoint leaves nothing, and its number is free", async () => {
  using directory = temporaryDirectory();
  const job = await jobWithCheckpoints(openStore({ directory: directory.path }), 1);
  using lock = job.tryLock();
  assert.ok(lock !== null);
  {
    await using pending = job.beginCheckpoint();
    assert.equal(pending.number, 2);
    writeFileSync(pending.imagePath, "half");
    assert.throws(() => job.beginCheckpoint(), AssertionError);
  }
  assert.deepEqual(readdirSync(join(job.directory, "checkpoints")), ["1"]);
  assert.equal((await takeCheckpoint(job)).number, 2);
});

test("a checkpoint whose image is missing or of another length is not committed", async () => {
  using directory = temporaryDirectory();
  const job = await jobWithCheckpoints(openStore({ directory: directory.path }), 0);
  using lock = job.tryLock();
  assert.ok(lock !== null);
  for (const image of [undefined, "four"]) {
    await using pending = job.beginCheckpoint();
    if (image !== undefined) writeFileSync(pending.imagePath, image);
    await assert.rejects(pending.commit(sampleDetails(5)), fails("damaged", /Cannot commit checkpoint 1/));
    await assert.rejects(pending.commit(sampleDetails(4)), AssertionError);
  }
  assert.deepEqual(job.checkpoints(), []);
});

test("work on checkpoints without the lock is a mistake of the caller", async () => {
  using directory = temporaryDirectory();
  const job = await jobWithCheckpoints(openStore({ directory: directory.path }), 1);
  assert.throws(() => job.beginCheckpoint(), AssertionError);
  assert.throws(() => job.remove(1), AssertionError);
  assert.throws(() => job.removeAll(), AssertionError);
});

test("a removed job is gone for those who still hold it, and its name is free", async () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  const job = await jobWithCheckpoints(store, 2);
  const late = store.job("lu");
  {
    using lock = job.tryLock();
    assert.ok(lock !== null);
    job.removeAll();
  }
  assert.deepEqual(store.jobs(), []);
  assert.deepEqual(readdirSync(join(directory.path, "jobs")), []);
  assert.deepEqual(late.checkpoints(), []);
  assert.throws(() => late.tryLock(), fails("not-found", /Job "lu" was removed meanwhile/));
  store.createJob({ name: "lu", argv: [], cwd: "/" });
});

test("a job whose folder was replaced while its lock was being taken is told from its successor", async () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  const job = await jobWithCheckpoints(store, 0);
  const { lockStillNames, tryLockFile } = await import("../kernel/lock-ffi.ts");
  const path = join(job.directory, "lock");
  using handle = tryLockFile(path);
  assert.ok(handle !== null && lockStillNames(handle, path));
  renameSync(job.directory, join(directory.path, "jobs", ".removed-lu"));
  assert.equal(lockStillNames(handle, path), false);
  store.createJob({ name: "lu", argv: [], cwd: "/" });
  assert.equal(lockStillNames(handle, path), false);
});

test("a damaged checkpoint is listed as damaged with the reason, and another is suggested", async () => {
  using directory = temporaryDirectory();
  const job = await jobWithCheckpoints(openStore({ directory: directory.path }), 6);
  const file = (number: number, name: string) => join(job.directory, "checkpoints", String(number), name);
  rmSync(file(2, "manifest.json"));
  truncateSync(file(3, "manifest.json"), 10);
  writeFileSync(file(4, "manifest.json"), readFileSync(file(5, "manifest.json")));
  truncateSync(file(5, "image"), 3);
  rmSync(file(6, "image"));
  const reasons = job.checkpoints().map((record) => (record.kind === "damaged" ? record.reason : "whole"));
  assert.deepEqual(reasons.slice(0, 4), [
    "whole",
    "its manifest.json is missing",
    "its manifest.json: it is not JSON",
    "its manifest.json belongs to checkpoint 5",
  ]);
  assert.match(reasons[4] ?? "", /^its image has 3 instead of \d+ bytes$/);
  assert.equal(reasons[5], "its image is missing");
  assert.throws(
    () => job.newest(),
    fails("damaged", /Checkpoint 6 of job "lu" is damaged: its image is missing\. Try lu@1, the newest whole one/),
  );
  using lock = job.tryLock();
  assert.ok(lock !== null);
  job.remove(3);
  assert.equal(job.checkpoints().length, 5);
});

test("a job remembers with whose connections a restart has gone on", async () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  const job = await jobWithCheckpoints(store, 2);
  assert.equal(job.areConnectionsTakenUp(1), false);
  job.markConnectionsTakenUp(1);
  job.markConnectionsTakenUp(1);
  assert.equal(store.job("lu").areConnectionsTakenUp(1), true);
  assert.equal(store.job("lu").areConnectionsTakenUp(2), false);
  // What can't be read must not let a connection be taken for one that stood still.
  writeFileSync(join(job.directory, "taken-up.json"), "{");
  assert.equal(store.job("lu").areConnectionsTakenUp(2), true);
});

test("no content of a record breaks a listing", async () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  const job = await jobWithCheckpoints(store, 1);
  job.writeRun(sampleRun(1));
  const names = ["job.json", "run.json", "checkpoints/1/manifest.json", "last-number", "lock", "held.json", "taken-up.json"];
  const paths = names.map((name) => join(job.directory, name));
  const sound = new Map(paths.slice(0, 3).map((path) => [path, readFileSync(path, "utf8")]));
  const list = () => {
    const [record] = store.jobs();
    assert.equal(record?.name, "lu");
    const fresh = store.job("lu");
    fresh.lockHolder();
    fresh.held();
    fresh.areConnectionsTakenUp(1);
    return { record, run: fresh.run(), checkpoint: fresh.checkpoints()[0] };
  };
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.json().map((text) => Buffer.from(text)),
    fc.tuple(fc.constantFrom(...sound.values()), fc.nat(500)).map(([text, length]) => Buffer.from(text.slice(0, length))),
  );
  fc.assert(
    fc.property(fc.constantFrom(...paths), content, (path, bytes) => {
      writeFileSync(path, bytes);
      list();
    }),
    { seed: new SeededRandom().seed, numRuns: 300 },
  );
  for (const [path, text] of sound) writeFileSync(path, text);
  assert.deepEqual(list().run, sampleRun(1));
  assert.equal(list().record.problem, undefined);
  assert.equal(list().checkpoint?.kind, "whole");
});

test("neither a FIFO, a folder, a loop of links nor a giant in the place of a record stops a listing", async () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  const job = await jobWithCheckpoints(store, 1);
  for (const name of ["job.json", "run.json", "checkpoints/1/manifest.json"]) {
    const path = join(job.directory, name);
    const obstacles = [
      () => execFileSync("mkfifo", [path]),
      () => mkdirSync(path),
      () => symlinkSync(path, path),
      () => {
        writeFileSync(path, "{}");
        truncateSync(path, 2 ** 40);
      },
    ];
    for (const place of obstacles) {
      if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) rmSync(path, { recursive: true });
      place();
      assert.equal(store.jobs().length, 1);
      assert.equal(store.job("lu").run(), null);
      assert.equal(store.job("lu").checkpoints().length, 1);
    }
    rmSync(path, { recursive: true });
  }
  assert.match(store.job("lu").record.problem ?? "", /job.json: it is missing/);
});

test("a job with a damaged job.json keeps its checkpoints", async () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  const job = await jobWithCheckpoints(store, 2);
  writeFileSync(join(job.directory, "job.json"), "");
  const [record] = store.jobs();
  assert.equal(record?.problem, "job.json: it is empty");
  assert.equal(store.job("lu").newest()?.number, 2);
});

test("files of the user's in the store's folders are not taken for jobs or checkpoints", async () => {
  using directory = temporaryDirectory();
  const store = openStore({ directory: directory.path });
  const job = await jobWithCheckpoints(store, 1);
  writeFileSync(join(directory.path, "jobs", "notes"), "");
  mkdirSync(join(directory.path, "jobs", "a b"));
  mkdirSync(join(job.directory, "checkpoints", "007"));
  mkdirSync(join(job.directory, "checkpoints", "x"));
  assert.deepEqual(
    store.jobs().map(({ name }) => name),
    ["lu"],
  );
  assert.equal(store.tryJob("notes"), null);
  assert.deepEqual(
    job.checkpoints().map(({ number }) => number),
    [1],
  );
});

test("a store that cannot be written says so with what to do", () => {
  using directory = temporaryDirectory();
  if (process.geteuid?.() === 0) chownSync(directory.path, NOBODY, NOBODY);
  asOrdinaryUser(() => {
    mkdirSync(join(directory.path, "closed"), { mode: 0o500 });
    const store = openStore({ directory: join(directory.path, "closed", "store") });
    assert.throws(
      () => store.createJob({ name: "lu", argv: [], cwd: "/" }),
      fails("permission", /Cannot create job "lu": permission denied.*--store/),
    );
  });
});

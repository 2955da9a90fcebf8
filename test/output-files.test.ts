/** What a restart does about files that the job had open and that are other by now: made again, taken back, or told of. */
import assert from "node:assert/strict";
import { chmodSync, chownSync, readFileSync, readdirSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { CAIRN, Job, Place, compileC, touch, until, withoutEngine, works } from "./harness/mod.ts";

const NOBODY = 65534;
const program = `
  exec 3<>data 4<>fifo 5>written
  head -c "$1" /dev/zero >&5
  printf AAAAAAAA >&5
  echo ready
  until [ -e go ]; do sleep 0.05; done
  read line <&4; echo "$line"; cat <&3
`;

/** Output of more than 4 MiB is not kept in the checkpoint. */
const TOO_LARGE = 5 << 20;

/** A job that was saved and crashed, with a file and a FIFO open for both and a file open for writing only. */
async function saved(t: TestContext, place: Place, zerosBefore = 0): Promise<Job | undefined> {
  if (withoutEngine) {
    t.skip("needs the engine");
    return undefined;
  }
  writeFileSync(place.path("data"), "content\n");
  assert.ok(works("mkfifo", place.path("fifo")));
  for (const [name, mode] of [
    ["data", 0o664],
    ["fifo", 0o622],
  ] as const) {
    if (process.getuid?.() === 0) chownSync(place.path(name), NOBODY, NOBODY);
    chmodSync(place.path(name), mode);
  }
  const job = new Job(place, ["sh", "-c", program, "sh", String(zerosBefore)]);
  await job.says("ready\n");
  writeFileSync(place.path("fifo"), "in the pipe\n");
  const outcome = await job.checkpoint();
  assert.equal(outcome.status, 0, outcome.stderr);
  await job.crash();
  return job;
}

async function goesOn(job: Job): Promise<string> {
  touch(job.place.path("go"));
  job.restart();
  const outcome = await job.end();
  assert.equal(outcome.status, 0, job.explain());
  assert.equal(job.out, "ready\nin the pipe\ncontent\n");
  return outcome.stderr;
}

test("a missing file and a missing FIFO are made again with the mode and the owner that they had", async (t) => {
  await using place = new Place();
  const job = await saved(t, place);
  if (job === undefined) return;
  const names = ["data", "fifo"];
  const access = () => names.map((name) => statSync(place.path(name))).map(({ mode, uid, gid }) => [mode, uid, gid]);
  const before = access();
  for (const name of names) rmSync(place.path(name));
  assert.match(await goesOn(job), /work\/data is missing; it is made again/);
  assert.deepEqual(access(), before);
});

test("a restart says so when a large file that is only written was changed inside, and refuses when it has become shorter", async (t) => {
  await using place = new Place();
  const job = await saved(t, place, TOO_LARGE);
  if (job === undefined) return;
  truncateSync(place.path("written"), 3);
  const refused = await place.cairn(["restart", "job"]);
  assert.match(refused.stderr, /work\/written is not as the checkpoint saw it: it had \d+ bytes at the checkpoint and has 3 now/);
  writeFileSync(place.path("written"), `${"\0".repeat(TOO_LARGE)}BBBBAAAA`);
  assert.match(await goesOn(job), /work\/written has the length that it had, but was written to since \(.*modified at .*\)/);
  assert.equal(place.read("written").slice(TOO_LARGE), "BBBBAAAA");
});

test("output that was written aside and renamed, removed, replaced or emptied since is there again as it was", async (t) => {
  await using place = new Place();
  const job = await saved(t, place);
  if (job === undefined) return;
  const written = place.path("written");
  renameSync(written, place.path("final"));
  assert.match(await goesOn(job), /work\/written is missing; it is made again/);
  assert.deepEqual([place.read("written"), place.read("final")], ["AAAAAAAA", "AAAAAAAA"]);
  for (const other of ["", "BBBBAAAA", "another file of that name"]) {
    writeFileSync(written, other);
    assert.match(await goesOn(job), /work\/written is taken back to its content at the checkpoint; what it was is kept in/);
    assert.equal(place.read("written"), "AAAAAAAA");
  }
  writeFileSync(written, "AAAAAAAA and more");
  assert.match(await goesOn(job), /work\/written is taken back to 8 bytes; the 9 bytes written since are kept in/);
  assert.equal(place.read("written"), "AAAAAAAA");
});

test("a database's journal that was closed at the checkpoint is there again, whatever became of it", async (t) => {
  await using place = new Place();
  writeFileSync(place.path("data-journal"), "what was before");
  const job = await saved(t, place);
  if (job === undefined) return;
  rmSync(place.path("data-journal"));
  assert.match(await goesOn(job), /work\/data-journal is missing; it is made again/);
  assert.equal(place.read("data-journal"), "what was before");
  rmSync(place.path("data-journal"));
  writeFileSync(place.path("data"), "changed\n");
  writeFileSync(place.path("data-journal"), "a later one");
  writeFileSync(place.path("data-other"), "made since");
  assert.match(await goesOn(job), /work\/data-journal is taken back to its content at the checkpoint/);
  assert.equal(place.read("data-journal"), "what was before");
  assert.deepEqual(
    readdirSync(place.work).filter((name) => name.startsWith("data-")),
    ["data-journal"],
  );
});

test("a restart into the log of the job has each line once, and says where what others wrote is kept", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  const compiled = compileC("logger.c");
  if ("missing" in compiled) return t.skip(compiled.missing);
  await using place = new Place();
  const go = place.path("go");
  const into = (command: string) => place.start("sh", ["-c", `${command} >>all 2>&1`, CAIRN, compiled.path, go]);
  into('"$0" run -q --name job -- "$1" "$2"');
  await until("the job logs", () => place.read("all").includes("line 5\n"));
  const stopped = await place.cairn(["checkpoint", "job", "--stop"]);
  assert.equal(stopped.status, 0, stopped.stderr);
  writeFileSync(place.path("all"), "line of another program\n", { flag: "a" });
  touch(go);
  assert.equal((await into('"$0" restart job').ended).status, 0, place.read("all"));
  const all = place.read("all");
  const numbers = [...all.matchAll(/^line (\d+)$/gm)].map((match) => Number(match[1]));
  assert.deepEqual(
    numbers,
    Array.from(numbers, (_, index) => index),
    all,
  );
  assert.match(all, /work\/all is taken back .*kept in .*what other programs appended to it is among them/);
  const aside = join(place.store, "jobs/job/aside");
  const kept = readdirSync(aside).map((name) => readFileSync(join(aside, name), "utf8"));
  assert.ok(
    kept.some((text) => text.endsWith("line of another program\n")),
    kept.join(),
  );
});

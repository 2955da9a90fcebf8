/** What a restart does about files that the job had open and that are other by now: made again, taken back, or told of. */
import assert from "node:assert/strict";
import { chmodSync, chownSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { CAIRN, Job, Place, compileC, touch, until, withoutEngine, works } from "./harness/mod.ts";

const NOBODY = 65534;
const EXIT_CHANGED = 67;
const program = `
  exec 3<>data 4<>fifo 5>written
  printf AAAAAAAA >&5
  echo ready
  until [ -e go ]; do sleep 0.05; done
  read line <&4; echo "$line"; cat <&3
`;

/** A job that was saved and crashed, with a file and a FIFO open for both and a file open for writing only. */
async function saved(t: TestContext, place: Place): Promise<Job | undefined> {
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
  const job = new Job(place, ["sh", "-c", program]);
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

test("a restart says so when a file that is only written was changed inside", async (t) => {
  await using place = new Place();
  const job = await saved(t, place);
  if (job === undefined) return;
  writeFileSync(place.path("written"), "BBBB", { flag: "r+" });
  assert.match(await goesOn(job), /work\/written has the length that it had, but was written to since \(.*modified at .*\)/);
  assert.equal(place.read("written"), "BBBBAAAA");
});

for (const [what, change] of [
  ["is missing", (path: string) => rmSync(path)],
  ["has become shorter", (path: string) => truncateSync(path, 3)],
] as const) {
  test(`a small file that is only written has its content again where it ${what}`, async (t) => {
    await using place = new Place();
    const job = await saved(t, place);
    if (job === undefined) return;
    change(place.path("written"));
    assert.match(await goesOn(job), /work\/written is (missing; it is made again with|taken back to) its content at the checkpoint/);
    assert.equal(place.read("written"), "AAAAAAAA");
  });
}

test("a restart is refused where a large file that is only written is missing or has become shorter", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  await using place = new Place();
  const job = new Job(place, ["sh", "-c", "exec 5>large; head -c 2000000 /dev/zero >&5; echo ready; while sleep 0.05; do :; done"]);
  await job.says("ready\n");
  const outcome = await job.checkpoint();
  assert.equal(outcome.status, 0, outcome.stderr);
  await job.crash();
  const isRefused = async (pattern: RegExp): Promise<void> => {
    const refused = await place.cairn(["restart", "job"]);
    assert.equal(refused.status, EXIT_CHANGED, refused.stderr);
    assert.match(refused.stderr, pattern);
  };
  truncateSync(place.path("large"), 3);
  await isRefused(/work\/large is not as the checkpoint saw it: it had 2000000 bytes at the checkpoint and has 3 now/);
  rmSync(place.path("large"));
  await isRefused(/work\/large, which the job has open, is missing/);
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

/** `cairn check`: every obstacle of a job that runs, and what would be lost, found without touching it. */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import {
  Job,
  listAt,
  numberAt,
  parseObject,
  Place,
  stoppedOrTraced,
  textAt,
  touch,
  until,
  withoutEngine,
  type Json,
} from "./harness/mod.ts";

const EXIT_NOT_FOUND = 66;
const EXIT_ENDED = 68;
const EXIT_UNSUPPORTED = 69;

function needsEngine(t: TestContext): boolean {
  if (withoutEngine) t.skip("needs the engine");
  return withoutEngine;
}

/** Two processes in a folder that was removed, with a descriptor on it, until the file `let-go` is there. */
const stuck = (place: Place): string[] => [
  "bash",
  "-c",
  `mkdir gone; cd gone; exec 5<.; rmdir ../gone
   exec 7<>${place.path("big")} 8>>${place.path("log")}
   (while [ ! -e ${place.path("let-go")} ]; do read -rt 0.02 <>${place.path("fifo")}; done; cd /; exec 5<&-; : >${place.path("gone-1")}; exec sleep 1000) &
   echo $! >${place.path("child")}
   while [ ! -e ${place.path("let-go")} ]; do read -rt 0.02 <>${place.path("fifo")}; done; cd /; exec 5<&-; : >${place.path("gone-2")}
   while [ ! -e ${place.path("go")} ]; do read -rt 0.02 <>${place.path("fifo")}; done; kill $!; echo done`,
];

async function start(place: Place): Promise<Job> {
  const made = place.start("sh", ["-c", "mkfifo fifo; truncate -s 300M big"]);
  assert.equal((await made.ended).status, 0);
  const job = new Job(place, stuck(place));
  await until("its child runs", () => place.read("child").endsWith("\n"));
  return job;
}

const whatOf = (list: readonly Json[]): string[] => list.map((one) => `${numberAt(one, "pid")} ${textAt(one, "what")}`);

test("check tells every obstacle with its remedy, and touches nothing", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const job = await start(place);
  const child = Number(place.read("child"));
  const json = async (): Promise<Json> => {
    const { stdout, stderr } = await place.cairn(["check", "job", "--json"]);
    assert.equal(stderr, "");
    return parseObject(stdout);
  };
  await until("the obstacles of both are told", async () => {
    const told = whatOf(listAt(await json(), "obstacles"));
    return [`${child} its current directory was removed`, `${child} descriptor 5 is the directory`].every((text) =>
      told.some((line) => line.startsWith(text)),
    );
  });
  const checked = await json();
  assert.equal(checked["canBeSaved"], false);
  const pid = numberAt(checked, "pid");
  const obstacles = listAt(checked, "obstacles");
  const own = obstacles.filter((one) => one["pid"] === pid);
  assert.deepEqual(
    own.map((one) => one["fd"]),
    [null, 5],
    JSON.stringify(own),
  );
  for (const one of obstacles) assert.ok(textAt(one, "remedy").length > 10, JSON.stringify(one));

  const { status, stdout, stderr } = await place.cairn(["check", "job"]);
  assert.equal(status, EXIT_UNSUPPORTED, stderr);
  assert.equal(stderr, "");
  assert.match(stdout, new RegExp(`process ${pid} \\(bash\\): its current directory was removed\\n +Remedy: Make the directory again`));
  assert.match(stdout, /Job "job" cannot be saved as it stands: \d+ obstacles\n$/);
  assert.deepEqual(stoppedOrTraced(place.processes()), [], "nobody is left stopped or traced");
  const checkpoints = join(place.store, "jobs/job/checkpoints");
  assert.deepEqual(existsSync(checkpoints) ? readdirSync(checkpoints) : [], [], "no checkpoint is taken");
  // What check says first is what a checkpoint refuses for.
  const refused = await job.checkpoint();
  assert.equal(refused.status, EXIT_UNSUPPORTED);
  assert.match(refused.stderr, /current directory was removed/);

  touch(place.path("let-go"));
  await until("the folder is left", () => existsSync(place.path("gone-1")) && existsSync(place.path("gone-2")));
  await until("the child sleeps", async () => whatOf(listAt(await json(), "notes")).some((line) => line.includes("nanosleep")));
  const free = await place.cairn(["check", "job"]);
  assert.equal(free.status, 0, free.stdout);
  assert.match(free.stdout, /Job "job" can be saved now: cairn checkpoint job\n$/);
  assert.equal((await job.checkpoint()).status, 0);
  touch(place.path("go"));
  assert.equal((await job.end()).status, 0, job.explain());
});

test("check tells what a restart would not bring back as it is", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const job = await start(place);
  const child = Number(place.read("child"));
  touch(place.path("let-go"));
  let notes: string[] = [];
  await until("the child sleeps", async () => {
    notes = whatOf(listAt(parseObject((await place.cairn(["check", "job", "--json"])).stdout), "notes"));
    return notes.some((line) => line.startsWith(`${child} it waits for a time (`));
  });
  const say = (pattern: RegExp): void =>
    assert.ok(
      notes.some((line) => pattern.test(line)),
      `${pattern} in:\n${notes.join("\n")}`,
    );
  say(/file \S+\/big \(300 MiB\) is written in place and too large to be saved \(more than 256 MiB\): .* not changes inside it/);
  say(/file \S+\/log \(0 bytes\): a restart cuts off what is written after the checkpoint/);
  say(/the wait starts anew at a restart/);
  assert.equal(notes.filter((line) => line.includes("/big ")).length, 1, "a file that two processes have open is told once");
  touch(place.path("go"));
  await job.end();
});

test("check tells of a pipe that leads out of the job, and that the job does not run", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const started = place.start("sh", ["-c", `"$CAIRN" run -q --name job -- sleep 1000 | cat`], {
    environment: { CAIRN: process.env["CAIRN_BIN"] ?? join(import.meta.dirname, "../bin/cairn") },
  });
  await until("the job runs", async () => (await place.cairn(["check", "job"])).status === 0);
  const { stdout } = await place.cairn(["check", "job"]);
  assert.match(stdout, /descriptor 1, a pipe that leads out of the job: a restart binds it to its own standard output\n/);
  assert.equal((await place.cairn(["checkpoint", "--stop", "job"])).status, 0);
  await started.ended;
  const ended = await place.cairn(["check", "job"]);
  assert.equal(ended.status, EXIT_ENDED);
  assert.match(ended.stderr, /Job "job" does not run\n.*cairn restart job/);
  assert.equal((await place.cairn(["check", "jbo"])).status, EXIT_NOT_FOUND);
});

test("a process that cairn did not start is checked by its pid, and does not become a job", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const started = place.start("sleep", ["1000"]);
  const { status, stdout, stderr } = await place.cairn(["check", String(started.pid), "--json"]);
  assert.equal(status, 0, stderr);
  const checked = parseObject(stdout);
  assert.deepEqual([checked["job"], checked["pid"], checked["canBeSaved"], checked["processes"]], [null, started.pid, true, 1]);
  assert.deepEqual(listAt(parseObject((await place.cairn(["ls", "--json"])).stdout), "jobs"), []);
  assert.equal((await place.cairn(["check", "999999999"])).status, EXIT_NOT_FOUND);
});

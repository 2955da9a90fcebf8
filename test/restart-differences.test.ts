/** What differs where a job is restarted: told all at once before anything is started; paths that moved; pids that are taken. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import {
  compileC,
  describeProcesses,
  Job,
  killIfAlive,
  listAt,
  numberAt,
  parseObject,
  Place,
  textAt,
  touch,
  until,
  withoutEngine,
} from "./harness/mod.ts";

const EXIT_USAGE = 64;
const EXIT_CHANGED = 67;
const EXIT_CONFLICT = 75;
const EXIT_PERMISSION = 77;

/** A job in a folder of its own, program and files and all, that was saved and ended. */
async function save(t: TestContext, place: Place): Promise<Job | undefined> {
  const compiled = compileC("logger.c");
  if (withoutEngine || "missing" in compiled) {
    t.skip("missing" in compiled ? compiled.missing : "needs the engine");
    return undefined;
  }
  mkdirSync(place.path("old"));
  copyFileSync(compiled.path, place.path("old/program"));
  chmodSync(place.path("old/program"), 0o755);
  const job = new Job(place, [place.path("old/program"), place.path("go")], { cwd: place.path("old") });
  await job.says("line 5\n");
  const outcome = await job.checkpoint();
  assert.equal(outcome.status, 0, outcome.stderr);
  await job.crash();
  return job;
}

async function restarts(job: Job, target: string, options: readonly string[], log: string): Promise<void> {
  touch(job.place.path("go"));
  job.restart(target, options);
  assert.equal((await job.end()).status, 0, job.explain());
  const numbers = [...readFileSync(log, "utf8").matchAll(/^line (\d+)$/gm)].map((match) => Number(match[1]));
  assert.ok(numbers.length > 5);
  assert.deepEqual(
    numbers,
    Array.from(numbers, (_, index) => index),
    "every line is in the log once",
  );
}

test("everything that differs is told at once, before anything is started", async (t) => {
  await using place = new Place();
  const job = await save(t, place);
  if (job === undefined) return;
  const clean = await place.cairn(["restart", "job", "--dry-run"]);
  assert.equal(clean.status, 0, clean.stdout + clean.stderr);
  assert.match(clean.stdout, /Job "job" would go on from checkpoint 1, taken .*, with its pids/);
  assert.deepEqual(place.living(), [], "a dry run starts nothing that stays");

  const log = readFileSync(place.path("old/log"));
  renameSync(place.path("old/input"), place.path("input"));
  renameSync(place.path("old/program"), place.path("program"));
  copyFileSync(place.path("program"), place.path("old/program"));
  appendFileSync(place.path("old/program"), "x");
  truncateSync(place.path("old/log"), 3);
  const refused = await place.cairn(["restart", "job"]);
  assert.equal(refused.status, EXIT_CHANGED);
  assert.match(refused.stderr, /^cairn: Cannot restart, for 2 reasons:\n/);
  assert.match(refused.stderr, /- \S+old\/program has changed since the checkpoint \(\d+ bytes then, \d+ bytes now\)\n/);
  assert.match(refused.stderr, /- \S+old\/input, which the job has open, is missing\n/);
  assert.deepEqual(place.living(), [], describeProcesses(place.living()));

  const dry = await place.cairn(["restart", "job", "--dry-run", "--json"]);
  assert.equal(dry.status, EXIT_CHANGED, dry.stderr);
  const told = parseObject(dry.stdout);
  assert.equal(told["wouldRestart"], false);
  assert.equal(listAt(told, "problems").length, 2);
  assert.match(dry.stdout, /old\/log would be taken back to its content/);
  for (const problem of listAt(told, "problems")) assert.ok(textAt(problem, "remedy").length > 10);

  renameSync(place.path("input"), place.path("old/input"));
  renameSync(place.path("program"), place.path("old/program"));
  writeFileSync(place.path("old/log"), log);
  appendFileSync(place.path("old/log"), "more\n");
  const again = await place.cairn(["restart", "job", "--dry-run"]);
  assert.equal(again.status, 0, again.stdout);
  assert.match(again.stdout, /note +File \S+old\/log would be taken back to \d+ bytes/);
  assert.match(readFileSync(place.path("old/log"), "utf8"), /more\n$/, "nothing is taken back yet");
  await restarts(job, "job", [], place.path("old/log"));
});

test("a job goes on where its folder lies elsewhere, and its next checkpoint has the new paths", async (t) => {
  await using place = new Place();
  const job = await save(t, place);
  if (job === undefined) return;
  renameSync(place.path("old"), place.path("new"));
  const move = `${place.path("old")}=${place.path("new")}`;
  const lost = await place.cairn(["restart", "job"]);
  assert.equal(lost.status, EXIT_CHANGED);
  assert.match(lost.stderr, /old, the working directory of process \d+, is missing\n[^]*--map \/OLD=\/NEW/);
  const dry = await place.cairn(["restart", "job", "--dry-run", "--map", move, "--map", "/no/such=/folder"]);
  assert.equal(dry.status, 0, dry.stdout);
  assert.match(dry.stdout, /note +No path of the checkpoint lies at \/no\/such/);
  await job.restartDetached("job", ["--map", move]);
  const taken = await job.checkpoint("--stop");
  assert.equal(taken.status, 0, taken.stderr);
  const shown = await place.cairn(["show", "job@2"]);
  assert.match(shown.stdout, /work\/new\/log/);
  assert.doesNotMatch(shown.stdout, /work\/old\/log/);
  await restarts(job, "job@2", [], place.path("new/log"));
  assert.equal((await place.cairn(["restart", "job", "--map", "new=old"])).status, EXIT_USAGE);
});

test("who has a pid that the job needs is named, and it gets a pid namespace or is refused", async (t) => {
  await using place = new Place();
  const job = await save(t, place);
  if (job === undefined) return;
  // The same job once more, from a copy of the store, has the pids.
  const store = join(place.root, "second-store");
  cpSync(place.store, store, { recursive: true });
  rmSync(join(store, "jobs/job/control.sock"), { force: true });
  const checks = listAt(parseObject((await place.cairn(["doctor", "--json"])).stdout), "checks");
  const statusOf = (name: string): unknown => checks.find((check) => check["name"] === name)?.["status"];
  if (statusOf("set-tid") !== "ok") {
    const refused = await place.cairn(["restart", "--pids", "host", "job"]);
    assert.equal(refused.status, EXIT_PERMISSION, refused.stderr);
    assert.match(refused.stderr, /choosing pids of this system needs CAP_CHECKPOINT_RESTORE\n/);
    return;
  }
  const first = await place.cairn(["--store", store, "restart", "--detach", "--pids", "host", "job"]);
  assert.equal(first.status, 0, first.stderr);
  const pid = numberAt(listAt(parseObject((await place.cairn(["--store", store, "ls", "--json"])).stdout), "jobs")[0] ?? {}, "pid");
  const owner = new RegExp(`id ${pid} is taken by process ${pid} \\(program: \\S+old/program `);

  const pids = (): number[] => place.living().map((one) => one.pid);
  const before = pids();
  const refused = await place.cairn(["restart", "--pids", "host", "job"]);
  assert.equal(refused.status, EXIT_CONFLICT, refused.stderr);
  assert.match(refused.stderr, owner);
  assert.match(refused.stderr, /--pids namespace/);
  assert.deepEqual(pids(), before, "nothing was started");

  const dry = await place.cairn(["restart", "--dry-run", "job"]);
  assert.match(dry.stdout, owner);
  assert.match(dry.stdout, /with its pids in a pid namespace of its own\n$/);
  const auto = await place.cairn(["restart", "--detach", "job"]);
  if (statusOf("user-namespaces") !== "ok") return assert.equal(auto.status, EXIT_PERMISSION, auto.stderr);
  assert.equal(auto.status, 0, auto.stderr);
  assert.match(auto.stderr, owner);
  assert.match(auto.stderr, /the job gets a pid namespace of its own/);
  for (const { pid: living } of place.living()) killIfAlive(living);
  await until("all is gone", () => place.living().length === 0);
});

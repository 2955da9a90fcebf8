/** What `cairn run`, `checkpoint` and `restart` promise around a job: status, signals, inheritance, names, refusals. */
import assert from "node:assert/strict";
import {
  chmodSync,
  openSync,
  closeSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openStore } from "../src/store/mod.ts";
import { askSupervisor } from "../src/supervisor/control-socket.ts";
import { Job, Place, touch, until } from "./harness/mod.ts";
import type { Outcome } from "./harness/mod.ts";

/** Counts to a number, one line each, a few times a second. */
const counter = (last: number) => ["sh", "-c", `i=0; while [ $i -lt ${last} ]; do echo $i; i=$((i+1)); sleep 0.05; done`];

/** The same until a file is there: however slow the machine is, it does not end before its time. */
const counterUntil = (go: string) => ["sh", "-c", `i=0; until [ -e "$0" ]; do echo $i; i=$((i+1)); sleep 0.05; done`, go];

/** Every number once, in order. */
function assertCounted(text: string): void {
  const lines = linesOf(text);
  assert.deepEqual(
    lines,
    lines.map((_, index) => String(index)),
  );
}

function runOf(place: Place, name: string): { rootPid: number; keeperPid: number; supervisorPid: number } {
  return JSON.parse(readFileSync(join(place.store, "jobs", name, "run.json"), "utf8")) as ReturnType<typeof runOf>;
}

function committed(place: Place, name: string): string[] {
  return readdirSync(join(place.store, "jobs", name, "checkpoints")).filter((entry) => !entry.startsWith("."));
}

const linesOf = (text: string) => text.split("\n").slice(0, -1);

test("cairn run ends with the program's status", async () => {
  await using place = new Place();
  const status = async (...argv: string[]) => (await place.cairn(["run", "-q", "--", ...argv])).status;
  assert.equal(await status("true"), 0);
  assert.equal(await status("sh", "-c", "exit 7"), 7);
  assert.equal(await status("sh", "-c", "kill -TERM $$"), 128 + 15);
  assert.equal(await status("sh", "-c", "kill -KILL $$"), 128 + 9);
  assert.equal(await status("no-such-command"), 127);
  assert.equal(await status("./no-such-file"), 127);
  assert.equal(await status("/"), 126);
});

test("a script is run as a shell runs it, with and without an interpreter line", async () => {
  await using place = new Place();
  writeFileSync(place.path("plain"), 'echo "plain $0 $1"\n');
  assert.equal((await place.cairn(["run", "-q", "--", "./plain", "x"])).status, 126);
  chmodSync(place.path("plain"), 0o755);
  assert.equal((await place.cairn(["run", "-q", "--", "./plain", "x"])).stdout, `plain ${place.path("plain")} x\n`);
});

test("the program gets environment, descriptors, ignored signals and limits as the shell gave them", async () => {
  await using place = new Place();
  writeFileSync(place.path("input"), "from descriptor 5\n");
  const look =
    "tr '\\0' '\\n' </proc/$$/environ | grep -v '^_=' | sort; ls -l /proc/self/fd >listing; sed 's/.* \\([0-9]* ->\\)/\\1/; s/[0-9]*\\/fd$/SELF/' listing | sort; grep SigIgn /proc/self/status; ulimit -n; cat <&5";
  const shell = (command: string) =>
    place.start("bash", ["-c", `trap '' USR1 HUP; ulimit -S -n 777; exec 5<input; ${command}`], {
      environment: { "ODD.NAME": "kept", EMPTY: "" },
    });
  writeFileSync(place.path("look.sh"), `#!/bin/sh\n${look}\n`);
  chmodSync(place.path("look.sh"), 0o755);
  const plain = await shell("./look.sh").ended;
  const under = await shell(`${process.env["CAIRN_BIN"] ?? join(import.meta.dirname, "../bin/cairn")} run -q -- ./look.sh`).ended;
  const comparable = (outcome: Outcome) => outcome.stdout.replace(/\S*\.(out|err)$/gm, "OUT");
  assert.equal(comparable(under), comparable(plain));
  assert.match(under.stdout, /^ODD\.NAME=kept$/m);
  assert.match(under.stdout, /^5 -> .*input$/m);
  assert.match(under.stdout, /^777$/m);
});

test("a signal that is sent to cairn alone reaches the program, once", async () => {
  await using place = new Place();
  for (const signal of ["SIGTERM", "SIGUSR1", "SIGHUP", "SIGINT", "SIGQUIT"] as const) {
    const name = signal.slice(3);
    const job = new Job(
      place,
      ["sh", "-c", `trap 'echo caught' ${name}; echo ready; while [ ! -e ${place.path(name)} ]; do sleep 0.02; done`],
      { name, stdout: place.path(`${name}.out`) },
    );
    await job.says("ready");
    process.kill(job.supervisor.pid, signal);
    await job.says("caught");
    writeFileSync(place.path(name), "");
    assert.equal((await job.end()).status, 0);
    assert.equal(job.out, "ready\ncaught\n");
  }
});

test("a job that stops does not stop a cairn that nobody would continue", async () => {
  await using place = new Place();
  const job = new Job(place, counter(1000));
  await job.says("2");
  const { rootPid } = runOf(place, job.name);
  process.kill(rootPid, "SIGSTOP");
  await until("the job is listed as stopped", async () => (await place.cairn(["ls"])).stdout.includes("stopped"));
  process.kill(rootPid, "SIGCONT");
  const seen = linesOf(job.out).length;
  await until("the job goes on", () => linesOf(job.out).length > seen + 2);
  process.kill(job.supervisor.pid, "SIGTERM");
  assert.equal((await job.end()).status, 128 + 15);
});

test("when cairn is killed the job runs on, and can be saved and restarted", async () => {
  await using place = new Place();
  const go = place.path("go");
  const job = new Job(place, counterUntil(go));
  await job.says("3");
  process.kill(job.supervisor.pid, "SIGKILL");
  await job.end();
  assert.match((await place.cairn(["ls"])).stdout, /running, unattended/);
  const stopped = await job.checkpoint("--stop");
  assert.equal(stopped.status, 0, stopped.stderr);
  const seen = linesOf(job.out).length;
  job.restart();
  await job.says(`\n${seen}\n`);
  touch(go);
  assert.equal((await job.end()).status, 0, job.explain());
  assertCounted(job.out);
});

test("a cairn that is killed before it has written down what it started leaves a job that can be saved", async () => {
  await using place = new Place();
  const go = place.path("go");
  const job = new Job(place, counterUntil(go));
  await job.says("3");
  job.supervisor.signal("SIGKILL");
  await job.end();
  // As if it had been killed right after the program began.
  rmSync(join(place.store, "jobs", "job", "run.json"));
  const stopped = await job.checkpoint("--stop");
  assert.equal(stopped.status, 0, stopped.stderr);
  touch(go);
  job.restart();
  assert.equal((await job.end()).status, 0, job.explain());
  assertCounted(job.out);
});

test("checkpoints come by the clock, and one line says where", async () => {
  await using place = new Place();
  const started = place.startCairn(["run", "--every", "150ms", "--name", "clock", "--", ...counter(2000)], { stdout: place.path("out") });
  await until(
    "three checkpoints are committed",
    () => readFileSync(started.stderrPath, "utf8") !== "" && committed(place, "clock").length >= 3,
  );
  process.kill(started.pid, "SIGTERM");
  const { stderr } = await started.ended;
  assert.match(stderr, /^cairn: Job "clock": a checkpoint every 150 ms in \S+\/jobs\/clock\n/);
  const list = JSON.parse((await place.cairn(["ls", "clock", "--json"])).stdout) as {
    checkpoints: { details: { takenAt: string; durationMs: number; trigger: string } }[];
  };
  const taken = list.checkpoints.map(({ details }) => ({
    startMs: Date.parse(details.takenAt),
    endMs: Date.parse(details.takenAt) + details.durationMs,
    trigger: details.trigger,
  }));
  // The interval counts from the end of the last one; stamps have whole milliseconds.
  for (const [index, one] of taken.entries()) {
    assert.equal(one.trigger, "interval");
    const before = taken[index - 1];
    if (before !== undefined) assert.ok(one.startMs - before.endMs >= 147, `only ${one.startMs - before.endMs} ms between two checkpoints`);
  }
});

test("what cannot be saved is said once, and the job and the schedule go on", async () => {
  await using place = new Place();
  const open = place.path("open");
  // It holds a removed folder open, with which nothing can be saved, and closes it when told to.
  const program = `mkdir gone; exec 3<gone; rmdir gone; echo ready; while [ ! -e ${open} ]; do sleep 0.05; done; exec 3<&-; echo closed; while :; do sleep 0.05; done`;
  const started = place.startCairn(["run", "-q", "--every", "100ms", "--name", "folder", "--", "bash", "-c", program], {
    stdout: place.path("out"),
  });
  await until("the failure is told", () => readFileSync(started.stderrPath, "utf8").includes("which was removed"));
  writeFileSync(open, "");
  await until("a checkpoint is committed", () => committed(place, "folder").length > 0);
  process.kill(started.pid, "SIGTERM");
  const { stderr } = await started.ended;
  assert.equal(stderr.match(/No checkpoint was taken, the job runs on/g)?.length, 1, stderr);
});

test("the supervisor takes a checkpoint for whoever asks it over the job's socket", async () => {
  await using place = new Place();
  const started = place.startCairn(["run", "--name", "job", "--", ...counter(2000)]);
  const path = join(place.store, "jobs/job/control.sock");
  // A socket is made with the mode that the umask leaves, in a folder that only its owner may enter; then it is closed to others.
  await until(
    "the supervisor listens, to its owner alone",
    () => ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o777) === 0o600,
  );
  assert.deepEqual(await askSupervisor(path, { version: 1, request: "checkpoint", stop: false }), { version: 1, ok: true, number: 1 });
  assert.deepEqual(await askSupervisor(path, { version: 1, request: "checkpoint", stop: true }), { version: 1, ok: true, number: 2 });
  const { status, stderr } = await started.ended;
  assert.equal(status, 128 + 9);
  assert.match(stderr, /ended after checkpoint 2; cairn restart job goes on/);
  assert.equal(statSync(path, { throwIfNoEntry: false }), undefined);
});

test("a name that is taken is refused with what to do", async () => {
  await using place = new Place();
  const job = new Job(place, counter(2000), { name: "lu" });
  await job.says("1");
  const while_ = await place.cairn(["run", "--name", "lu", "--", "true"]);
  assert.equal(while_.status, 75);
  assert.match(while_.stderr, /Job "lu" is running/);
  await job.checkpoint("--stop");
  await job.end();
  const after = await place.cairn(["run", "--name", "lu", "--", "true"]);
  assert.equal(after.status, 75);
  assert.match(after.stderr, /cairn restart lu.*cairn rm lu.*--name/);
});

test("a job without a checkpoint leaves its name free", async () => {
  await using place = new Place();
  for (const expected of [3, 4])
    assert.equal((await place.cairn(["run", "-q", "--name", "lu", "--", "sh", "-c", `exit ${expected}`])).status, expected);
  assert.match((await place.cairn(["ls"])).stdout, /lu +ended, status 4/);
  await place.cairn(["run", "-q", "--", "true"]);
  assert.deepEqual(readdirSync(join(place.store, "jobs")), ["lu"]);
});

test("a process that Cairn did not start becomes a job, and is found again", async () => {
  await using place = new Place();
  const go = place.path("go");
  const program = place.start("sh", counterUntil(go).slice(1), { stdout: place.path("out") });
  await until("it counts", () => place.read("out").includes("3\n"));
  const json = async () =>
    JSON.parse((await place.cairn(["checkpoint", String(program.pid), "--json"])).stdout) as { job: string; number: number };
  const first = await json();
  assert.equal(first.job, `sh-${program.pid}`);
  const second = await json();
  assert.deepEqual([second.job, second.number], [first.job, 2]);
  process.kill(program.pid, "SIGKILL");
  await program.ended;
  const dead = await place.cairn(["checkpoint", first.job]);
  assert.equal(dead.status, 68);
  assert.match(dead.stderr, /does not run\n.*cairn restart/);
  touch(go);
  const restarted = await place.cairn(["restart", first.job]);
  assert.equal(restarted.status, 0, restarted.stderr);
  assertCounted(place.read("out"));
});

test("a running job is not restarted, and not removed", async () => {
  await using place = new Place();
  const job = new Job(place, counter(2000));
  await job.says("1");
  await job.checkpoint();
  const restart = await place.cairn(["restart", "job"]);
  assert.equal(restart.status, 75);
  assert.match(restart.stderr, /still running[^]*cairn checkpoint job --stop saves and ends it; kill \d+ ends it without saving/);
  const rm = await place.cairn(["rm", "job"]);
  assert.equal(rm.status, 75);
  const forced = await place.cairn(["rm", "job", "--force"]);
  assert.equal(forced.status, 0, forced.stderr);
  assert.equal((await job.end()).status, 128 + 9);
  assert.deepEqual(readdirSync(join(place.store, "jobs")), []);
});

test("a job that cairn rm ends does not send the user back to its checkpoints", async () => {
  await using place = new Place();
  const run = place.startCairn(["run", "--name", "d1", "--", "sleep", "1000"]);
  await until("it runs", () => place.living().some(({ comm }) => comm === "sleep"));
  const saved = await place.cairn(["checkpoint", "d1"]);
  assert.equal(saved.status, 0, saved.stderr);
  const removed = await place.cairn(["rm", "d1", "--force"]);
  assert.equal(removed.status, 0, removed.stderr);
  const { stderr } = await run.ended;
  assert.match(stderr, /\ncairn: Job "d1" was ended by cairn rm\n$/);
  assert.doesNotMatch(stderr, /cairn restart/);
});

test("a restart that is given up while the checkpoint is looked at says so, and changes nothing", async () => {
  await using place = new Place();
  const job = new Job(place, counter(2000));
  await job.says("1");
  await job.checkpoint("--stop");
  await job.end();
  const before = readFileSync(join(place.store, "jobs/job/run.json"));
  // While somebody else works on the job it goes no further.
  const lock = openStore({ directory: place.store }).job("job").tryLock();
  assert.ok(lock !== null);
  const restart = place.startCairn(["restart", "job"]);
  // Of SIGHUP, too, which Node by itself does not handle.
  await until("it minds Ctrl-C", () => {
    const caught = /^SigCgt:\t([0-9a-f]+)$/m.exec(readFileSync(`/proc/${restart.pid}/status`, "latin1"))?.[1] ?? "0";
    return (BigInt(`0x${caught}`) & 1n) !== 0n;
  });
  restart.signal("SIGINT");
  const { status, stderr } = await restart.ended;
  lock[Symbol.dispose]();
  assert.equal(stderr, "cairn: The restart was given up; nothing was changed\n");
  assert.equal(status, 130);
  assert.deepEqual(readFileSync(join(place.store, "jobs/job/run.json")), before);
});

test("a job is not restarted beside what it left running", async () => {
  await using place = new Place();
  const job = new Job(place, ["sh", "-c", "sleep 1000 & echo ready; while :; do sleep 0.05; done"]);
  await job.says("ready");
  await job.checkpoint();
  process.kill(runOf(place, "job").rootPid, "SIGKILL");
  await job.end();
  const refused = await place.cairn(["restart", "job"]);
  assert.equal(refused.status, 75);
  const orphan = /kill (\d+)/.exec(refused.stderr)?.[1];
  assert.ok(orphan !== undefined, refused.stderr);
  process.kill(Number(orphan), "SIGKILL");
  await job.restartDetached();
});

test("a damaged newest checkpoint is named with the newest good one, and nothing is restarted silently", async () => {
  await using place = new Place();
  const go = place.path("go");
  const job = new Job(place, counterUntil(go));
  await job.says("2");
  for (let count = 0; count < 3; count += 1) assert.equal((await job.checkpoint()).status, 0);
  await job.crash();
  const image = (number: number) => join(place.store, "jobs/job/checkpoints", String(number), "image");
  const flip = openSync(image(3), "r+");
  writeSync(flip, Buffer.of(0x5a, 0xa5, 0x5a, 0xa5), 0, 4, 8192);
  closeSync(flip);
  const flipped = await place.cairn(["restart", "job"]);
  assert.equal(flipped.status, 65);
  assert.match(flipped.stderr, /checkpoint 3.*\n.*Checkpoint 2 is whole: cairn restart job@2/);
  truncateSync(image(3), 4096);
  const short = await place.cairn(["restart", "job"]);
  assert.equal(short.status, 65);
  assert.match(short.stderr, /job@2/);
  const verify = await place.cairn(["verify", "job", "--all"]);
  assert.equal(verify.status, 65);
  assert.match(verify.stdout, /Checkpoint 2 of job "job" is whole[^]*Checkpoint 3 of job "job" is damaged/);
  touch(go);
  job.restart("job@2");
  assert.equal((await job.end()).status, 0, job.explain());
});

test("a detached restart returns when the job runs, and is supervised", async () => {
  await using place = new Place();
  const job = new Job(place, counter(400));
  await job.says("3");
  await job.checkpoint("--stop");
  await job.end();
  const outcome = await place.cairn(["restart", "--detach", "--every", "100ms", "job"]);
  assert.equal(outcome.status, 0, outcome.stderr);
  assert.match(outcome.stdout, /^Job "job" goes on from checkpoint 1, [^\n]*\n$/);
  await until("the background takes checkpoints", () => committed(place, "job").length >= 3);
  const wrong = await place.cairn(["restart", "--detach", "job"]);
  assert.equal(wrong.status, 75);
  assert.match(wrong.stderr, /^cairn: Job "job" is still running/);
  assert.equal((await place.cairn(["checkpoint", "job", "--stop"])).status, 0);
});

test("Ctrl-C during a checkpoint gives it up and leaves nothing behind", async () => {
  await using place = new Place();
  // Enough memory that the checkpoint takes a while.
  const job = new Job(place, [
    "python3",
    "-c",
    "import os,time\nb=os.urandom(1<<20)*400\nprint('ready',flush=True)\nwhile True: time.sleep(0.05)",
  ]);
  await job.says("ready");
  const checkpoint = place.startCairn(["checkpoint", "job"]);
  const partial = () => readdirSync(join(place.store, "jobs/job/checkpoints")).some((entry) => entry.startsWith(".partial"));
  await until("the checkpoint has begun", partial);
  process.kill(checkpoint.pid, "SIGINT");
  const { status, stderr } = await checkpoint.ended;
  // On a fast disk it may have been committed by then.
  if (status !== 0) {
    assert.equal(status, 130);
    assert.match(stderr, /was given up; the job runs on/);
    assert.deepEqual(readdirSync(join(place.store, "jobs/job/checkpoints")), []);
  }
  assert.equal((await job.checkpoint()).status, 0);
});

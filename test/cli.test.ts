/** The command line as scripts and people meet it: statuses, streams, what a job inherits, JSON, suggestions, the store. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import {
  CAIRN,
  compileC,
  expectShape,
  Job,
  listAt,
  numberAt,
  objectAt,
  parseObject,
  Place,
  textAt,
  touch,
  until,
  withoutEngine,
  type Outcome,
  type SpawnOptions,
} from "./harness/mod.ts";
import { listedCheckpoints } from "./harness/steady.ts";

const EXIT_USAGE = 64;
const EXIT_NOT_FOUND = 66;
const EXIT_SYSCALL = 71;
const EXIT_IO = 74;
const EXIT_CONFLICT = 75;

function needsEngine(t: TestContext): boolean {
  if (withoutEngine) t.skip("needs the engine");
  return withoutEngine;
}

/** Runs a shell script in which `$CAIRN` is the command. */
async function shell(place: Place, script: string, options: SpawnOptions = {}): Promise<Outcome> {
  const started = place.start("sh", ["-c", script], { ...options, environment: { CAIRN, ...options.environment } });
  let ended = false;
  void started.ended.then(() => (ended = true));
  await until(`the script ends: ${script}`, () => ended);
  return started.ended;
}

function loggerJob(place: Place, options: ConstructorParameters<typeof Job>[2] = {}): Job | undefined {
  const compiled = compileC("logger.c");
  return "missing" in compiled ? undefined : new Job(place, [compiled.path, place.path("go")], options);
}

test("run ends with the status of the program, or by the signal that killed it", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  for (const status of [0, 1, 7, 64, 69, 126, 255]) {
    assert.equal((await place.cairn(["run", "-q", "--", "sh", "-c", `exit ${status}`])).status, status);
  }
  for (const [signal, number] of [
    ["TERM", 15],
    ["KILL", 9],
    ["SEGV", 11],
    ["HUP", 1],
    ["USR1", 10],
  ] as const) {
    const started = place.startCairn(["run", "-q", "--", "sh", "-c", `ulimit -c 0; kill -${signal} $$; sleep 5`]);
    const { status } = await started.ended;
    assert.equal(status, 128 + number, signal);
    assert.equal(started.child.signalCode, `SIG${signal}`, "it ends by the same signal, not with a status that looks like it");
  }
  assert.equal((await place.cairn(["run", "-q", "--", "no-such-command-anywhere"])).status, 127);
  writeFileSync(place.path("not-executable"), "#!/bin/sh\n");
  assert.equal((await place.cairn(["run", "-q", "--", "./not-executable"])).status, 126);
  assert.equal((await place.cairn(["run", "-q", "--", "./no-such-file"])).status, 127);
  writeFileSync(place.path("script"), "echo from a script without an interpreter line\nexit 9\n");
  chmodSync(place.path("script"), 0o755);
  const script = await place.cairn(["run", "-q", "--", "./script"]);
  assert.deepEqual([script.status, script.stdout], [9, "from a script without an interpreter line\n"], script.stderr);
  assert.deepEqual(place.living(), []);
});

test("standard streams go through as they are: text, bytes, much of it, and closed early", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const sorted = await shell(place, `printf 'b\\na\\nc\\n' | "$CAIRN" run -q -- sort | tr a-z A-Z`);
  assert.deepEqual([sorted.stdout, sorted.stderr, sorted.status], ["A\nB\nC\n", "", 0]);
  const much = await shell(place, `seq 1 400000 >input; "$CAIRN" run -q -- cat <input | cat | cmp - input && echo same`);
  assert.equal(much.stdout, "same\n", much.stderr);
  const bytes = await shell(
    place,
    `head -c 300000 /dev/urandom >random; "$CAIRN" run -q -- cat <random >copy; cmp random copy && echo same`,
  );
  assert.equal(bytes.stdout, "same\n", bytes.stderr);
  const early = await shell(place, `{ "$CAIRN" run -q -- yes; echo $? >status; } | head -n 2; cat status`);
  assert.equal(early.stdout, "y\ny\n141\n", "a reader that goes away ends the program by SIGPIPE");
  const apart = await shell(place, `"$CAIRN" run -q -- sh -c 'echo out; echo err >&2'`);
  assert.deepEqual([apart.stdout, apart.stderr], ["out\n", "err\n"]);
  const further = await shell(
    place,
    `"$CAIRN" run -q -- sh -c 'echo three >&3; read -r line <&4; echo "got $line"' 3>three 4<<END
four
END
cat three`,
  );
  assert.equal(further.stdout, "got four\nthree\n", further.stderr);
  const closed = await shell(place, `"$CAIRN" run -q -- sh -c 'ls -l /proc/self/fd | grep -c " 0 ->" >out; exit 3' <&- ; echo $?`);
  assert.equal(closed.stdout, "3\n", "standard input may be closed");
});

test("a job inherits what the program would: environment, limits, umask, ignored signals, folder, arguments", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const look =
    'env | sort | grep -v ^_=; ulimit -a; umask; pwd; grep ^Sig[BI] /proc/self/status; ls /proc/self/fd | wc -l; nice; for a; do echo "<$a>"; done';
  writeFileSync(place.path("look"), look);
  mkdirSync(place.path("a folder"));
  symlinkSync("a folder", place.path("link"));
  const settings = `cd link; umask 026; ulimit -n 300; ulimit -s 4000; trap '' HUP USR2; exec 7</dev/null;`;
  const odd = `'' 'two words' '--every' '-q' '*' "\\$x" 'new
line'`;
  const environment = {
    NODE_OPTIONS: "--max-old-space-size=2000",
    NODE_DEBUG: undefined,
    CAIRN_SOMETHING: "kept",
    ODD: "a=b\nc",
    LC_ALL: "C",
  };
  const plain = await shell(place, `${settings} env "A.B=dot" nice -n 3 sh ../look ${odd}`, { environment });
  const under = await shell(place, `${settings} env "A.B=dot" nice -n 3 "$CAIRN" run -q -- sh ../look ${odd}`, { environment });
  assert.equal(under.stdout, plain.stdout, under.stderr);
  assert.equal(under.status, plain.status);
});

test("signals that are sent to cairn reach the job, which decides", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const program =
    "trap 'echo got TERM; exit 9' TERM; trap 'echo got USR1' USR1; trap 'echo got HUP' HUP; echo up; while :; do sleep 0.02; done";
  const job = new Job(place, ["sh", "-c", program]);
  await job.says("up\n");
  job.supervisor.signal("SIGUSR1");
  await job.says("got USR1\n");
  job.supervisor.signal("SIGHUP");
  await job.says("got HUP\n");
  assert.equal(job.outcome, undefined);
  job.supervisor.signal("SIGTERM");
  assert.equal((await job.end()).status, 9, job.explain());
  assert.equal(job.out, "up\ngot USR1\ngot HUP\ngot TERM\n");
});

test("checkpoints appear at their interval while the job runs, and one line says where", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const compiled = compileC("logger.c");
  if ("missing" in compiled) return t.skip(compiled.missing);
  const started = place.startCairn(["run", "--name", "job", "--every", "200ms", "--", compiled.path, place.path("go")], {
    stdout: place.path("out"),
  });
  const checkpoints = (): string[] => {
    const folder = join(place.store, "jobs/job/checkpoints");
    return existsSync(folder) ? readdirSync(folder).filter((name) => /^\d+$/.test(name)) : [];
  };
  await until("there are three checkpoints", () => checkpoints().length >= 3);
  touch(place.path("go"));
  const outcome = await started.ended;
  assert.equal(outcome.status, 0, outcome.stderr);
  assert.match(outcome.stderr, /job/, "a line says where checkpoints go");
  assert.ok(outcome.stderr.trim().split("\n").length <= 2, `one line, not one for each checkpoint: ${outcome.stderr}`);
  const listed = await place.cairn(["ls", "--json", "job"]);
  const times: number[] = [];
  for (const one of listAt(parseObject(listed.stdout), "checkpoints")) {
    const details = objectAt(one, "details");
    assert.equal(textAt(details, "trigger"), "interval");
    times.push(Date.parse(textAt(details, "takenAt")));
  }
  for (let i = 1; i < times.length; i++)
    assert.ok((times[i] ?? 0) - (times[i - 1] ?? 0) >= 190, `the interval counts from the end of the last: ${times.join(", ")}`);
});

test("--json prints what is documented, and --json alone", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const job = loggerJob(place);
  if (job === undefined) return t.skip("no C compiler on this machine");
  await job.says("line 3\n");
  const checkpoint = {
    job: "string",
    number: "number",
    restartable: "boolean",
    problems: "list",
    path: "string",
    details: "object",
  } as const;
  const details = {
    number: "number",
    takenAt: "string",
    trigger: "string",
    pauseMs: "number",
    durationMs: "number",
    imageBytes: "number",
    memoryBytes: "number",
    processes: "number",
    threads: "number",
    mappings: "number",
    descriptors: "number",
    host: "object",
    warnings: "list",
  } as const;
  const taken = await job.checkpoint("--json");
  assert.equal(taken.stderr, "");
  expectShape(parseObject(taken.stdout), checkpoint);
  expectShape(objectAt(parseObject(taken.stdout), "details"), details);
  const jobs = parseObject((await place.cairn(["ls", "--json"])).stdout);
  expectShape(jobs, { store: "string", jobs: "list" });
  const one = listAt(jobs, "jobs")[0] ?? {};
  expectShape(one, {
    name: "string",
    state: "string",
    pid: "number",
    argv: "list",
    cwd: "string",
    createdAt: "string",
    checkpoints: "number",
    imageBytes: "number",
  });
  assert.deepEqual([one["name"], one["state"], one["checkpoints"], one["cwd"]], ["job", "running", 1, place.work]);
  const list = parseObject((await place.cairn(["ls", "--json", "job"])).stdout);
  expectShape(listAt(list, "checkpoints")[0] ?? {}, checkpoint);
  expectShape(objectAt(listAt(list, "checkpoints")[0] ?? {}, "details"), details);
  const shown = parseObject((await place.cairn(["show", "--json", "job@1"])).stdout);
  const inside = textOf(shown);
  assert.match(inside, /logger/, "show tells the program");
  assert.match(inside, /work\/log/, "show tells the open files");
  const verified = await place.cairn(["verify", "--json", "job"]);
  assert.equal(verified.status, 0, verified.stderr);
  parseObject(verified.stdout);
  const doctor = await place.cairn(["doctor", "--json"]);
  expectShape(parseObject(doctor.stdout), { works: "boolean", checks: "list" });
  touch(place.path("go"));
  assert.equal((await job.end()).status, 0);
  const ended = listAt(parseObject((await place.cairn(["ls", "--json"])).stdout), "jobs")[0] ?? {};
  assert.deepEqual([ended["state"], ended["exitCode"], ended["pid"]], ["ended", 0, null]);
});

function textOf(value: unknown): string {
  return JSON.stringify(value);
}

test("every command has help with an example, and exit codes are documented", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  for (const command of ["run", "checkpoint", "check", "restart", "ls", "show", "verify", "rm", "doctor"]) {
    const help = await place.cairn([command, "--help"]);
    assert.equal(help.status, 0, help.stderr);
    assert.match(help.stdout, new RegExp(`Examples?:\\n\\s+cairn ${command}`), `${command} --help has an example`);
  }
  const codes = await place.cairn(["help", "exit-codes"]);
  for (const code of [64, 65, 66, 67, 69, 72, 74, 75]) assert.match(codes.stdout, new RegExp(`\\b${code}\\b`));
});

test("a mistyped command, option or job name is told of, with the near one", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const job = loggerJob(place, { name: "solver" });
  if (job === undefined) return t.skip("no C compiler on this machine");
  await job.says("line 1\n");
  const command = await place.cairn(["chekpoint", "solver"]);
  assert.equal(command.status, EXIT_USAGE);
  assert.match(command.stderr, /checkpoint/);
  const option = await place.cairn(["run", "--evry", "5", "--", "true"]);
  assert.equal(option.status, EXIT_USAGE);
  assert.match(option.stderr, /--every/);
  for (const verb of ["checkpoint", "restart", "show", "verify", "rm", "ls"]) {
    const name = await place.cairn([verb, "slover"]);
    assert.equal(name.status, EXIT_NOT_FOUND, `${verb}: ${name.stderr}`);
    assert.match(name.stderr, /solver/, verb);
    assert.equal(name.stdout, "", verb);
  }
  assert.equal((await place.cairn(["run", "--every", "soon", "--", "true"])).status, EXIT_USAGE);
  assert.equal((await place.cairn(["run"])).status, EXIT_USAGE);
  assert.equal((await place.cairn(["checkpoint", "999999999"])).status, EXIT_NOT_FOUND);
  touch(place.path("go"));
  await job.end();
});

test("the store is --store, else CAIRN_STORE, else the XDG state folder, else below the home folder", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const clean = { CAIRN_STORE: undefined, XDG_STATE_HOME: undefined, HOME: place.path("home") };
  mkdirSync(place.path("home"));
  const places: [readonly string[], Record<string, string | undefined>, string][] = [
    [["--store", place.path("a")], { ...clean, CAIRN_STORE: place.path("b") }, "a"],
    [[], { ...clean, CAIRN_STORE: place.path("b"), XDG_STATE_HOME: place.path("xdg") }, "b"],
    [[], { ...clean, XDG_STATE_HOME: place.path("xdg") }, "xdg/cairn"],
    [[], clean, "home/.local/state/cairn"],
  ];
  for (const [options, environment, where] of places) {
    const outcome = await place.cairn(["run", "-q", "--name", "here", ...options, "--", "true"], { environment });
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(existsSync(join(place.work, where, "jobs/here")), where);
    const before = await place.cairn([...options, "ls", "--json"], { environment });
    assert.equal(textAt(parseObject(before.stdout), "store"), join(place.work, where), "the option may stand before the command as well");
  }
});

test("the store is closed to others whatever the umask", async (t) => {
  if (needsEngine(t)) return;
  for (const umask of ["000", "777", "022"]) {
    await using place = new Place();
    const script = `umask ${umask}; "$CAIRN" run -q --name job --every 200ms -- sh -c 'until [ -e "$0" ]; do sleep 0.05; done' "${place.path("go")}" >/dev/null &
      until [ -e "${place.store}/jobs/job/checkpoints/2/image" ]; do sleep 0.05; done
      find "${place.store}" -printf '%y %m %P\\n'
      umask 022; : >"${place.path("go")}"; wait`;
    const outcome = await shell(place, script);
    const lines = outcome.stdout.trim().split("\n");
    assert.ok(lines.length > 8, outcome.stdout + outcome.stderr);
    for (const line of lines) {
      const [kind, mode] = line.split(" ");
      assert.equal(mode, kind === "d" ? "700" : "600", `umask ${umask}: ${line}`);
    }
  }
});

test("a store where no folder can be made is refused by name, with what to do", async () => {
  await using place = new Place();
  const outcome = await place.cairn(["run", "--store", "/proc/store", "--", "true"]);
  assert.equal(outcome.status, 74, outcome.stderr);
  assert.equal(
    outcome.stderr,
    "cairn: Cannot make the folder /proc/store: /proc is of a file system that takes no folders\n       Choose another place with --store\n",
  );
});

test("a store that is a file is refused by name", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  writeFileSync(place.path("file"), "");
  const refused = await place.cairn(["run", "--store", place.path("file"), "--", "true"]);
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /file/, refused.stderr);
  assert.doesNotMatch(refused.stderr, /Internal error/);
});

test("a process that cairn did not start is saved by its pid and restarted", async (t) => {
  if (needsEngine(t)) return;
  const compiled = compileC("logger.c");
  if ("missing" in compiled) return t.skip(compiled.missing);
  await using place = new Place();
  const started = place.start(compiled.path, [place.path("go")], { stdout: place.path("out") });
  await until("it runs", () => place.read("out").includes("line 5\n"));
  const outcome = await place.cairn(["checkpoint", "--json", String(started.pid)]);
  assert.equal(outcome.status, 0, outcome.stderr);
  const name = textAt(parseObject(outcome.stdout), "job");
  assert.match(name, new RegExp(String(started.pid)), "the job is named by command and pid");
  const seen = place.read("out");
  await until("it goes on", () => place.read("out").length > seen.length);
  const again = await place.cairn(["checkpoint", "--json", String(started.pid)]);
  assert.equal(again.status, 0, again.stderr);
  assert.deepEqual([textAt(parseObject(again.stdout), "job"), numberAt(parseObject(again.stdout), "number")], [name, 2]);
  await place.killEverything();
  await started.ended;
  touch(place.path("go"));
  const restarted = await place.cairn(["restart", "--quiet", name]);
  assert.equal(restarted.status, 0, restarted.stderr);
  const numbers = [...place.read("out").matchAll(/^line (\d+)$/gm)].map((match) => Number(match[1]));
  assert.deepEqual(
    numbers,
    Array.from(numbers, (_, index) => index),
    "every line is there once",
  );
  assert.match(place.read("out"), /\nok\n$/);
});

test("checkpoint --stop ends the job once the checkpoint is on disk", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const job = loggerJob(place);
  if (job === undefined) return t.skip("no C compiler on this machine");
  await job.says("line 5\n");
  const outcome = await job.checkpoint("--stop");
  assert.equal(outcome.status, 0, outcome.stderr);
  await job.end();
  assert.deepEqual(place.living(), []);
  assert.deepEqual(await listedCheckpoints(job), [1]);
  const lines = job.out;
  touch(place.path("go"));
  job.restart();
  assert.equal((await job.end()).status, 0, job.explain());
  assert.ok(job.out.startsWith(lines), "it goes on exactly where it was ended");
});

test("a pipe that leads out of the job leads to the restarter's own after a restart", async (t) => {
  if (needsEngine(t)) return;
  const compiled = compileC("logger.c");
  if ("missing" in compiled) return t.skip(compiled.missing);
  await using place = new Place();
  const started = place.start("sh", ["-c", `"$CAIRN" run -q --name job -- "${compiled.path}" "${place.path("go")}" | cat >first`], {
    environment: { CAIRN },
  });
  await until("it runs", () => place.read("first").includes("line 5\n"));
  const outcome = await place.cairn(["checkpoint", "job"]);
  assert.equal(outcome.status, 0, outcome.stderr);
  await place.killEverything();
  await started.ended;
  touch(place.path("go"));
  const second = await shell(place, `"$CAIRN" restart -q job | cat >second; cat second`);
  assert.match(second.stdout, /^line \d+\n(line \d+\n)*ok\n$|^ok\n$/, second.stderr);
});

test("names are kept apart, and rm removes what it is told to", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const job = loggerJob(place);
  if (job === undefined) return t.skip("no C compiler on this machine");
  await job.says("line 1\n");
  const taken = await place.cairn(["run", "--name", "job", "--", "true"]);
  assert.equal(taken.status, EXIT_CONFLICT, taken.stderr);
  for (const name of ["../escape", "a/b", "", ".", "x@3"]) {
    const bad = await place.cairn(["run", "--name", name, "--", "true"]);
    assert.equal(bad.status, EXIT_USAGE, `name "${name}": ${bad.stderr}`);
  }
  assert.equal((await job.checkpoint()).status, 0);
  assert.equal((await job.checkpoint()).status, 0);
  const running = await place.cairn(["rm", "job"]);
  assert.equal(running.status, EXIT_CONFLICT, running.stderr);
  assert.equal((await place.cairn(["rm", "job@1"])).status, 0);
  assert.deepEqual(await listedCheckpoints(job), [2]);
  assert.equal((await job.checkpoint()).status, 0);
  assert.deepEqual(await listedCheckpoints(job), [2, 3], "a number is never given twice");
  const forced = await place.cairn(["rm", "--force", "job"]);
  assert.equal(forced.status, 0, forced.stderr);
  await until("the job is gone", () => place.living().length === 0);
  assert.deepEqual(listAt(parseObject((await place.cairn(["ls", "--json"])).stdout), "jobs"), []);
  assert.equal(lstatSync(place.store).isDirectory(), true);
});

test("output to a reader that went away is no error of cairn's", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  const outcome = await shell(place, `{ "$CAIRN" help run; echo $? >status; } | true; cat status`);
  assert.match(outcome.stdout, /^(0|141)\n$/, outcome.stderr);
  assert.doesNotMatch(outcome.stderr, /Internal error|EPIPE/);
  assert.equal(readFileSync(place.path("status"), "utf8"), outcome.stdout);
});

const HUNGRY = `i=0; mkdir many; while [ $i -lt 60 ]; do i=$((i + 1)); : > many/$i; done
exec python3 -c 'import os, time; held = [open(f"many/{i}") for i in range(1, 61)]; print("ready", flush=True); time.sleep(1000)'`;

test("a limit of open files that is too small for Cairn is named, in the foreground and in the background", async (t) => {
  if (needsEngine(t)) return;
  await using place = new Place();
  for (const command of ["run -q -- true", "restart job", "restart --detach job"]) {
    const { status, stderr } = await shell(place, `ulimit -n 24 && exec "$CAIRN" ${command}`);
    assert.equal(status, EXIT_SYSCALL, `${command}: ${stderr}`);
    assert.match(stderr, /^cairn: [^\n]*no more than 24 files[^\n]*\n +[^\n]*ulimit -n/);
  }
  // Enough to start, and not for a program that has sixty files open.
  const hungry = new Job(place, ["sh", "-c", HUNGRY], { name: "hungry", stdout: place.path("hungry.out") });
  await hungry.says("ready");
  assert.equal((await hungry.checkpoint("--stop")).status, 0);
  await hungry.end();
  for (const command of ["restart hungry", "restart --detach hungry"]) {
    const { status, stderr } = await shell(place, `ulimit -n 60 && exec "$CAIRN" ${command}`);
    assert.ok(status === EXIT_SYSCALL || status === EXIT_IO, `${command}: ${status} ${stderr}`);
    assert.match(stderr, /^cairn: [^\n]*EMFILE[^\n]*\n +[^\n]*the limit is 60[^\n]*ulimit -n/);
  }
  // The one in the background ends a moment after it has told the foreground.
  await until("nothing is left running", () => place.living().length === 0);
});

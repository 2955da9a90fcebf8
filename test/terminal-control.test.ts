/** A job on a terminal: keys, job control, modes, window size, as without Cairn. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Place, processFacts, until } from "./harness/mod.ts";
import { CTRL_BACKSLASH, CTRL_C, CTRL_D, CTRL_Z, ShellOnTerminal } from "./harness/shell-on-terminal.ts";

/**
 * Says what it catches, writes a tick now and then, ends when a file appears. One process: a shell that is just starting its next
 * child may swallow a signal or never come to stop, with Cairn and without.
 */
function catcher(place: Place, ...signals: string[]): string {
  writeFileSync(
    place.path("catcher.py"),
    `import os, signal, time
for name in ${JSON.stringify(signals)}:
    # Not print: what the next signal interrupts would be its own buffer.
    signal.signal(getattr(signal, "SIG" + name), lambda number, frame: os.write(1, b"caught %s\\n" % signal.Signals(number).name[3:].encode()))
print("ready", flush=True)
while not os.path.exists("end"):
    with open("ticks", "a") as ticks:
        ticks.write("x")
    time.sleep(0.02)
print("over", flush=True)
`,
  );
  return "python3 catcher.py";
}

function runOf(place: Place, name: string): { rootPid: number; supervisorPid: number } {
  return JSON.parse(readFileSync(join(place.store, "jobs", name, "run.json"), "utf8")) as ReturnType<typeof runOf>;
}

test("Ctrl-C ends a program and the shell sees it so", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  // No shell in between: one that has just forked may swallow the signal, with Cairn and without.
  shell.types("cairn run -q -- cat\n");
  await until("it runs", () => place.living().some(({ comm }) => comm === "cat"));
  shell.types("line\n");
  await shell.sees("line\nline\n");
  shell.types(CTRL_C);
  await shell.prompts();
  shell.types("echo status=$?\n");
  await shell.sees("status=130");
});

test("a key's signal reaches the program once, and so does one that is sent to cairn alone", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  shell.types(`cairn run -q --name keys -- ${catcher(place, "INT", "QUIT", "TERM")}\n`);
  await shell.sees("\nready\n");
  shell.types(CTRL_C);
  await shell.sees("caught INT\n");
  shell.types(CTRL_BACKSLASH);
  await shell.sees("caught QUIT\n");
  const { supervisorPid } = runOf(place, "keys");
  // Until cairn has taken the key's signal, a second of the same kind would be one with it.
  await until("cairn has no signal pending", () => /^ShdPnd:\t0+$/m.test(readFileSync(`/proc/${supervisorPid}/status`, "latin1")));
  process.kill(supervisorPid, "SIGINT");
  await shell.sees("caught INT\n");
  process.kill(supervisorPid, "SIGTERM");
  await shell.sees("caught TERM\n");
  writeFileSync(place.path("end"), "");
  const rest = await shell.sees("over\n");
  assert.doesNotMatch(rest, /caught/);
  await shell.prompts();
});

test("Ctrl-Z gives the terminal back to the shell, and fg continues the program", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  shell.types("cairn run -q --name stop -- sh -c 'echo ready; exec cat'\n");
  await shell.sees("\nready\n");
  shell.types("first\n");
  await shell.sees("first\nfirst\n");
  shell.types(CTRL_Z);
  await shell.sees("Stopped");
  await shell.prompts();
  // 128 and SIGTSTP, as for a program without Cairn.
  shell.types("echo status=$?\n");
  await shell.sees("status=148");
  await shell.prompts();
  shell.types("fg\n");
  await shell.sees("exec cat'\n");
  shell.types("second\n");
  await shell.sees("second\nsecond\n");
  shell.types(CTRL_D);
  await shell.prompts();
});

test("a cairn that is continued alone continues its job", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  shell.types(`cairn run -q --name tick -- ${catcher(place)}\n`);
  await shell.sees("\nready\n");
  shell.types(CTRL_Z);
  await shell.sees("Stopped");
  await shell.prompts();
  const { rootPid, supervisorPid } = runOf(place, "tick");
  await until("the job is stopped", () => processFacts(rootPid)?.state === "T");
  const before = place.read("ticks").length;
  process.kill(supervisorPid, "SIGCONT");
  await until("it ticks again", () => place.read("ticks").length > before + 2);
});

test("a checkpoint of a stopped job is restarted as a job that runs in the terminal", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  shell.types("cairn run -q --name lines -- sh -c 'echo ready; n=0; while read line; do n=$((n+1)); echo $n:$line; done'\n");
  await shell.sees("\nready\n");
  shell.types("one\n");
  await shell.sees("\n1:one\n");
  const stopped = await place.cairn(["checkpoint", "lines", "--stop"]);
  assert.equal(stopped.status, 0, stopped.stderr);
  await shell.prompts();
  shell.types("cairn restart lines\n");
  await shell.sees("goes on from checkpoint 1");
  shell.types("two\n");
  await shell.sees("\n2:two\n");
  shell.types(CTRL_Z);
  await shell.sees("Stopped");
  await shell.prompts();
  shell.types("fg\n");
  await shell.sees("restart lines\n");
  shell.types("three\n");
  await shell.sees("\n3:three\n");
  shell.types(CTRL_C);
  await shell.prompts();
  shell.types("echo status=$?\n");
  await shell.sees("status=130");
});

test("the program sees the window's size and changes the terminal's modes for good", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  shell.types(`cairn run -q --name size -- ${catcher(place, "WINCH")}\n`);
  await shell.sees("\nready\n");
  shell.resize(17, 55);
  await shell.sees("caught WINCH\n");
  writeFileSync(place.path("end"), "");
  await shell.prompts();
  shell.types("cairn run -q -- stty size\n");
  await shell.sees("17 55\n");
  await shell.prompts();
  shell.types("set +m; cairn run -q -- stty -echoctl; stty -a | grep -o -- '-echoctl'\n");
  await shell.sees("\n-echoctl");
});

test("a restart whose output is redirected writes there and reads from the terminal", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  shell.types("cairn run -q --name ask -- sh -c 'echo ready; read a; echo got $a; read b; echo got $b'\n");
  await shell.sees("\nready\n");
  shell.types("first\n");
  await shell.sees("\ngot first\n");
  const stopped = await place.cairn(["checkpoint", "ask", "--stop"]);
  assert.equal(stopped.status, 0, stopped.stderr);
  await shell.prompts();
  shell.types("cairn restart -q ask > answer\n");
  shell.types("second\n");
  await shell.prompts();
  assert.equal(place.read("answer"), "got second\n");
});

test("a job in the background goes on when its terminal is closed, if it was told to", async () => {
  await using place = new Place();
  const shell = await ShellOnTerminal.start(place);
  shell.types(`nohup cairn run -q --name stays -- ${catcher(place)} > nohup.out 2>&1 &\n`);
  await shell.sees(/\[1\] \d+/);
  await until(`it ticks; it says ${place.read("nohup.out")}`, () => place.read("ticks").length > 4);
  const { rootPid, supervisorPid } = runOf(place, "stays");
  shell.hangUp();
  const before = place.read("ticks").length;
  await until("it goes on", () => place.read("ticks").length > before + 10);
  const living = place.living().map(({ pid }) => pid);
  assert.ok(living.includes(rootPid) && living.includes(supervisorPid));
});

test("a job in the foreground ends with its terminal", async () => {
  await using place = new Place();
  const shell = await ShellOnTerminal.start(place);
  shell.types(`cairn run -q --name goes -- ${catcher(place)}\n`);
  await shell.sees("\nready\n");
  shell.hangUp();
  await until("all of it is gone", () => place.living().length === 0);
});

/**
 * Jobs on a terminal: keys make signals, the shell's job control works, and a job that is restarted on another terminal
 * finds its way there.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { CAIRN, compileC, findTool, Place, until, withoutEngine } from "./harness/mod.ts";

/** Runs `command` on a terminal and plays `steps` (programs/terminal.c) to it. */
async function play(t: TestContext, place: Place, command: readonly string[], steps: readonly string[]): Promise<boolean> {
  const terminal = compileC("terminal.c", "-lutil");
  if ("missing" in terminal) {
    t.skip(terminal.missing);
    return false;
  }
  const script = join(place.root, `steps-${Math.random()}`);
  writeFileSync(script, `${steps.join("\n")}\n`);
  const started = place.start(terminal.path, command, {
    stdin: script,
    environment: { TERM: "dumb", PS1: "$ ", ENV: undefined, BC_LINE_LENGTH: "0" },
  });
  let ended = false;
  void started.ended.then(() => (ended = true));
  await until("the play ends", () => ended, 120_000);
  const outcome = await started.ended;
  assert.equal(outcome.status, 0, `${outcome.stderr}\nall that was seen:\n${outcome.stdout}`);
  return true;
}

/** `cairn run`, or the program by itself where the plays are tried without the engine. */
function run(...command: string[]): string[] {
  return withoutEngine ? command : [CAIRN, "run", "--quiet", "--name", "job", "--", ...command];
}

const counter = "trap 'echo got INT; exit 5' INT; trap 'echo size: $(stty size)' WINCH; echo up $(stty size); while :; do sleep 0.05; done";

test("Ctrl-C and the window's size reach a job as they would reach the program", async (t) => {
  await using place = new Place();
  await play(t, place, run("sh", "-c", counter), [
    "expect up 24 80",
    "size 30 100",
    "expect size: 30 100",
    "type \\x03",
    "expect got INT",
    "end 5",
  ]);
});

test("a program that Ctrl-C kills ends its cairn the same way", async (t) => {
  await using place = new Place();
  await play(t, place, run("sh", "-c", "echo up; exec sleep 100"), ["expect up", "type \\x03", "end 130"]);
});

test("Ctrl-Z stops a job for the shell, and fg brings it back", async (t) => {
  const shell = findTool("bash");
  if (shell === undefined) return t.skip("no bash on this machine");
  await using place = new Place();
  // One process, not a shell that forks: a stop that hits between vfork and exec leaves a shell that cannot be stopped.
  const logger = compileC("logger.c");
  if ("missing" in logger) return t.skip(logger.missing);
  const command = run(logger.path, place.path("go")).join(" ");
  await play(
    t,
    place,
    [shell, "--norc", "--noprofile", "-i"],
    [
      "expect $ ",
      `type ${command}\\n`,
      "expect line 3",
      "type \\x1a",
      "expect Stopped",
      "expect $ ",
      "type fg\\n",
      "expect line",
      "expect line",
      "type \\x03",
      "expect $ ",
      "type echo status $?\\n",
      "expect status 130",
      "type exit 3\\n",
      "end 3",
    ],
  );
});

test("a program that reads from the terminal in the background is stopped as usual", async (t) => {
  const shell = findTool("bash");
  if (shell === undefined) return t.skip("no bash on this machine");
  await using place = new Place();
  await play(
    t,
    place,
    [shell, "--norc", "--noprofile", "-i"],
    [
      "expect $ ",
      `type ${run("head", "-n", "1").join(" ")} &\\n`,
      "expect $ ",
      // The shell tells at its next prompt; with Cairn the program takes a moment to come to its first read.
      "type until jobs | grep -q Stopped; do sleep 0.1; done; echo seen $((40 + 2))\\n",
      "expect seen 42",
      "type fg\\n",
      "expect head",
      "type hello there\\n",
      "expect hello there",
      "expect hello there",
      "expect $ ",
      "type exit 0\\n",
      "end 0",
    ],
  );
});

test("a conversation that was cut off goes on on another terminal", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  const bc = findTool("bc");
  if (bc === undefined) return t.skip("no bc on this machine");
  await using place = new Place();
  const went = await play(t, place, run(bc, "-q"), [
    "type x = 40; y = x + 1; y\\n",
    "expect 41",
    `do ${CAIRN} checkpoint job`,
    "type x = 1; 1000 + x\\n",
    "expect 1001",
  ]);
  if (!went) return;
  await place.killEverything();
  await play(
    t,
    place,
    [CAIRN, "restart", "--quiet", "job"],
    ["type x + 2\\n", "expect 42", "type y * 1000\\n", "expect 41000", `do ${CAIRN} checkpoint job`, "type quit\\n", "end 0"],
  );
  // And once more, from the checkpoint of what had been restarted.
  await play(t, place, [CAIRN, "restart", "--quiet", "job"], ["type y * 2000\\n", "expect 82000", "type quit\\n", "end 0"]);
});

test("a full-screen program finds the size and the keys of the terminal on which it is restarted", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  await using place = new Place();
  const program =
    'stty -echo -icanon; trap \'echo size: $(stty size)\' WINCH; echo up $(stty size); while :; do k=$(dd bs=1 count=1 2>/dev/null); echo "key <$k> $(stty size)"; [ "$k" = q ] && exit 6; done';
  const went = await play(t, place, run("sh", "-c", program), [
    "expect up 24 80",
    "type a",
    "expect key <a> 24 80",
    `do ${CAIRN} checkpoint job`,
    "type b",
    "expect key <b>",
  ]);
  if (!went) return;
  await place.killEverything();
  await play(t, place, [CAIRN, "restart", "--quiet", "job"], ["size 40 90", "type c", "expect key <c> 40 90", "type \\x03", "end 130"]);
});

test("a job goes on when its terminal is closed, if it ignores the hang-up, and can be saved then", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  await using place = new Place();
  const program = "trap '' HUP; echo up; i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i >>log; sleep 0.02; done";
  await play(t, place, run("sh", "-c", program), ["expect up", "hang-up"]);
  const lines = (): number => place.read("log").split("\n").length;
  const seen = lines();
  await until("the job goes on without its terminal", () => lines() > seen + 2);
});

/** A job whose process group is not its supervisor's, or has lost its leader: it has the terminal's keys all the same, after a restart too. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { parseStat, type ProcessStat } from "../src/kernel/procfs/stat.ts";
import { Place, processFacts, until } from "./harness/mod.ts";
import { CTRL_C, CTRL_Z, ShellOnTerminal } from "./harness/shell-on-terminal.ts";

function statOf(pid: number): ProcessStat {
  return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
}

/** A process of the test by its name: restarted by an ordinary user it has another number out here than inside. */
function tryStat(place: Place, name: string): ProcessStat | undefined {
  const one = place.living().find(({ comm }) => comm === name);
  try {
    return one === undefined ? undefined : statOf(one.pid);
  } catch {
    return undefined; // Ended meanwhile.
  }
}

/** Waits until the process has the terminal for a group that is not its parent's. */
async function hasTerminal(place: Place, name: string): Promise<void> {
  await until(`${name} has the terminal`, () => {
    const own = tryStat(place, name);
    const parent = own === undefined ? undefined : processFacts(own.parentPid);
    if (own === undefined || parent === undefined) return false;
    return own.ttyForegroundGroup === own.processGroup && own.processGroup !== statOf(parent.pid).processGroup;
  });
}

async function pidOf(place: Place, name: string): Promise<number> {
  return until(`${name} runs`, () => place.living().find(({ comm }) => comm === name)?.pid);
}

async function save(place: Place, target: string): Promise<void> {
  const stopped = await place.cairn(["checkpoint", target, "--stop"]);
  assert.equal(stopped.status, 0, stopped.stderr);
}

/** The shell's next line of output is the status of the last command. */
async function status(shell: ShellOnTerminal): Promise<number> {
  shell.types("echo status=$?.\n");
  return Number((await shell.sees(/status=\d+\./)).replace(/[^]*status=(\d+)\.$/, "$1"));
}

test("Ctrl-C reaches a restarted job whose process group had lost its leader", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  shell.types("echo hi | cairn run -q --name pl -- sh -c 'read x; exec sleep 1000'\n");
  const sleep = await pidOf(place, "sleep");
  const leader = statOf(sleep).processGroup;
  await until("the producer is gone", () => !existsSync(`/proc/${leader}`));
  await save(place, "pl");
  await shell.prompts();
  shell.types("cairn restart pl\n");
  await shell.sees("goes on from checkpoint 1");
  await pidOf(place, "sleep");
  shell.types(CTRL_Z);
  await shell.sees("Stopped");
  await shell.prompts();
  shell.types("fg\n");
  await shell.sees("restart pl\n");
  await until("it goes on", () => tryStat(place, "sleep")?.state === "S");
  shell.types(CTRL_C);
  await shell.prompts();
  assert.equal(await status(shell), 130);
});

test("so does it reach one that Cairn did not start, at the end of a pipeline whose head is gone", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  shell.types("echo hi | sh -c 'read x; exec sleep 1000'\n");
  const sleep = await pidOf(place, "sleep");
  const leader = statOf(sleep).processGroup;
  await until("the producer is gone", () => !existsSync(`/proc/${leader}`));
  await save(place, String(sleep));
  await shell.prompts();
  shell.types(`cairn restart sleep-${sleep}\n`);
  await shell.sees("goes on from checkpoint 1");
  shell.types(CTRL_C);
  await shell.prompts();
  assert.equal(await status(shell), 130);
});

test("a job of a pipeline inside the job has the terminal after a restart, though the pipeline's head is gone", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  shell.types("cairn run -q --name inner -- bash --norc --noprofile -i\n");
  await shell.prompts();
  shell.types('true | sh -c \'trap "echo in\\"\\"terrupted" INT; while :; do sleep 0.05; done\'\n');
  await until("the pipeline stands alone", () =>
    place
      .living()
      .find(
        ({ comm, pid }) =>
          comm === "sh" && statOf(pid).processGroup === statOf(pid).ttyForegroundGroup && !existsSync(`/proc/${statOf(pid).processGroup}`),
      ),
  );
  await save(place, "inner");
  await shell.prompts();
  shell.types("cairn restart inner\n");
  await shell.sees("goes on from checkpoint 1");
  await hasTerminal(place, "sh");
  shell.types(CTRL_C);
  await shell.sees("interrupted");
  await place.killEverything();
});

/** As a shell starts it, saved by its pid and restarted: it leads its own process group. */
async function restartFromPrompt(place: Place, shell: ShellOnTerminal, command: string): Promise<number> {
  shell.types(`${command}\n`);
  const pid = await pidOf(place, command.split(" ")[0] ?? "");
  await until("it is in the foreground", () => statOf(pid).processGroup === pid && statOf(pid).ttyForegroundGroup === pid);
  await save(place, String(pid));
  await shell.prompts();
  shell.types(`cairn restart ${command.split(" ")[0]}-${pid}\n`);
  await shell.sees("goes on from checkpoint 1");
  return pid;
}

test("Ctrl-Z and fg give the terminal back to a restarted job that leads its own process group", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  const pid = await restartFromPrompt(place, shell, "sleep 1000");
  for (let round = 0; round < 2; round += 1) {
    await hasTerminal(place, "sleep");
    shell.types(CTRL_Z);
    await shell.sees("Stopped");
    await shell.prompts();
    assert.equal(await status(shell), 148);
    await shell.prompts();
    shell.types("fg\n");
    await shell.sees(`restart sleep-${pid}\n`);
  }
  await hasTerminal(place, "sleep");
  shell.types(CTRL_C);
  await shell.prompts();
  assert.equal(await status(shell), 130);
});

test("a restarted job of its own process group reads from the terminal after bg and fg", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  await restartFromPrompt(place, shell, "cat");
  shell.types("one\n");
  await shell.sees("one\none\n");
  shell.types(CTRL_Z);
  await shell.sees("Stopped");
  await shell.prompts();
  // In the background a read stops it.
  shell.types("bg\n");
  await shell.prompts();
  shell.types("until jobs | grep -q Stopped; do sleep 0.1; done; echo seen $((40 + 2))\n");
  await shell.sees("seen 42");
  await shell.prompts();
  shell.types("fg\n");
  await shell.sees(/restart cat-\d+\n/);
  shell.types("two\n");
  await shell.sees("two\ntwo\n");
  shell.types(CTRL_C);
  await shell.prompts();
  assert.equal(await status(shell), 130);
});

test("Ctrl-C reaches a restarted job of its own process group that a shell brought to the foreground while it ran", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  await restartFromPrompt(place, shell, "sleep 1000");
  await hasTerminal(place, "sleep");
  shell.types(CTRL_Z);
  await shell.sees("Stopped");
  await shell.prompts();
  shell.types("bg\n");
  await shell.prompts();
  await until("it goes on", () => tryStat(place, "sleep")?.state === "S");
  shell.types("fg\n");
  await shell.sees(/restart sleep-\d+\n/);
  shell.types(CTRL_C);
  await shell.prompts();
  assert.equal(await status(shell), 130);
});

test("a job in the background, saved by its pid, is restarted as one that has the terminal", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  shell.types("sleep 1000 &\n");
  const pid = await pidOf(place, "sleep");
  await shell.prompts();
  await save(place, String(pid));
  shell.types(`cairn restart sleep-${pid}\n`);
  await shell.sees("goes on from checkpoint 1");
  shell.types(CTRL_C);
  await shell.prompts();
  assert.equal(await status(shell), 130);
});

test("a shell as the job that suspends itself gives the terminal back, and has it again after fg", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  shell.types("cairn run -q --name sh2 -- bash --norc --noprofile -i\n");
  await shell.prompts();
  for (let round = 0; round < 2; round += 1) {
    shell.types("suspend\n");
    await shell.sees("Stopped");
    await shell.prompts();
    shell.types("echo out$((40 + round))side; fg\n".replace("round", String(round)));
    await shell.sees(`out4${round}side`);
    shell.types("echo in$((50 + 1))side\n");
    await shell.sees("in51side");
    await shell.prompts();
  }
  shell.types("exit 3\n");
  await shell.prompts();
  assert.equal(await status(shell), 3);
});

test("a job that took the terminal for its own group and stops itself gives it back, and what stands beside it stops with it", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  const program = [
    "import os, signal as s",
    "s.signal(s.SIGTTOU, s.SIG_IGN)",
    "os.setpgid(0, 0)",
    "os.tcsetpgrp(0, os.getpid())",
    "os.kill(os.getpid(), s.SIGTSTP)",
    "os.write(1, b'went on, and read ' + os.read(0, 100))",
  ];
  shell.types(`cairn run -q --name self -- python3 -c "${program.join(";")}" | cat\n`);
  await shell.sees("Stopped");
  await shell.prompts();
  shell.types("fg\n");
  await shell.sees("cat\n");
  shell.types("line\n");
  await shell.sees("went on, and read line\n");
  await shell.prompts();
});

test("Ctrl-Z does nothing to a restarted job where nobody could continue it", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  const pid = await restartFromPrompt(place, shell, "cat");
  await save(place, `cat-${pid}`);
  await shell.prompts();
  shell.types(`exec cairn restart cat-${pid}\n`);
  await shell.sees("goes on from checkpoint 2");
  await hasTerminal(place, "cat");
  shell.types(CTRL_Z);
  shell.types("here\n");
  await shell.sees("here\nhere\n");
});

const modes = "stty -a | grep -oE -- '-?(icanon|echo) ' | tr -d '\\n'; echo .";

test("the terminal's modes are what they were when a job that had changed them is ended by checkpoint --stop", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  shell.types("cairn run -q --name raw -- sh -c 'stty -icanon -echo; echo read\"\"y; exec sleep 1000'\n");
  await shell.sees("ready");
  await pidOf(place, "sleep");
  await save(place, "raw");
  await shell.prompts();
  shell.types(`${modes}\n`);
  await shell.sees("\nicanon echo .\n");
  await shell.prompts();
  shell.types("cairn restart raw\n");
  await shell.sees("goes on from checkpoint 1");
  await pidOf(place, "sleep");
  await save(place, "raw");
  await shell.prompts();
  shell.types(`${modes}\n`);
  await shell.sees("\nicanon echo .\n");
});

test("a script goes on at the terminal after a job of its own process group was ended by checkpoint --stop", async () => {
  await using place = new Place();
  using shell = await ShellOnTerminal.start(place);
  const pid = await restartFromPrompt(place, shell, "sleep 1000");
  await save(place, `sleep-${pid}`);
  await shell.prompts();
  shell.types(`sh -c 'cairn restart sleep-${pid}; echo en""ded; read line; echo read $line'\n`);
  await shell.sees("goes on from checkpoint 2");
  await hasTerminal(place, "sleep");
  await save(place, `sleep-${pid}`);
  await shell.sees("ended");
  shell.types("words\n");
  await shell.sees("read words\n");
});

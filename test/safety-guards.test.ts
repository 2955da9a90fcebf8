/**
 * Kills the checkpointer at every step of its work where a guard stands by: on terminals, whose bytes are taken out and put back, and on
 * sockets, which are set so that they can be looked into, and on message queues, out of which all is taken and put back. Whenever it dies, they are
 * what they were.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync } from "node:fs";
import { test } from "node:test";
import { Conversation, Job, Place, compileC, findTool, isOver, processFacts, touch, until, withoutEngine } from "./harness/mod.ts";

const KILLED = 128 + 9;
const MOST_STEPS = 200;

const cases: readonly { fixture: string; phase: string; needsRoot?: boolean; arguments?: readonly string[] }[] = [
  { fixture: "ptys", phase: "terminal" },
  { fixture: "pty-half-line", phase: "terminal" },
  { fixture: "unix-sockets", phase: "socket" },
  { fixture: "rights", phase: "socket" },
  { fixture: "tcp-full", phase: "socket", needsRoot: true },
  { fixture: "message-queues", phase: "queue", arguments: ["quiet"] },
];

for (const { fixture, phase, needsRoot, arguments: more = [] } of cases) {
  test(`a checkpoint of ${fixture} that is killed at any step of looking into a ${phase} leaves every byte in it`, async (t) => {
    if (withoutEngine) return t.skip("needs the engine");
    if (needsRoot === true && process.getuid?.() !== 0) return t.skip("needs root");
    const compiled = compileC(`objects/${fixture}.c`, "-lrt");
    if ("missing" in compiled) return t.skip(compiled.missing);
    await using place = new Place();
    const job = new Job(place, [compiled.path, place.path("go"), ...more]);
    await job.says("ready\n");
    // Without its supervisor a job is checkpointed by the command itself, which is then what gets killed.
    job.supervisor.signal("SIGKILL");
    await job.end();
    let step = 1;
    for (; step < MOST_STEPS; step++) {
      const outcome = await place.cairn(["checkpoint", job.name], {
        environment: { CAIRN_KILL_AT: String(step), CAIRN_KILL_IN: phase },
      });
      await until("the guard has done its work", () => guards() === 0);
      if (outcome.status === 0) break;
      assert.equal(outcome.status, KILLED, `killed at step ${step}: ${outcome.stderr}`);
    }
    t.diagnostic(`${step - 1} steps`);
    assert.ok(step > 3, `the checkpoint works on a ${phase}`);
    touch(place.path("go"));
    await until("the fixture ends", () => job.out !== "ready\n");
    assert.equal(job.out, "ready\nok\n");
  });
}

const BOTH_WAYS = ["connect-send-70", "listen-take-70", "listen-send-80", "connect-take-80"];

for (const options of [[], ["--stop", "--tcp", "keep"]]) {
  test(`a ${["checkpoint", ...options].join(" ")} that is killed at any step of looking into a connection to another program leaves it as it was`, async (t) => {
    const python = findTool("python3");
    if (withoutEngine) return t.skip("needs the engine");
    if (python === undefined) return t.skip("no python3 on this machine");
    if (process.getuid?.() !== 0) return t.skip("needs root");
    await using place = new Place();
    await using conversation = await Conversation.begin(place, python);
    await conversation.doAll([...BOTH_WAYS, "connect-send-700", "listen-send-800"]);
    let step = 1;
    for (; step < MOST_STEPS; step++) {
      const environment = { CAIRN_KILL_AT: String(step), CAIRN_KILL_IN: "connection" };
      const outcome = await conversation.cairnWith({ environment }, "checkpoint", "job", ...options);
      await until("the guard has done its work", () => guards() === 0);
      // The last step of a stop is to let the guard hold on, when the checkpoint is committed and the job has ended.
      if (outcome.status === 0 || existsSync(`${place.store}/jobs/job/checkpoints/1`)) break;
      assert.equal(outcome.status, KILLED, `killed at step ${step}: ${outcome.stderr}`);
      await conversation.doAll(BOTH_WAYS);
    }
    t.diagnostic(`${step - 1} steps`);
    assert.ok(step > 5, "the checkpoint looks into a connection");
    if (options.length > 0) await conversation.job.end();
    else await conversation.finish();
  });
}

/** This user's: another may run the same tests. Those that have ended but that nobody has reaped yet have done their work. */
function guards(): number {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name) && statSync(`/proc/${name}`, { throwIfNoEntry: false })?.uid === process.getuid?.())
    .map((pid) => processFacts(Number(pid)))
    .filter((facts) => facts?.comm === "cairn-guard" && !isOver(facts)).length;
}

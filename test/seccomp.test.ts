/**
 * Seccomp filters beside what test/objects/ has of them: those that a job was started under, and a checkpointer that is killed while
 * filters are suspended. (A filter that forbids restart_syscall ends its program at the first stop that is no more than that, whoever stops
 * it; so the fixture leaves that one out here.)
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Job, Place, compileC, randomForTest, touch, until, withoutEngine } from "./harness/mod.ts";

const KILLED = 128 + 9;
const SKIP_STATUS = 77;
const PROCESSES = 7;
const SAMPLES = process.env["CAIRN_TEST_THOROUGH"] === "1" ? 400 : 40;

test("a job that was started under a filter, as in a container, is saved and comes back under its restarter's", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  const filter = compileC("under-filter.c");
  const compiled = compileC("tells-filters.c");
  if ("missing" in filter || "missing" in compiled) return t.skip("no C compiler on this machine");
  await using place = new Place();
  const job = new Job(place, [compiled.path, place.path("go")], { around: [filter.path] });
  await until("the program tells", () => job.outcome !== undefined || job.out !== "");
  if (job.outcome?.status === SKIP_STATUS) return t.skip("no seccomp on this machine");
  const [, own = ""] = /filters (\d+)/.exec(job.out) ?? [];
  const taken = await job.checkpoint();
  assert.equal(taken.status, 0, taken.stderr);
  await job.crash();
  touch(place.path("go"));
  job.restart();
  const outcome = await job.end();
  assert.deepEqual([job.out, outcome.status], [`filters ${own}\nfilters ${Number(own) - 1}\n`, 0], job.explain());
});

test("a checkpoint of sandboxed processes that is killed at any step leaves them whole", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  if (process.getuid?.() !== 0) return t.skip("needs root");
  const random = randomForTest("kill while filters are suspended", (message) => t.diagnostic(message));
  const compiled = compileC("objects/seccomp.c");
  if ("missing" in compiled) return t.skip(compiled.missing);
  await using place = new Place();
  const job = new Job(place, [compiled.path, place.path("go"), "stoppable"]);
  await job.says("ready\n");
  // Without its supervisor a job is checkpointed by the command itself, which is then what gets killed.
  job.supervisor.signal("SIGKILL");
  await job.end();
  let total = 2048;
  for (let tried = 0; tried < SAMPLES; tried += 1) {
    const step = 1 + random.whole(total);
    const outcome = await place.cairn(["checkpoint", job.name], { environment: { CAIRN_KILL_AT: String(step) } });
    await until(`all processes are there, and no copies, after a kill at step ${step}`, () => programs(place) === PROCESSES);
    if (outcome.status === 0) total = step;
    else {
      assert.equal(outcome.status, KILLED, `killed at step ${step}: ${outcome.stderr}`);
      if (step > total / 2) total = Math.ceil(total * 1.5);
    }
  }
  touch(place.path("go"));
  await until("the fixture ends", () => job.out !== "ready\n" && programs(place) === 0);
  assert.equal(job.out, "ready\nok\n");
});

/** Of the fixture, zombies included: none may be left of a copy. */
function programs(place: Place): number {
  return place.processes().filter(({ comm }) => comm === "program").length;
}

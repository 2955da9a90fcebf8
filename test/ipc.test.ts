/**
 * System V IPC objects live longer than a job that crashed, and others may have taken their ids and keys meanwhile. Either way
 * the job finds what it had, nobody else's is touched, and a restart that fails leaves nothing.
 */
import assert from "node:assert/strict";
import { closeSync, rmSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { O_CREAT, O_NONBLOCK, O_RDWR } from "../src/kernel/abi/constants.ts";
import { makeQueue, openQueue, putMessages, removeQueue, takeMessages } from "../src/kernel/message-queues.ts";
import {
  compileC,
  ipcObjectsOf,
  Job,
  Place,
  removeIpcObjects,
  removeMessageQueues,
  touch,
  until,
  withoutEngine,
  type Started,
} from "./harness/mod.ts";

const SKIP_STATUS = 77;
const EXIT_CONFLICT = 75;
const isRoot = process.getuid?.() === 0;

interface Survivor {
  readonly place: Place;
  readonly job: Job;
  readonly segment: string;
  readonly key: string;
  /** What the job said before its checkpoint. */
  readonly said: string;
  readonly other: (...argv: string[]) => Promise<Started>;
}

/** A job with a checkpoint, which runs on. */
async function withSurvivor(t: TestContext, body: (survivor: Survivor) => Promise<void>): Promise<void> {
  if (withoutEngine) return t.skip("needs the engine");
  const compiled = compileC("ipc-survivor.c");
  const other = compileC("ipc-other.c");
  if ("missing" in compiled) return t.skip(compiled.missing);
  if ("missing" in other) return t.skip(other.missing);
  await using place = new Place();
  try {
    const job = new Job(place, [compiled.path, place.path("go")]);
    await until("the fixture is ready", () => job.outcome !== undefined || job.out.includes("ready\n"));
    if (job.outcome?.status === SKIP_STATUS) return t.skip(job.out.trim());
    const [segment = "", key = ""] = job.out.split(" ");
    const said = job.out;
    const taken = await job.checkpoint();
    assert.equal(taken.status, 0, `${taken.stderr}${job.explain()}`);
    const start = async (...argv: string[]): Promise<Started> => {
      const started = place.start(other.path, argv, { stdout: place.path("other.out") });
      await until("the other program is ready", () => place.read("other.out").includes("ready\n"));
      return started;
    };
    await body({ place, job, segment, key, said, other: start });
  } finally {
    await place.killEverything();
    removeIpcObjects(place);
  }
}

async function spoilAndCrash({ place, job }: Survivor): Promise<void> {
  touch(place.path("spoil"));
  await until("the job has spoiled all", () => job.out.includes("spoiled\n"));
  await job.crash();
  rmSync(place.path("spoil"));
}

async function endsWell({ job, said, place }: Survivor, ...options: string[]): Promise<string> {
  touch(place.path("go"));
  job.restart("job", options);
  const outcome = await job.end();
  assert.deepEqual([job.out, outcome.status], [`${said}ok\n`, 0], job.explain());
  return outcome.stderr;
}

test("what survived a crash is taken back to the checkpoint", (t) =>
  withSurvivor(t, async (survivor) => {
    await spoilAndCrash(survivor);
    assert.equal(ipcObjectsOf(survivor.place).length, 3, "a crash leaves what the job had made");
    const stderr = await endsWell(survivor);
    assert.match(stderr, new RegExp(`segment ${survivor.segment} .* is still there; it is taken back`));
    assert.deepEqual(ipcObjectsOf(survivor.place), [], "the program removed its objects, and there were no others");
  }));

test("what the program had removed since the checkpoint is made again under its ids", (t) =>
  withSurvivor(t, async (survivor) => {
    const { job, place, said } = survivor;
    touch(place.path("go"));
    await job.end();
    assert.equal(job.out, `${said}ok\n`, job.explain());
    assert.deepEqual(ipcObjectsOf(place), []);
    const stderr = await endsWell(survivor);
    if (isRoot) assert.doesNotMatch(stderr, /IPC namespace/);
    else assert.match(stderr, /in an IPC namespace of its own \(this user may not choose ids/);
    assert.deepEqual(ipcObjectsOf(place), []);
  }));

test("where somebody else has a key of the job's, the job gets an IPC namespace, again after a second checkpoint", (t) =>
  withSurvivor(t, async (survivor) => {
    const { job, place, key, other } = survivor;
    touch(place.path("go"));
    await job.end();
    rmSync(place.path("go"));
    await other("make", key);
    const [id = ""] = place.read("other.out").split(" ");
    await job.restartDetached();
    assert.deepEqual(ipcObjectsOf(place), [`m ${id}`], "nothing of the job's is in this namespace");
    const second = await job.checkpoint();
    assert.equal(second.status, 0, second.stderr);
    await spoilAndCrash(survivor);
    const stderr = await endsWell(survivor);
    assert.match(stderr, /in an IPC namespace of its own \(the job had an IPC namespace of its own before\)/);
    assert.deepEqual(ipcObjectsOf(place), [`m ${id}`], "the other's segment is untouched");
  }));

test("a survivor that somebody outside has attached is refused, naming the process", (t) =>
  withSurvivor(t, async (survivor) => {
    const { job, place, segment, other } = survivor;
    await spoilAndCrash(survivor);
    const others = await other("attach", segment);
    const refused = await place.cairn(["restart", "--detach", "job"]);
    assert.equal(refused.status, EXIT_CONFLICT, refused.stderr);
    assert.match(refused.stderr, new RegExp(`segment ${segment} .*attached by process ${others.pid}`));
    assert.ok(job.out.includes("spoiled\n"), "nothing was taken back");
    others.signal("SIGKILL");
    await others.ended;
    await endsWell(survivor);
  }));

test("a restart that fails late leaves no System V object behind, and survivors as they are", (t) =>
  withSurvivor(t, async (survivor) => {
    const { job, place, other } = survivor;
    touch(place.path("go"));
    await job.end();
    const holder = await other("lock", place.path("locked"));
    const failed = await place.cairn(["restart", "--detach", "job"]);
    assert.notEqual(failed.status, 0, "the lock is another's");
    assert.deepEqual(ipcObjectsOf(place), [], failed.stderr);
    holder.signal("SIGKILL");
    await holder.ended;
    await endsWell(survivor);
  }));

test("a job with a pid namespace of its own keeps what survived it, checkpoint after checkpoint", async (t) => {
  if (!isRoot) return t.skip("needs root");
  await withSurvivor(t, async (survivor) => {
    const { job, place } = survivor;
    await spoilAndCrash(survivor);
    await job.restartDetached("job", ["--pids", "namespace"]);
    assert.equal(ipcObjectsOf(place).length, 3);
    const second = await job.checkpoint();
    assert.equal(second.status, 0, second.stderr);
    await spoilAndCrash(survivor);
    await endsWell(survivor, "--pids", "namespace");
    assert.deepEqual(ipcObjectsOf(place), []);
  });
});

test("a POSIX message queue that outlived a crash is taken back to the checkpoint, and one of its name that is another is refused", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  const compiled = compileC("objects/message-queues.c", "-lrt");
  if ("missing" in compiled) return t.skip(compiled.missing);
  await using place = new Place();
  try {
    const job = new Job(place, [compiled.path, place.path("go"), "quiet"]);
    await job.says("ready\n");
    const taken = await job.checkpoint();
    assert.equal(taken.status, 0, taken.stderr);
    await job.crash();
    const [first = ""] = place.read("queues").split("\n");
    const name = Buffer.from(first);
    const left = openQueue(name, O_RDWR | O_NONBLOCK);
    assert.equal(takeMessages(left).length, 6);
    putMessages(left, [{ priority: 3, content: Buffer.from("of somebody else") }]);
    closeSync(left);
    touch(place.path("go"));
    job.restart();
    const outcome = await job.end();
    assert.deepEqual([job.out, outcome.status], ["ready\nok\n", 0], job.explain());
    assert.match(outcome.stderr, /taken back to the 6 messages/);

    closeSync(makeQueue(name, O_RDWR | O_CREAT, 0o600, { maxMessages: 2, messageBytes: 8 }));
    job.restart();
    const refused = await job.end();
    assert.match(refused.stderr, /message queue \/cairn-test-\d+-0 is another than the job's/);
    removeQueue(name);
    job.restart();
    const last = await job.end();
    assert.deepEqual([job.out, last.status], ["ready\nok\n", 0], job.explain());
  } finally {
    await place.killEverything();
    removeMessageQueues(place);
  }
});

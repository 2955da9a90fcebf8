/**
 * Where the system lets a checkpoint or a restart have too little: the job must not pay for it, no checkpoint may be listed that lacks
 * something, and what was begun is undone.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CAIRN, compileC, Job, killIfAlive, Place, processFacts, touch, until, withoutEngine } from "./harness/mod.ts";

const HELD_MIB = 96;
const EXIT_IO = 74;
const EXIT_SYSCALL = 71;

const KINDS = {
  memory: { controller: "memory", versions: ["memory.limit_in_bytes", "memory.max"] },
  processes: { controller: "pids", versions: ["pids.max", "pids.max"] },
} as const;

/** A cgroup of our own with one limit, in whichever version the machine has. */
class LimitedCgroup implements Disposable {
  readonly processesFile: string;
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
    this.processesFile = join(path, "cgroup.procs");
  }

  static tryMake(kind: keyof typeof KINDS, limit: number): LimitedCgroup | null {
    const { controller, versions } = KINDS[kind];
    const parents = [`/sys/fs/cgroup/${controller}`, "/sys/fs/cgroup"];
    for (const [version, parent] of parents.entries()) {
      const path = join(parent, `cairn-test-${process.pid}`);
      try {
        mkdirSync(path);
      } catch {
        continue;
      }
      const made = new LimitedCgroup(path);
      const limitFile = join(path, versions[version] ?? "");
      if (existsSync(limitFile)) {
        writeFileSync(limitFile, String(limit));
        return made;
      }
      made[Symbol.dispose]();
    }
    return null;
  }

  [Symbol.dispose](): void {
    rmdirSync(this.#path);
  }
}

test("a program whose memory cgroup leaves no room for a copy is saved all the same, and restarts", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  const compiled = compileC("dirty-memory.c");
  if ("missing" in compiled) return t.skip(compiled.missing);
  if (process.getuid?.() !== 0) return t.skip("needs root");
  using cgroup = LimitedCgroup.tryMake("memory", (HELD_MIB + 14) << 20);
  if (cgroup === null) return t.skip("no cgroup that limits memory can be made here");
  await using place = new Place();
  const job = new Job(place, [compiled.path, place.path("go"), String(HELD_MIB), cgroup.processesFile]);
  await job.says("ready\n");
  const outcome = await job.checkpoint();
  assert.equal(outcome.status, 0, `${outcome.stderr}\n${job.explain()}`);
  assert.match(outcome.stderr, /memory cgroup leaves no room/);
  await job.crash();
  job.restart();
  await until("the job runs again", () => place.living().some(({ comm }) => comm === "program"));
  touch(place.path("go"));
  const end = await job.end();
  assert.deepEqual([job.out, end.status], ["ready\nok\n", 0], job.explain());
});

/** The copy is known by the score that has the kernel kill it before the job. */
function findSnapshot(place: Place): number | undefined {
  return place.living().find(({ pid }) => {
    try {
      return readFileSync(`/proc/${pid}/oom_score_adj`, "latin1").trim() === "1000";
    } catch {
      return false;
    }
  })?.pid;
}

test("a copy that is killed while it is written ends the checkpoint at once; the job runs on and nothing is listed", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  const compiled = compileC("dirty-memory.c");
  if ("missing" in compiled) return t.skip(compiled.missing);
  await using place = new Place();
  const job = new Job(place, [compiled.path, place.path("go"), "256"]);
  await job.says("ready\n");
  const environment = { CAIRN_KILL_AT: "1", CAIRN_KILL_IN: "image", CAIRN_KILL_WITH: "SIGSTOP" };
  const taking = place.startCairn(["checkpoint", job.name], { environment });
  await until("the checkpoint stands before its first write", () => processFacts(taking.pid)?.state === "T");
  const copy = findSnapshot(place);
  assert.ok(copy !== undefined, job.explain());
  killIfAlive(copy);
  taking.signal("SIGCONT");
  const { status, stderr } = await taking.ended;
  assert.equal(status, EXIT_IO, stderr);
  assert.match(stderr, /copy of process \d+'s memory was killed.*the job runs on/);
  const again = await job.checkpoint();
  assert.equal(again.status, 0, again.stderr);
  touch(place.path("go"));
  const end = await job.end();
  assert.deepEqual([job.out, end.status], ["ready\nok\n", 0], job.explain());
});

test("a restart that cannot make all threads ends with an error and leaves nothing, and the next one succeeds", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  const compiled = compileC("objects/threads.c");
  if ("missing" in compiled) return t.skip(compiled.missing);
  // Room for Node's own threads and some of the program's three hundred.
  if (process.getuid?.() !== 0) return t.skip("needs root");
  using cgroup = LimitedCgroup.tryMake("processes", 100);
  if (cgroup === null) return t.skip("no cgroup that limits pids can be made here");
  await using place = new Place();
  const job = new Job(place, [compiled.path, place.path("go")]);
  await job.says("ready\n");
  assert.equal((await job.checkpoint("--stop")).status, 0);
  await job.end();
  const enter = `echo $$ > ${cgroup.processesFile} && exec "$0" "$@"`;
  const failed = await place.start("/bin/sh", ["-c", enter, CAIRN, "restart", job.name]).ended;
  assert.equal(failed.status, EXIT_SYSCALL, failed.stderr);
  assert.match(failed.stderr, /making thread \d+.* EAGAIN\n.*limit/);
  assert.deepEqual(place.living(), []);
  job.restart();
  await until("the job runs again", () => place.living().some(({ comm }) => comm === "program"));
  touch(place.path("go"));
  const end = await job.end();
  assert.deepEqual([job.out, end.status], ["ready\nok\n", 0], job.explain());
});

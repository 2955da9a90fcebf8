/**
 * What cannot be saved yet is refused before the job is disturbed: the message names process, descriptor and kind, the
 * job runs on, nobody is left stopped or traced, and no checkpoint is listed.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { compile, compileC, describeProcesses, findTool, Job, Place, stoppedOrTraced, touch, until, withoutEngine } from "./harness/mod.ts";

const EXIT_UNSUPPORTED = 69;
const SKIP_STATUS = 77;
const HELD_DESCRIPTOR = "42";

interface Refusal {
  readonly kind: string;
  /** What the message has to call it. */
  readonly called: RegExp;
  readonly isDescriptor?: boolean;
  /** Where the engine may learn to carry it over; then it has to do so truly. */
  readonly mayBeCarried?: boolean;
}

const refusals: readonly Refusal[] = [
  { kind: "filtered-socket", called: /descriptor \d+ is a UDP socket.*filter/, isDescriptor: true },
  { kind: "packet-socket", called: /a packet socket/, isDescriptor: true },
  { kind: "raw-socket", called: /a raw ICMP socket/, isDescriptor: true },
  { kind: "io-uring", called: /io_uring with a thread/, isDescriptor: true },
  { kind: "io-uring-waiting", called: /io_uring with requests under way/, isDescriptor: true },
  { kind: "io-uring-files", called: /io_uring with registered files/, isDescriptor: true },
  { kind: "io-uring-eventfd", called: /io_uring with a registered eventfd/, isDescriptor: true },
  { kind: "io-uring-thread", called: /has registered an io_uring with itself/ },
  { kind: "other-name", called: /work\/first, a file that has lost this name and has another/, isDescriptor: true },
  { kind: "huge-memfd", called: /a memfd of huge pages/, isDescriptor: true },
  { kind: "ended-process", called: /\/proc\/\d+\/stat, of process \d+, which has ended/, isDescriptor: true },
  { kind: "aio", called: /asynchronous I\/O|aio/i },
  { kind: "tracer", called: /trace/i },
  { kind: "message-queue", called: /message queue|mqueue/i, isDescriptor: true, mayBeCarried: true },
  {
    kind: "message-queue-notify",
    called: /descriptor 42 is a POSIX message queue of which process \d+ is to be notified/,
    isDescriptor: true,
  },
  { kind: "inotify-removed", called: /inotify instance whose watch 1 is on a file without a name/, isDescriptor: true },
  { kind: "fanotify", called: /fanotify group that decides about accesses/, isDescriptor: true },
  { kind: "userfaultfd", called: /userfaultfd/, isDescriptor: true },
  { kind: "perf-event", called: /perf/, isDescriptor: true },
  { kind: "bpf-map", called: /bpf/i, isDescriptor: true },
  // The kernel gives a lease up by itself when its holder does not: on a slow machine there may be none left.
  { kind: "lease-breaking", called: /lease on .* that is being broken/, isDescriptor: true, mayBeCarried: true },
  { kind: "pidfd-outside", called: /pidfd of process \d+ .*not part of the job/, isDescriptor: true },
  { kind: "seccomp-filter", called: /seccomp/, mayBeCarried: true },
  { kind: "syscall-dispatch", called: /syscall user dispatch/ },
  { kind: "secret-memory", called: /secret/ },
  { kind: "secret-memory-mapped", called: /memory .* secret memory/ },
  { kind: "protection-key", called: /protection key/i, mayBeCarried: true },
  { kind: "sealed-memory", called: /seal/i, mayBeCarried: true },
  { kind: "guard-region", called: /guard/i, mayBeCarried: true },
  { kind: "mount-namespace", called: /(mount|mnt) namespace/i },
  { kind: "thread-directory", called: /thread \d+ has a current directory and umask of its own/ },
  { kind: "thread-descriptors", called: /thread \d+ has descriptors of its own/ },
  { kind: "thread-namespace", called: /thread \d+ has a network namespace of its own/ },
  { kind: "thread-seccomp", called: /thread \d+ runs under a seccomp filter/, mayBeCarried: true },
  { kind: "thread-seccomp-strict", called: /thread \d+ is in seccomp's strict mode/ },
  { kind: "thread-seccomp-listener", called: /filter that asks another process \(user notification\)|Only root/ },
  { kind: "thread-seccomp-munmap", called: /filter that forbids munmap|Only root/ },
  { kind: "thread-seccomp-fatal", called: /filter that ends it for sigaltstack|Only root/ },
  { kind: "shared-memory", called: /shares its memory with process \d+/ },
  { kind: "shared-signal-actions", called: /shares its memory with process \d+/ },
  { kind: "shared-descriptors", called: /shares its descriptors with process \d+/ },
  { kind: "shared-directory", called: /shares its current directory and umask with process \d+/ },
  { kind: "local-descriptors", called: /segments of its own \(modify_ldt\)/ },
  { kind: "network-namespace", called: /net(work)? namespace/i },
  { kind: "address-space-limit", called: /limit of address space.*\n.*prlimit/ },
  { kind: "data-limit", called: /limit of data.*\n.*prlimit/ },
  { kind: "pid-namespace-of-children", called: /next children.* pid namespace|user namespace/ },
  { kind: "time-namespace-of-children", called: /next children.* time namespace|user namespace/ },
];

async function expectRefusal(place: Place, job: Job, refusal: Refusal, stderr: string, status: number): Promise<void> {
  assert.equal(status, EXIT_UNSUPPORTED, `the exit status of a refusal: ${stderr}`);
  assert.match(stderr, refusal.called, "the message names the kind");
  const pids = place
    .processes()
    .filter((one) => one.comm === "program")
    .map((one) => String(one.pid));
  assert.ok(
    pids.some((pid) => new RegExp(`\\b${pid}\\b`).test(stderr)),
    `the message names a process of the job (${pids.join(", ")}): ${stderr}`,
  );
  const named = new RegExp(`\\b${HELD_DESCRIPTOR}\\b`);
  if (refusal.isDescriptor === true) assert.match(stderr, named, "the message names the descriptor");
  // The job of the "tracer" kind traces a child of its own, which must stay so.
  const disturbed = stoppedOrTraced(place.processes()).filter(
    (line) => refusal.kind !== "tracer" || !pids.some((pid) => line.endsWith(`traced by ${pid}`)),
  );
  assert.deepEqual(disturbed, [], "nobody is left stopped or traced");
  const checkpoints = join(place.store, "jobs", job.name, "checkpoints");
  assert.deepEqual(existsSync(checkpoints) ? readdirSync(checkpoints) : [], [], "no checkpoint is left, whole or half");
}

async function saysOk(job: Job, what: string): Promise<void> {
  touch(job.place.path("go"));
  const outcome = await job.end();
  assert.deepEqual([job.out, outcome.status], ["ready\nok\n", 0], `${what}: ${job.explain()}`);
  assert.equal(job.place.living().length, 0, `processes were left behind:\n${describeProcesses(job.place.living())}`);
}

async function refuse(t: TestContext, place: Place, argv: readonly string[], refusal: Refusal): Promise<void> {
  if (withoutEngine) {
    const started = place.start(argv[0] ?? "", argv.slice(1), { stdout: place.path("out") });
    let ended = false;
    void started.ended.then(() => (ended = true));
    await until("the fixture is ready", () => ended || place.read("out").includes("ready\n"));
    touch(place.path("go"));
    const outcome = await started.ended;
    if (outcome.status === SKIP_STATUS) return t.skip(outcome.stdout.trim());
    return assert.deepEqual([outcome.stdout, outcome.status], ["ready\nok\n", 0]);
  }
  const job = new Job(place, argv);
  await until("the fixture is ready", () => job.outcome !== undefined || job.out.includes("ready\n"));
  if (job.outcome?.status === SKIP_STATUS) return t.skip(job.out.trim());
  const outcome = await job.checkpoint();
  if (outcome.status === 0 && refusal.mayBeCarried === true) {
    await job.crash();
    job.restart();
    return saysOk(job, "restarted");
  }
  await expectRefusal(place, job, refusal, outcome.stderr, outcome.status);
  return saysOk(job, "going on after the refusal");
}

for (const refusal of refusals) {
  const what = refusal.mayBeCarried === true ? "is carried over, or refused" : "is refused";
  test(`${refusal.kind} ${what} by name before the job is disturbed`, async (t) => {
    const compiled = compileC("holds.c", "-lrt");
    if ("missing" in compiled) return t.skip(compiled.missing);
    await using place = new Place();
    await refuse(t, place, [compiled.path, place.path("go"), refusal.kind], refusal);
  });
}

test("a 32-bit program is refused by name before it is disturbed", async (t) => {
  const compiler = findTool("gcc");
  if (compiler === undefined || process.arch !== "x64") return t.skip("no compiler for 32-bit programs on this machine");
  await using place = new Place();
  const flags = ["-m32", "-O1", "-nostdlib", "-static", "-fno-pic", "-no-pie", "-fno-stack-protector"];
  const path = compile("bare32.c", [compiler, ...flags, "-o", "OUT/program", "bare32.c"]);
  await refuse(t, place, [path, place.path("go")], { kind: "32-bit", called: /32-bit/ });
});

test("a second checkpoint succeeds once what could not be saved is gone", async (t) => {
  if (withoutEngine) return t.skip("needs the engine");
  const compiled = compileC("holds-a-while.c");
  if ("missing" in compiled) return t.skip(compiled.missing);
  await using place = new Place();
  const job = new Job(place, [compiled.path, place.path("go"), place.path("let-go")]);
  await job.says("ready\n");
  const refused = await job.checkpoint();
  assert.equal(refused.status, EXIT_UNSUPPORTED, refused.stderr);
  touch(place.path("let-go"));
  await job.says("gone\n");
  const taken = await job.checkpoint();
  assert.equal(taken.status, 0, taken.stderr);
  await job.crash();
  touch(place.path("go"));
  job.restart();
  const outcome = await job.end();
  assert.deepEqual([job.out, outcome.status], ["ready\ngone\nok\n", 0], job.explain());
});

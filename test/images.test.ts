/**
 * Damaged and foreign images, through the command line: each is refused with a message that says what it is, by `verify`
 * and by `restart`, before anything is touched. A restart that cannot be completed leaves nothing behind.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  rmdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { crc32 } from "node:zlib";
import { compileC, describeProcesses, Job, Place, randomForTest, touch, until, withoutEngine, works } from "./harness/mod.ts";

const EXIT_DAMAGED = 65;
const EXIT_NOT_FOUND = 66;
const EXIT_CHANGED = 67;
const EXIT_INCOMPATIBLE = 72;
const EXIT_IO = 74;
const PAGE = 4096;

/** A job that was saved and ended, with a log that went on after the checkpoint. */
interface Saved {
  readonly job: Job;
  readonly image: string;
  readonly pristine: string;
}

async function save(t: TestContext, place: Place): Promise<Saved | undefined> {
  const compiled = compileC("logger.c");
  const missing = withoutEngine ? "needs the engine" : "missing" in compiled ? compiled.missing : undefined;
  if (missing !== undefined || "missing" in compiled) {
    t.skip(missing);
    return undefined;
  }
  const job = new Job(place, [compiled.path, place.path("go")]);
  await job.says("line 5\n");
  const outcome = await job.checkpoint();
  assert.equal(outcome.status, 0, outcome.stderr);
  const seen = job.out;
  await job.says(`line ${seen.split("\n").length + 5}\n`);
  await job.crash();
  const image = join(place.store, "jobs/job/checkpoints/1/image");
  const pristine = join(place.root, "pristine");
  copyFileSync(image, pristine);
  return { job, image, pristine };
}

/** What a refused restart may have changed: the files of the work folder, by content, and the processes. */
function traces(place: Place): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(place.work)) found[name] = readFileSync(place.path(name), "latin1");
  const aside = join(place.store, "jobs/job/aside");
  found["(aside)"] = existsSync(aside) ? readdirSync(aside).join(" ") : "";
  found["(processes)"] = describeProcesses(place.living());
  return found;
}

async function isRefused({ job }: Saved, status: number, message: RegExp, what: string): Promise<void> {
  const before = traces(job.place);
  for (const command of ["verify", "restart"]) {
    const outcome = await job.place.cairn([command, "job@1"]);
    // For verify every image that cannot be used is one that fails its checks.
    const accepted = command === "verify" ? [status, EXIT_DAMAGED] : [status];
    assert.ok(
      accepted.includes(outcome.status),
      `${command} of an image ${what} ends with ${outcome.status}: ${outcome.stderr}${outcome.stdout}`,
    );
    assert.match(outcome.stderr + outcome.stdout, message, `${command} of an image ${what}`);
    assert.deepEqual(traces(job.place), before, `${command} of an image ${what} leaves no trace`);
  }
}

async function restarts({ job }: Saved, what: string): Promise<void> {
  touch(job.place.path("go"));
  job.restart();
  const outcome = await job.end();
  assert.equal(outcome.status, 0, `${what}: ${job.explain()}`);
  assert.match(job.out, /\nok\n$/, what);
  const numbers = [...job.out.matchAll(/^line (\d+)$/gm)].map((match) => Number(match[1]));
  assert.deepEqual(
    numbers,
    Array.from(numbers, (_, index) => index),
    `${what}: every line is in the log exactly once`,
  );
}

test("an image that was cut short is refused as incomplete", async (t) => {
  await using place = new Place();
  const saved = await save(t, place);
  if (saved === undefined) return;
  const size = statSync(saved.pristine).size;
  for (const length of [0, 1, PAGE - 1, PAGE, Math.floor(size / 2), size - PAGE, size - 1]) {
    copyFileSync(saved.pristine, saved.image);
    truncateSync(saved.image, length);
    await isRefused(saved, EXIT_DAMAGED, /instead of|incomplete|truncated|never finished|empty/i, `cut to ${length} of ${size} bytes`);
  }
  copyFileSync(saved.pristine, saved.image);
  await restarts(saved, "the whole image");
});

test("an image with one flipped bit is refused as damaged, wherever the bit is", async (t) => {
  await using place = new Place();
  const saved = await save(t, place);
  if (saved === undefined) return;
  const random = randomForTest("flipped bits", (message) => t.diagnostic(message));
  const bytes = readFileSync(saved.pristine);
  for (let i = 0; i < 12; i++) {
    // A third in the header, a third anywhere, a third near the end, where the metadata lie.
    const at = i % 3 === 0 ? random.whole(PAGE) : i % 3 === 1 ? random.whole(bytes.length) : bytes.length - 1 - random.whole(2 * PAGE);
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << random.whole(8));
    writeFileSync(saved.image, damaged, { mode: 0o600 });
    const before = traces(place);
    const verified = await place.cairn(["verify", "job@1"]);
    assert.ok(
      [EXIT_DAMAGED, EXIT_INCOMPATIBLE].includes(verified.status),
      `byte ${at}: verify ends with ${verified.status}: ${verified.stderr}`,
    );
    const restarted = await place.cairn(["restart", "job@1"]);
    assert.ok(
      [EXIT_DAMAGED, EXIT_INCOMPATIBLE].includes(restarted.status),
      `byte ${at}: restart ends with ${restarted.status}: ${restarted.stderr}`,
    );
    assert.deepEqual(traces(place), before, `byte ${at}: no trace`);
  }
  copyFileSync(saved.pristine, saved.image);
  await restarts(saved, "the undamaged image");
});

/** Changes a word of the header and makes its checksum right again: not damage, but another image. */
function rewriteHeader(saved: Saved, offset: number, value: number): void {
  const bytes = readFileSync(saved.pristine);
  bytes.writeUInt32LE(value, offset);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, PAGE - 4)), PAGE - 4);
  writeFileSync(saved.image, bytes, { mode: 0o600 });
}

test("an image of a newer format or of another architecture is refused as such", async (t) => {
  await using place = new Place();
  const saved = await save(t, place);
  if (saved === undefined) return;
  rewriteHeader(saved, 8, 2);
  await isRefused(saved, EXIT_INCOMPATIBLE, /format.*2|newer/i, "of format 2");
  rewriteHeader(saved, 12, 183);
  await isRefused(saved, EXIT_INCOMPATIBLE, /aarch64|arm64|183|architecture/i, "of an arm64 machine");
  writeFileSync(saved.image, "this is no image at all\n".repeat(1000));
  await isRefused(saved, EXIT_DAMAGED, /not an image|no image|not a Cairn image|damaged/i, "that is none");
  copyFileSync(saved.pristine, saved.image);
  await restarts(saved, "the image as it was");
});

test("a damaged checkpoint is listed as such and the one before restarts", async (t) => {
  await using place = new Place();
  const saved = await save(t, place);
  if (saved === undefined) return;
  const { job } = saved;
  await job.restartDetached();
  assert.equal((await job.checkpoint()).status, 0);
  await job.crash();
  truncateSync(join(place.store, "jobs/job/checkpoints/2/image"), 10_000);
  const outcome = await place.cairn(["restart", "job"]);
  assert.equal(outcome.status, EXIT_DAMAGED, outcome.stderr);
  assert.match(outcome.stderr, /job@1/, "the message says which one to try");
  const listed = await place.cairn(["ls", "job"]);
  assert.match(listed.stdout, /no:/, listed.stdout);
  touch(place.path("go"));
  job.restart("job@1");
  assert.equal((await job.end()).status, 0, job.explain());
});

test("a checkpoint number or a job that is not there is told of, with what is", async (t) => {
  await using place = new Place();
  const saved = await save(t, place);
  if (saved === undefined) return;
  const wrongNumber = await place.cairn(["restart", "job@7"]);
  assert.equal(wrongNumber.status, EXIT_NOT_FOUND, wrongNumber.stderr);
  assert.match(wrongNumber.stderr, /7/);
  const wrongName = await place.cairn(["restart", "jbo"]);
  assert.equal(wrongName.status, EXIT_NOT_FOUND, wrongName.stderr);
  assert.match(wrongName.stderr, /"job"|\bjob\b/, "the near name is suggested");
});

async function isRefusedForFiles(saved: Saved, message: RegExp, what: string): Promise<void> {
  const before = traces(saved.job.place);
  const outcome = await saved.job.place.cairn(["restart", "job@1"]);
  assert.equal(outcome.status, EXIT_CHANGED, `${what}: ${outcome.stderr}`);
  assert.match(outcome.stderr, message, what);
  assert.deepEqual(traces(saved.job.place), before, `${what}: no trace`);
}

test("a restart without a file that the job needs names it and touches nothing; one that changed is named as well", async (t) => {
  await using place = new Place();
  const saved = await save(t, place);
  if (saved === undefined) return;
  renameSync(place.path("input"), place.path("elsewhere"));
  await isRefusedForFiles(saved, /work\/input/, "a missing input");
  writeFileSync(place.path("input"), "short");
  saved.job.restart();
  await until("the restart says what differs", () => /work\/input.*changed/.test(readFileSync(saved.job.supervisor.stderrPath, "utf8")));
  await saved.job.crash();
  rmSync(place.path("input"));
  renameSync(place.path("elsewhere"), place.path("input"));
  await restarts(saved, "with its input back");
});

test("a restart takes output back to the checkpoint and keeps aside what it cuts off", async (t) => {
  await using place = new Place();
  const saved = await save(t, place);
  if (saved === undefined) return;
  const { job } = saved;
  const before = job.out;
  const failed = await place.cairn(["restart", "--files", "fail", "job@1"]);
  assert.equal(failed.status, EXIT_CHANGED, failed.stderr);
  assert.match(failed.stderr, /work\/(out|log)/, "the message names the file");
  assert.equal(job.out, before, "nothing was touched");
  await restarts(saved, "with its output taken back");
  const aside = join(place.store, "jobs/job/aside");
  const kept = readdirSync(aside).filter((name) => name.startsWith("out"));
  assert.equal(kept.length, 1, "what was cut off is kept");
  const cutOff = readFileSync(join(aside, kept[0] ?? ""), "utf8");
  assert.ok(cutOff.length > 0 && before.endsWith(cutOff), `what was kept is what was cut off: ${cutOff}`);
});

test("a restart that has no room for what it would cut off changes no file and leaves nothing behind", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("needs root");
  await using place = new Place();
  mkdirSync(place.store, { mode: 0o700 });
  if (!works("mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "none", place.store)) return t.skip("cannot mount a tmpfs here");
  try {
    const saved = await save(t, place);
    if (saved === undefined) return;
    appendFileSync(place.path("log"), Buffer.alloc(24 << 20, "x"));
    const before = traces(place);
    const failed = await place.cairn(["restart", "job@1"]);
    assert.equal(failed.status, EXIT_IO, failed.stderr);
    assert.match(failed.stderr, /work\/log.*no space is left.*\n.*--files keep/, "the message names the file and a way out");
    assert.deepEqual(traces(place), before, "nothing was touched");
    truncateSync(place.path("log"), statSync(place.path("log")).size - (24 << 20));
    await restarts(saved, "with room again");
  } finally {
    await place.killEverything();
    execFileSync("umount", ["-l", place.store]);
  }
});

test("a restart that fails when it has taken output back already puts it back", async (t) => {
  await using place = new Place();
  const saved = await save(t, place);
  if (saved === undefined) return;
  // What the job stands complete for is written down last of all: not where a folder is in the way.
  const record = join(place.store, "jobs/job/run.json");
  renameSync(record, join(place.root, "run.json"));
  mkdirSync(record);
  const before = traces(place);
  const failed = await place.cairn(["restart", "job@1"]);
  assert.equal(failed.status, EXIT_IO, failed.stderr);
  assert.deepEqual(traces(place), before, "all is as it was");
  rmdirSync(record);
  renameSync(join(place.root, "run.json"), record);
  await restarts(saved, "without the folder");
});

test("a restart with --files keep leaves output where it is", async (t) => {
  await using place = new Place();
  const saved = await save(t, place);
  if (saved === undefined) return;
  const { job } = saved;
  const before = job.out;
  touch(place.path("go"));
  job.restart("job@1", ["--files", "keep"]);
  assert.equal((await job.end()).status, 0, job.explain());
  assert.ok(job.out.length >= before.length, "nothing was cut off");
});

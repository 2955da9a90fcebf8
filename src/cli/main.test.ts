import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { runChild } from "../base/testing/child.ts";
import { temporaryDirectory } from "../base/testing/temporary-directory.ts";
import { openStore } from "../store/mod.ts";
import { addCheckpoint, sampleJob } from "../supervisor/testing/sample-store.ts";
import { runCairn } from "./testing/run-cairn.ts";

const place = temporaryDirectory();
const store = join(place.path, "store");
const commandNames = ["run", "checkpoint", "check", "restart", "ls", "show", "verify", "rm", "doctor"];

before(async () => {
  await addCheckpoint(sampleJob(store).job);
});
after(() => place[Symbol.dispose]());

test("help names every command", async () => {
  const { output, status } = await runCairn(store, "--help");
  assert.equal(status, 0);
  for (const name of commandNames) assert.match(output, new RegExp(`^  ${name} `, "m"));
});

for (const name of commandNames) {
  test(`cairn ${name} --help has an example, and cairn help ${name} is the same`, async () => {
    const { output, status } = await runCairn(store, name, "--help");
    assert.equal(status, 0);
    assert.match(output, new RegExp(`Examples?:\\n  cairn ${name}`));
    assert.equal((await runCairn(store, "help", name)).output, output);
  });
}

test("help lists the exit codes", async () => {
  const { output } = await runCairn(store, "help", "exit-codes");
  for (const code of ["64", "66", "69", "75", "126", "127", "130"]) assert.match(output, new RegExp(`^ +${code} `, "m"));
});

test("a mistyped command suggests the near one", async () => {
  const { errors, status } = await runCairn(store, "chekpoint");
  assert.equal(status, 64);
  assert.match(errors, /Did you mean checkpoint\?/);
});

test("a mistyped option suggests the near one", async () => {
  const { errors, status } = await runCairn(store, "ls", "--jsn");
  assert.equal(status, 64);
  assert.match(errors, /Did you mean --json\?/);
});

for (const [name, example] of [
  ["run", "cairn run -- python3"],
  ["restart", "cairn restart JOB"],
] as const) {
  test(`cairn ${name} without an argument says how it is used`, async () => {
    const { errors, status } = await runCairn(store, name);
    assert.equal(status, 64);
    assert.match(errors, new RegExp(`^cairn: Missing required argument .*\\n +Try ${example}.*cairn ${name} --help\\n$`));
  });
}

test("cairn restart --help says where standard streams go", async () => {
  assert.match((await runCairn(store, "restart", "--help")).output, /Standard input, output and error/);
});

test("a mistyped job suggests the near one", async () => {
  const { errors, status } = await runCairn(store, "show", "lo");
  assert.equal(status, 66);
  assert.match(errors, /There is no job "lo".*\n.*Did you mean "lu"\?/);
});

test("a checkpoint that is not there is told with those that are", async () => {
  const { errors, status } = await runCairn(store, "show", "lu@9");
  assert.equal(status, 66);
  assert.match(errors, /has no checkpoint 9\n.*It has 1/);
});

test("--store may stand before and after the command", async () => {
  const elsewhere = join(place.path, "elsewhere");
  for (const argv of [
    ["--store", store, "ls"],
    ["ls", "--store", store],
  ]) {
    assert.match((await runCairn(elsewhere, ...argv)).output, /^lu /m);
  }
  assert.equal(existsSync(elsewhere), false);
});

test("the first list of all says how to begin", async () => {
  const { output, status } = await runCairn(join(place.path, "empty"), "ls");
  assert.equal(status, 0);
  assert.match(output, /There are no jobs in .*cairn run/);
});

test("a reader who goes away ends the output quietly", async () => {
  const start = fileURLToPath(new URL("start.mjs", import.meta.url));
  // The reader has ended before the first byte is written.
  const toNobody = ["bash", "-c", 'exec 3> >(:); wait $!; exec "$@" >&3', "bash"];
  const { status, errors } = await runChild(start, ["show", "lu", "--store", store], {}, toNobody);
  assert.equal(errors, "");
  assert.equal(status, 0);
});

test("a job whose command could trick the terminal is printed harmlessly", async () => {
  const tricky = join(place.path, "tricky");
  openStore({ directory: tricky }).createJob({ name: "evil", argv: ["echo", "\u001b[31mred\n"], cwd: "/" });
  const { output } = await runCairn(tricky, "ls");
  assert.ok(!output.includes("\u001b"));
  assert.match(output, /echo \\x1b\[31mred\\n/);
});

/** bin/cairn in a clone of its own, whose Cairn only tells how it was started. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("..", import.meta.url));

const probe = `
  import { readFileSync, writeSync } from "node:fs";
  const { CAIRN_ENVIRONMENT, CAIRN_SIGNALS_IGNORED, CAIRN_OPEN_FILES, NODE_OPTIONS } = process.env;
  const copy = CAIRN_ENVIRONMENT === undefined ? null : Buffer.from(CAIRN_ENVIRONMENT, "base64").toString("latin1").split("\\0").slice(0, -1);
  const input = process.argv.includes("read") ? readFileSync(0, "utf8") : "";
  writeSync(1, JSON.stringify({ argv: process.argv.slice(2), copy, CAIRN_SIGNALS_IGNORED, CAIRN_OPEN_FILES, NODE_OPTIONS, input }));`;

interface Seen {
  readonly argv: readonly string[];
  readonly copy: readonly string[] | null;
  readonly CAIRN_SIGNALS_IGNORED?: string;
  readonly CAIRN_OPEN_FILES?: string;
  readonly NODE_OPTIONS?: string;
  readonly input: string;
}

/** Its path has a space in it, as people's folders do. */
function makeClone(t: TestContext, options: { installed: boolean }): string {
  const clone = join(mkdtempSync(join(tmpdir(), "cairn-launcher-")), "a clone");
  t.after(() => rmSync(join(clone, ".."), { recursive: true, force: true }));
  for (const folder of ["bin", "scripts", "src/cli"]) mkdirSync(join(clone, folder), { recursive: true });
  for (const file of ["bin/cairn", "scripts/install.sh", "package-lock.json"]) copyFileSync(join(repository, file), join(clone, file));
  chmodSync(join(clone, "bin/cairn"), 0o755);
  writeFileSync(join(clone, "src/cli/start.mjs"), probe);
  if (options.installed) symlinkSync(join(repository, "node_modules"), join(clone, "node_modules"));
  return clone;
}

function start(command: string, argv: readonly string[], environment: Record<string, string> = {}, input = ""): Seen {
  const { stdout, stderr, status } = spawnSync(command, argv, { env: { PATH: "/usr/bin:/bin", ...environment }, input, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  assert.equal(stderr, "");
  return JSON.parse(stdout) as Seen;
}

function fakeNpm(clone: string, script: string): string {
  const bin = join(clone, "fake-bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "npm"), `#!/bin/sh\n${script}`);
  chmodSync(join(bin, "npm"), 0o755);
  return `${bin}:/usr/bin:/bin`;
}

test("arguments and standard input arrive as they were given", (t) => {
  const cairn = join(makeClone(t, { installed: true }), "bin/cairn");
  const seen = start(cairn, ["run", "read", "a  b", "", "$HOME *", "-e"], {}, "input\n");
  assert.deepEqual(seen.argv, ["run", "read", "a  b", "", "$HOME *", "-e"]);
  assert.equal(seen.input, "input\n");
});

test("the clone is found through links to links, and when sh is told to stop at the first failure", (t) => {
  const clone = makeClone(t, { installed: true });
  symlinkSync(join(clone, "bin/cairn"), join(clone, "link"));
  symlinkSync("link", join(clone, "link to link"));
  assert.deepEqual(start(join(clone, "link to link"), ["ls"]).argv, ["ls"]);
  assert.deepEqual(start("sh", ["-eu", join(clone, "link"), "run", "x"]).argv, ["run", "x"]);
  assert.deepEqual(start("sh", ["-c", `cd '${clone}/bin' && sh cairn ls`]).argv, ["ls"]);
});

test("a job's environment is kept as it was, with names that no shell keeps and options that are meant for Node", (t) => {
  const cairn = join(makeClone(t, { installed: true }), "bin/cairn");
  const environment = { NODE_OPTIONS: "--no-such-option", "a.b": "1", "BASH_FUNC_f%%": "() { :; }", EMPTY: "", TEXT: "a\nb" };
  const seen = start(cairn, ["--store", "/s", "run", "x"], environment);
  assert.deepEqual(
    seen.copy?.toSorted(),
    ["PATH=/usr/bin:/bin", ...Object.entries(environment).map(([name, value]) => `${name}=${value}`)].toSorted(),
  );
  assert.equal(seen.NODE_OPTIONS, undefined);
});

test("Node's options do not reach Cairn in the other commands either, and an environment too large to copy is passed on as it is", (t) => {
  const cairn = join(makeClone(t, { installed: true }), "bin/cairn");
  assert.equal(start(cairn, ["ls"], { NODE_OPTIONS: "--no-such-option" }).NODE_OPTIONS, undefined);
  const large = start(cairn, ["run", "x"], { NODE_OPTIONS: "--no-deprecation", LARGE: "x".repeat(120_000) });
  assert.equal(large.copy, null);
  assert.equal(large.NODE_OPTIONS, "--no-deprecation");
});

test("ignored signals and the limit of open files are noted before Node changes them", (t) => {
  const cairn = join(makeClone(t, { installed: true }), "bin/cairn");
  for (const shell of ["sh", "bash"]) {
    const seen = start("sh", ["-c", `trap '' HUP INT; ulimit -Sn 300; exec ${shell} '${cairn}' run x`]);
    assert.equal(BigInt(`0x${seen.CAIRN_SIGNALS_IGNORED ?? ""}`), 3n, shell);
    assert.equal(seen.CAIRN_OPEN_FILES, "300", shell);
  }
});

test("what the launcher notes is not taken from the environment", (t) => {
  const cairn = join(makeClone(t, { installed: true }), "bin/cairn");
  const seen = start(cairn, ["ls"], { CAIRN_ENVIRONMENT: "QT0x", CAIRN_SIGNALS_IGNORED: "ffff" });
  assert.equal(seen.copy, null);
  assert.equal(BigInt(`0x${seen.CAIRN_SIGNALS_IGNORED ?? ""}`), 0n);
});

test("a fresh clone installs its packages once, says so in one line, and leaves standard input alone", async (t) => {
  const clone = makeClone(t, { installed: false });
  const install = `cat; echo "$@" >>calls; sleep 0.3; mkdir -p node_modules
    ln -s '${repository}node_modules'/node-linux-* node_modules/; touch node_modules/.package-lock.json; echo noise`;
  const PATH = fakeNpm(clone, install);
  const both = `'${clone}/bin/cairn' ls & '${clone}/bin/cairn' read; wait`;
  const { stdout, stderr, status } = spawnSync("sh", ["-c", both], { env: { PATH }, input: "input", encoding: "utf8" });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /"input":"input"/);
  assert.equal(stdout.match(/"argv"/g)?.length, 2);
  assert.deepEqual(
    new Set(stderr.trimEnd().split("\n")),
    new Set(["cairn: Installing what Cairn needs into node_modules (by npm, once, up to a minute)"]),
  );
  assert.equal(readFileSync(join(clone, "calls"), "utf8"), "ci --omit=dev\n");
});

test("an installation that fails is explained with what npm said", (t) => {
  const clone = makeClone(t, { installed: false });
  const PATH = fakeNpm(clone, "echo the disk is full >&2; exit 1");
  const failed = spawnSync(join(clone, "bin/cairn"), ["ls"], { env: { PATH }, encoding: "utf8" });
  assert.equal(failed.status, 69);
  assert.match(failed.stderr, /^ {2}the disk is full$/m);
  assert.match(failed.stderr, /Cannot set up this clone of Cairn: npm failed/);
});

test("without npm and without a Node that is new enough, what to install is said", (t) => {
  const clone = makeClone(t, { installed: false });
  const bin = join(clone, "bare");
  mkdirSync(bin);
  for (const tool of ["sh", "uname"]) symlinkSync(`/bin/${tool}`, join(bin, tool));
  const withoutNpm = spawnSync(join(clone, "bin/cairn"), ["ls"], { env: { PATH: bin }, encoding: "utf8" });
  assert.equal(withoutNpm.status, 69);
  assert.match(withoutNpm.stderr, /npm is not installed. Install Node 20 or newer with npm/);

  mkdirSync(join(clone, "node_modules"));
  writeFileSync(join(clone, "node_modules/.package-lock.json"), "{}");
  const withoutNode = spawnSync(join(clone, "bin/cairn"), ["ls"], { env: { PATH: bin }, encoding: "utf8" });
  assert.equal(withoutNode.status, 69);
  assert.match(withoutNode.stderr, /Install Node 24 or newer/);

  // On a machine for which npm has no Node, the one on the PATH will do.
  symlinkSync(process.execPath, join(bin, "node"));
  assert.deepEqual(start(join(clone, "bin/cairn"), ["ls"], { PATH: bin }).argv, ["ls"]);
});

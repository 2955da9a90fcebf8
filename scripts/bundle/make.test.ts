import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { BUNDLE_FOLDER, bundleOf } from "../../src/cli/bundle.mjs";
import { makeBundle, renewBundle } from "./make.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));

/** The sources, with node_modules of its own that holds links to the packages. */
function makeClone(t: TestContext): string {
  const clone = mkdtempSync(join(tmpdir(), "cairn-bundle-"));
  t.after(() => rmSync(clone, { recursive: true, force: true }));
  cpSync(join(repository, "src"), join(clone, "src"), { recursive: true, preserveTimestamps: true });
  mkdirSync(join(clone, "node_modules"));
  for (const name of ["commander", "valibot", "koffi", "@koromix"]) {
    symlinkSync(join(repository, "node_modules", name), join(clone, "node_modules", name));
  }
  return clone;
}

function help(clone: string): string {
  const environment = { PATH: "/usr/bin:/bin", CAIRN_NO_COMPILE_CACHE: "1" };
  const { stdout, stderr } = spawnSync(process.execPath, [join(clone, "src/cli/start.mjs"), "--help"], {
    encoding: "utf8",
    env: environment,
  });
  assert.equal(stderr, "");
  return stdout;
}

test("Cairn starts from the bundle, and from its sources once one of them is changed", (t) => {
  const clone = makeClone(t);
  assert.equal(bundleOf(clone), null);
  const fromSources = help(clone);
  makeBundle(clone);
  const bundle = bundleOf(clone);
  assert.ok(bundle !== null && bundle.startsWith(join(clone, BUNDLE_FOLDER)));
  assert.equal(help(clone), fromSources);
  writeFileSync(bundle, 'exports.main = () => console.log("from the bundle");');
  assert.equal(help(clone), "from the bundle\n");

  const source = join(clone, "src/base/words.ts");
  const { mtimeMs } = statSync(source);
  utimesSync(source, 1, 1);
  assert.equal(bundleOf(clone), null, "an older file is a changed one too");
  assert.equal(help(clone), fromSources);
  utimesSync(source, mtimeMs / 1000, mtimeMs / 1000);
});

test("a bundle is made anew where it is out of date; the former stays for a Cairn that is just starting", (t) => {
  const clone = makeClone(t);
  makeBundle(clone);
  const first = bundleOf(clone);
  renewBundle(clone);
  assert.equal(bundleOf(clone), first);
  for (let i = 1; i <= 3; i++) {
    const main = join(clone, "src/cli/main.ts");
    writeFileSync(main, readFileSync(main, "utf8").replace(/VERSION = ".*"/, `VERSION = "${i}"`));
    renewBundle(clone);
    assert.notEqual(bundleOf(clone), null);
  }
  assert.equal(readdirSync(join(clone, BUNDLE_FOLDER)).filter((name) => name.endsWith(".cjs")).length, 2);
});

test("a damaged list, a missing bundle and a missing source all mean: from the sources", (t) => {
  const clone = makeClone(t);
  makeBundle(clone);
  const bundle = bundleOf(clone) ?? "";
  rmSync(bundle);
  assert.equal(bundleOf(clone), null);
  makeBundle(clone);
  rmSync(join(clone, "src/base/words.ts"));
  assert.equal(bundleOf(clone), null);
  for (const text of ["", "{", "null", '{"file":"x"}', '{"file":"cairn-0.cjs","sources":[[1]]}']) {
    writeFileSync(join(clone, BUNDLE_FOLDER, "bundle.json"), text);
    assert.equal(bundleOf(clone), null, text);
  }
});

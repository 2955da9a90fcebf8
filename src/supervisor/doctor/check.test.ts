import assert from "node:assert/strict";
import { test } from "node:test";
import { limited, mainJobWorks, no, ok, runCheck } from "./check.ts";
import { judgeArchitecture, judgeContainer, judgeKernel, judgeNode } from "./machine.ts";
import { judgeSetTid, restartPossible } from "./pids.ts";
import { judgeStore } from "./storage.ts";
import { judgePtrace, judgeScope } from "./tracing.ts";

const statusOf = (finding: { status: string }) => finding.status;

test("Yama's scopes are told apart, and privilege overrides all but the last", () => {
  assert.deepEqual(
    [null, 0, 1, 2, 3].map((scope) => statusOf(judgeScope(scope, false))),
    ["ok", "ok", "limited", "no", "no"],
  );
  assert.deepEqual(
    [0, 1, 2, 3].map((scope) => statusOf(judgeScope(scope, true))),
    ["ok", "ok", "ok", "no"],
  );
});

test("kernels are judged by what they can do", () => {
  const release = (text: string) => judgeKernel("linux", text).status;
  assert.deepEqual(["4.19.0-21-amd64", "5.10.0", "5.13.0", "6.1.0-18-amd64", "6.7.1", "6.18.44-x"].map(release), [
    "no",
    "no",
    "limited",
    "limited",
    "ok",
    "ok",
  ]);
  assert.equal(judgeKernel("darwin", "24.1.0").status, "no");
});

test("an old Node and another architecture are refused", () => {
  assert.deepEqual(
    ["v20.11.0", "v24.0.0", "v26.1.0"].map((version) => judgeNode(version).status),
    ["no", "ok", "ok"],
  );
  assert.deepEqual(
    ["x64", "arm64"].map((arch) => judgeArchitecture(arch).status),
    ["ok", "no"],
  );
});

test("set_tid is judged by how the kernel refuses a pid that is taken", () => {
  assert.equal(judgeSetTid(-17).status, "ok");
  assert.equal(judgeSetTid(-1).status, "limited");
  assert.equal(judgeSetTid(-38).status, "no");
});

test("a restart needs pids of the machine's, or a namespace for its own", () => {
  const namespaces = ok("made both");
  const refused = no("refused", "");
  assert.equal(restartPossible(namespaces, judgeSetTid(-1)), true);
  assert.equal(restartPossible(refused, judgeSetTid(-17)), true);
  assert.equal(restartPossible(refused, judgeSetTid(-1)), false);
  assert.equal(restartPossible(namespaces, judgeSetTid(-38)), false);
});

test("a store that others can read, or that is nearly full, is limited", () => {
  const roomy = 2 ** 31;
  assert.equal(judgeStore("/s", { mode: 0o40700, uid: 1 }, roomy, 1).status, "ok");
  assert.equal(judgeStore("/s", { mode: 0o40755, uid: 1 }, roomy, 1).status, "limited");
  assert.equal(judgeStore("/s", { mode: 0o40700, uid: 2 }, roomy, 1).status, "limited");
  assert.equal(judgeStore("/s", { mode: 0o40700, uid: 1 }, 1 << 20, 1).status, "limited");
});

test("a container without a filter is no obstacle", () => {
  assert.equal(judgeContainer(0, "Docker container").status, "ok");
  assert.equal(judgeContainer(2, null).status, "limited");
});

test("what went wrong with tracing is what doctor says", () => {
  const finding = judgePtrace(new Error("Cannot trace"));
  assert.equal(finding.status, "no");
  assert.match(finding.found, /Cannot trace/);
});

test("a probe that fails in an unforeseen way is a finding", () => {
  const definition = { name: "x", title: "X", why: "y", essential: true };
  const check = runCheck(definition, () => {
    throw new Error("boom");
  });
  assert.equal(check.status, "no");
  assert.match(check.found, /boom/);
});

test("the main job works when nothing essential is missing", () => {
  const definition = { name: "x", title: "X", why: "y" };
  assert.equal(
    mainJobWorks([
      runCheck({ ...definition, essential: false }, () => no("", "")),
      runCheck({ ...definition, essential: true }, () => limited("", "")),
    ]),
    true,
  );
  assert.equal(mainJobWorks([runCheck({ ...definition, essential: true }, () => no("", ""))]), false);
});

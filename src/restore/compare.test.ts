import assert from "node:assert/strict";
import { test } from "node:test";
import { sampleMetadata } from "../image/testing/sample.ts";
import { compareAll } from "./compare.ts";
import { clauseOf } from "./problems.ts";

const rules = { files: "rewind", pids: "namespace", tcp: "reset", held: null, takenUp: false } as const;

test("all that differs is found: files once each, a tree that can't be made, another machine", () => {
  const metadata = sampleMetadata();
  const [root, child] = metadata.processes;
  assert.ok(root !== undefined && child !== undefined);
  Object.assign(root, { processGroup: 0 });
  Object.assign(child, { processGroup: root.pid });
  metadata.host.kernelRelease = "0.1";
  const { problems, notes, useNamespace } = compareAll(metadata, rules);
  const clauses = problems.map(clauseOf);
  assert.ok(clauses.includes(`process ${root.pid}: it founded a process group and went back to the one it came from`), clauses.join("\n"));
  assert.ok(clauses.filter((clause) => clause.endsWith("is missing")).length > 1, clauses.join("\n"));
  const paths = problems.flatMap(({ data }) => (data["path"] === undefined ? [] : [data["path"]]));
  assert.equal(new Set(paths).size, paths.length, "no file is told twice");
  assert.ok(notes.some((note) => note.startsWith("The kernel is another: 0.1 at the checkpoint")));
  assert.equal(useNamespace, true);
});

test("another user's job is a problem for all but root", () => {
  const own = process.geteuid?.() ?? 0;
  const metadata = sampleMetadata();
  for (const { alive } of metadata.processes) if (alive !== null) alive.credentials.uids.effective = own + 1;
  const { problems } = compareAll(metadata, rules);
  assert.equal(
    problems.some(({ code, message }) => code === "permission" && message.includes("the job ran as user")),
    own !== 0,
  );
});

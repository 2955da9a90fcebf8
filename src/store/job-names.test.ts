import assert from "node:assert/strict";
import { test } from "node:test";
import { CairnError } from "../base/errors.ts";
import { parseCheckpointName } from "./job-names.ts";

test("NAME means the newest checkpoint, NAME@N the one with that number", () => {
  assert.deepEqual(parseCheckpointName("lu"), { job: "lu" });
  assert.deepEqual(parseCheckpointName("lu@7"), { job: "lu", number: 7 });
});

test("what follows an @ must be a number", () => {
  for (const text of ["lu@", "lu@0", "lu@-1", "lu@1.5", "lu@x", "lu@1@2", "lu@0007", "lu@9999999999", "@x"]) {
    assert.throws(
      () => parseCheckpointName(text),
      (error) => error instanceof CairnError && error.code === "usage" && error.hint?.endsWith("@3") === true,
    );
  }
});

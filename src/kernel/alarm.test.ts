import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { asTid } from "../base/ids.ts";
import { GONE, interrupt, seize, waitAtMost } from "./ptrace.ts";

test("a wait for a tracee that does not come ends, one for a tracee that comes tells of it", async (t) => {
  // Its end is taken here, so that Node never sees it.
  const child = spawn("sleep", ["1000"], { stdio: "ignore" });
  await once(child, "spawn");
  child.unref();
  const tid = asTid(child.pid ?? 0);
  try {
    if (seize(tid, 0) === GONE) return t.skip("the child has ended");
  } catch {
    child.kill("SIGKILL");
    return t.skip("this user may not trace");
  }
  assert.equal(waitAtMost(tid, 20).kind, "nothing");
  interrupt(tid);
  assert.equal(waitAtMost(tid, 600_000).kind, "stopped");
  child.kill("SIGKILL");
  assert.equal(waitAtMost(tid, 600_000).kind, "ended");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { SignalOrigins } from "./signal-origins.ts";

test("a signal that a process sent is counted as such and still reaches its handler", async () => {
  const handled = new Promise<void>((resolve) => {
    process.once("SIGPWR", () => resolve());
  });
  const origins = SignalOrigins.tryInstall(["SIGPWR"]);
  assert.ok(origins !== null);
  process.kill(process.pid, "SIGPWR");
  await handled;
  assert.deepEqual(origins.countsOf("SIGPWR"), { fromKernel: 0, fromProcesses: 1 });
});

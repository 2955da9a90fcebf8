import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLocks } from "./locks.ts";

test("a request that waits for a lock is told from the lock", () => {
  const locks = parseLocks(
    "1: FLOCK  ADVISORY  WRITE 77 fe:00:2146330 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 78 fe:00:2146330 0 EOF\n1:    -> FLOCK  ADVISORY  READ 79 fe:00:2146330 0 EOF\n",
  );
  assert.deepEqual(
    locks.map(({ number, waiting, pid, mode }) => ({ number, waiting, pid, mode })),
    [
      { number: 1, waiting: false, pid: 77, mode: "WRITE" },
      { number: 1, waiting: true, pid: 78, mode: "WRITE" },
      { number: 1, waiting: true, pid: 79, mode: "READ" },
    ],
  );
});

test("a machine without locks has none", () => {
  assert.deepEqual(parseLocks(""), []);
});

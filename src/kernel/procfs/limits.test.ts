import assert from "node:assert/strict";
import { test } from "node:test";
import { CairnError } from "../../base/errors.ts";
import { parseLimits } from "./limits.ts";

const HEAD = "Limit                     Soft Limit           Hard Limit           Units     \n";

test("limits are numbered as the kernel numbers them, whatever their order in the file", () => {
  const limits = parseLimits(
    `${HEAD}Max open files            20000                524288               files     \n` +
      "Max cpu time              unlimited            unlimited            seconds   \n" +
      "Max realtime timeout      18446744073709551614 unlimited            us        \n" +
      "Max nice priority         0                    0                    \n",
  );
  assert.deepEqual(limits, [
    { resource: 0, soft: "unlimited", hard: "unlimited" },
    { resource: 7, soft: 20000n, hard: 524288n },
    { resource: 13, soft: 0n, hard: 0n },
    { resource: 15, soft: 18446744073709551614n, hard: "unlimited" },
  ]);
});

test("a limit that is not known is refused, for a restart would lose it", () => {
  assert.throws(() => parseLimits(`${HEAD}Max wishes                3                    3                    wishes    \n`), CairnError);
});

test("an empty file is refused", () => {
  assert.throws(() => parseLimits(""), CairnError);
  assert.throws(() => parseLimits(HEAD), CairnError);
});

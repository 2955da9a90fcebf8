import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNumaMaps } from "./numa-maps.ts";

test("each line of numa_maps has an address and a policy", () => {
  const raw = [
    "00400000 default file=/usr/bin/a\\040b mapped=3 N0=3 kernelpagesize_kB=4",
    "0192e000 bind=static:0-1 heap anon=1 dirty=1 N0=1 kernelpagesize_kB=4",
    "7f0000000000 prefer (many):1 anon=1 N0=1",
    "7f0000100000 weighted interleave:0,2 anon=1 N0=1",
    "7f0000200000 local",
    "7f0000300000 default huge",
    "",
  ].join("\n");
  assert.deepEqual(
    parseNumaMaps(raw).map(({ start, policy }) => `${start.toString(16)} ${policy}`),
    [
      "400000 default",
      "192e000 bind=static:0-1",
      "7f0000000000 prefer (many):1",
      "7f0000100000 weighted interleave:0,2",
      "7f0000200000 local",
      "7f0000300000 default",
    ],
  );
});

test("what is no line of numa_maps is refused", () => {
  assert.throws(() => parseNumaMaps("no address\n"), /numa_maps/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { CairnError } from "../../base/errors.ts";
import { parseMountInfo } from "./mountinfo.ts";

test("a mount's line is taken apart, with none, one or several optional fields", () => {
  const mounts = parseMountInfo(
    "24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,mode=755\n" +
      "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue\n",
  );
  assert.deepEqual(mounts[1], {
    id: 36,
    parentId: 35,
    deviceMajor: 98,
    deviceMinor: 0,
    root: "/mnt1",
    mountPoint: "/mnt2",
    options: ["rw", "noatime"],
    propagation: ["master:1", "propagate_from:2"],
    fileSystem: "ext3",
    source: "/dev/root",
    superOptions: ["rw", "errors=continue"],
  });
  assert.deepEqual(mounts[0]?.propagation, []);
});

test("escapes are undone: a space, a backslash, and a dash that is no separator", () => {
  const [mount] = parseMountInfo("1 2 0:1 / /a\\040b\\134012\\012c - - tmpfs - rw\n");
  assert.equal(mount?.mountPoint, "/a b\\012\nc");
  assert.deepEqual(mount?.options, ["-"]);
  assert.equal(mount?.source, "-");
});

test("names that are no UTF-8 keep their bytes", () => {
  assert.deepEqual(parseMountInfo("1 2 0:1 / /\xff rw - tmpfs none rw\n")[0]?.mountPoint, { base64: "L/8=" });
});

test("a line that was cut short is refused", () => {
  assert.throws(() => parseMountInfo("1 2 0:1 / /x rw\n"), CairnError);
  assert.throws(() => parseMountInfo("1 2\n"), CairnError);
});

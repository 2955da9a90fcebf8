import assert from "node:assert/strict";
import { test } from "node:test";
import { cgroupFolders, reclaimableBytes } from "./memory-cgroup.ts";
import { parseMountInfo } from "./mountinfo.ts";

const VERSION_1 = parseMountInfo(
  "31 14 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n32 14 0:33 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
);
const VERSION_2 = parseMountInfo("31 14 0:32 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n");

test("the memory cgroup of version 1 is found among the others, with all above it", () => {
  const folders = cgroupFolders("8:pids:/other\n4:memory:/a/b\n0::/\n", VERSION_1);
  assert.deepEqual(
    folders.map(({ folder, isUnified }) => [folder, isUnified]),
    [
      ["/sys/fs/cgroup/memory/a/b", false],
      ["/sys/fs/cgroup/memory/a", false],
      ["/sys/fs/cgroup/memory", false],
    ],
  );
});

test("the cgroup of version 2 is found, with all above it", () => {
  const folders = cgroupFolders("0::/user.slice/a:b\n", VERSION_2);
  assert.deepEqual(
    folders.map(({ folder, isUnified }) => [folder, isUnified]),
    [
      ["/sys/fs/cgroup/user.slice/a:b", true],
      ["/sys/fs/cgroup/user.slice", true],
      ["/sys/fs/cgroup", true],
    ],
  );
});

test("a cgroup outside the part that is mounted is passed over, one inside is found", () => {
  const mounts = parseMountInfo("31 14 0:32 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  assert.deepEqual(cgroupFolders("4:memory:/docker/xy\n", mounts), []);
  assert.deepEqual(
    cgroupFolders("4:memory:/docker/x/y\n", mounts).map(({ folder }) => folder),
    ["/sys/fs/cgroup/memory/y", "/sys/fs/cgroup/memory"],
  );
  assert.deepEqual(cgroupFolders("0::/../other\n", VERSION_2), []);
});

test("the page cache counts as room, in version 1 with that of the cgroups below", () => {
  const stat = "anon 5\ninactive_file 10\nactive_file 20\ntotal_inactive_file 100\ntotal_active_file 200\nunevictable 7\n";
  assert.equal(reclaimableBytes(stat, true), 30n);
  assert.equal(reclaimableBytes(stat, false), 300n);
});

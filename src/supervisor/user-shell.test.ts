import assert from "node:assert/strict";
import { test } from "node:test";
import { inheritanceFrom, selectInherited } from "./user-shell.ts";

test("the job's environment is the user's own", () => {
  const { environment, ignoredSignals, openFilesSoftLimit } = inheritanceFrom({
    PATH: "/bin",
    CAIRN_SIGNALS_IGNORED: "1",
    CAIRN_OPEN_FILES: "1024",
    CAIRN_STORE: "/s",
    EMPTY: "",
  });
  assert.deepEqual(environment.map(String), ["PATH=/bin", "CAIRN_STORE=/s", "EMPTY="]);
  assert.equal(ignoredSignals, 1n);
  assert.equal(openFilesSoftLimit, 1024);
});

test("where bin/cairn has kept a copy of the environment, the job gets it byte for byte", () => {
  const bytes = Buffer.from([0x41, 0x3d, 0xff, 0x00, 0x42, 0x2e, 0x43, 0x3d, 0x00]);
  const { environment } = inheritanceFrom({ LANG: "C", CAIRN_ENVIRONMENT: bytes.toString("base64") });
  assert.deepEqual(environment, [bytes.subarray(0, 3), bytes.subarray(4, 8)]);
});

test("without the notes of bin/cairn nothing is assumed", () => {
  const { ignoredSignals, openFilesSoftLimit } = inheritanceFrom({ CAIRN_SIGNALS_IGNORED: "nonsense", CAIRN_OPEN_FILES: "unlimited" });
  assert.equal(ignoredSignals, 0n);
  assert.equal(openFilesSoftLimit, undefined);
});

test("descriptors of the shell are told from those of Node", () => {
  const targets = new Map([
    [0, "/dev/pts/1"],
    [1, "pipe:[7]"],
    [2, "pipe:[7]"],
    [3, "/home/user/input"],
    [4, "anon_inode:[eventpoll]"],
    [6, "pipe:[9]"],
    [7, "pipe:[9]"],
    [63, "pipe:[11]"],
    [10, "socket:[3]"],
  ]);
  assert.deepEqual(selectInherited(targets), [0, 1, 2, 3, 63]);
});

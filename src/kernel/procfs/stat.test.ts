import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { CairnError } from "../../base/errors.ts";
import { parseStat } from "./stat.ts";

const FIELDS =
  "R 4317 4317 2179 34817 4317 4194560 3209 6658 12 0 4 0 2 1 20 -5 3 0 119413 19152896 3737 18446744073709551615 " +
  "94813045936128 94813045936469 140729801249296 0 0 0 0 16781312 2 0 0 0 17 1 7 2 0 0 0 94813045947824 94813045948440 " +
  "94813589684224 140729801255161 140729801255212 140729801255212 140729801256911 256\n";

test("a process's line is taken apart field by field", () => {
  const stat = parseStat(`4320 (python3) ${FIELDS}`);
  assert.deepEqual(stat, {
    pid: 4320,
    comm: "python3",
    state: "R",
    parentPid: 4317,
    processGroup: 4317,
    session: 2179,
    ttyDevice: { major: 136, minor: 1 },
    ttyForegroundGroup: 4317,
    flags: 4194560,
    priority: 20,
    nice: -5,
    threads: 3,
    startTimeTicks: 119413n,
    virtualBytes: 19152896n,
    residentPages: 3737n,
    residentLimitBytes: 18446744073709551615n,
    startCode: 94813045936128n,
    endCode: 94813045936469n,
    startStack: 140729801249296n,
    exitSignal: 17,
    processor: 1,
    realtimePriority: 7,
    policy: 2,
    startData: 94813045947824n,
    endData: 94813045948440n,
    startBrk: 94813589684224n,
    argStart: 140729801255161n,
    argEnd: 140729801255212n,
    envStart: 140729801255212n,
    envEnd: 140729801256911n,
    exitCode: 256,
  });
});

test("a comm may hold whatever it likes: spaces, parentheses, newlines, what looks like fields, no byte at all", () => {
  for (const comm of ["", " ", "a) (b\nc", ")", "(", "x) R 1 1 1 0 -1", "Z (", "\n"]) {
    const stat = parseStat(`4320 (${comm}) ${FIELDS}`);
    assert.equal(stat.comm, comm);
    assert.equal(stat.pid, 4320);
    assert.equal(stat.parentPid, 4317);
  }
});

test("a comm that is no UTF-8 keeps its bytes", () => {
  const stat = parseStat(`1 (\xff\xfe) ${FIELDS}`);
  assert.deepEqual(stat.comm, { base64: Buffer.of(0xff, 0xfe).toString("base64") });
  assert.equal(parseStat(`1 (${Buffer.from("größe").toString("latin1")}) ${FIELDS}`).comm, "größe");
});

test("without a terminal there is no device", () => {
  assert.equal(parseStat(`1 (x) ${FIELDS.replace(" 34817 ", " 0 ")}`).ttyDevice, null);
});

test("a terminal's minor number may have more than eight bits", () => {
  // /dev/pts/300: new_encode_dev(MKDEV(136, 300)).
  assert.deepEqual(parseStat(`1 (x) ${FIELDS.replace(" 34817 ", ` ${(136 << 8) | (300 & 0xff) | ((300 & ~0xff) << 12)} `)}`).ttyDevice, {
    major: 136,
    minor: 300,
  });
});

test("a line that was cut short, or is none, is refused", () => {
  for (const raw of ["", "4320", "4320 (x", "4320 (x)", "4320 (x) R 1 2 3", "x (x) R", `abc (x) ${FIELDS}`]) {
    assert.throws(() => parseStat(raw), CairnError, JSON.stringify(raw));
  }
});

test("any text at all is understood or refused, never anything else", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("(", ")", " ", "1", "-", "R", "\n", "x", "9999999999999999999999") }), (raw) => {
      try {
        parseStat(raw);
      } catch (error) {
        assert.ok(error instanceof CairnError);
      }
    }),
  );
});

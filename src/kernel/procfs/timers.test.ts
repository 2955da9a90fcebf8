import assert from "node:assert/strict";
import { test } from "node:test";
import { CairnError } from "../../base/errors.ts";
import { parseTimers } from "./timers.ts";

const timer = (id: number, notify: string, clock = 1): string =>
  `ID: ${id}\nsignal: 10/00000000deadbeef\nnotify: ${notify}\nClockID: ${clock}\n`;

test("timers come in the order of their ids, with whom they notify and how", () => {
  const timers = parseTimers(
    timer(2, "signal/tid.4320") + timer(1, "none/pid.4320", -6) + timer(0, "signal/pid.4319") + timer(7, "thread/pid.4319"),
  );
  assert.deepEqual(timers, [
    { id: 0, signal: 10, value: 0xdeadbeefn, notify: "signal", target: 4319, clock: 1 },
    { id: 1, signal: 10, value: 0xdeadbeefn, notify: "none", target: 4320, clock: -6 },
    { id: 2, signal: 10, value: 0xdeadbeefn, notify: "thread-id", target: 4320, clock: 1 },
    { id: 7, signal: 10, value: 0xdeadbeefn, notify: "thread", target: 4319, clock: 1 },
  ]);
});

test("a value fills a word", () => {
  assert.equal(parseTimers(timer(0, "signal/pid.1").replace("00000000deadbeef", "ffffffffffffffff"))[0]?.value, 0xffffffffffffffffn);
});

test("a process without timers has none", () => {
  assert.deepEqual(parseTimers(""), []);
});

test("a text that was cut short or says something new is refused", () => {
  for (const raw of [
    timer(0, "signal/pid.1").slice(0, 30),
    timer(0, "smoke/pid.1"),
    timer(0, "signal"),
    timer(0, "signal/pid.1").replace("ID", "Id"),
  ]) {
    assert.throws(() => parseTimers(raw), CairnError, raw);
  }
});

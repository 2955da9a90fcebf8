import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDuration, parseDuration } from "./duration.ts";
import { CairnError } from "./errors.ts";

test("durations are read with and without a unit", () => {
  const read = {
    "6": 6000,
    "6s": 6000,
    "90s": 90_000,
    "90 sec": 90_000,
    "10min": 600_000,
    "10m": 600_000,
    "2h": 7_200_000,
    "1d": 86_400_000,
    "1h30m": 5_400_000,
    "1h 30min": 5_400_000,
    "1d2h3m4s5ms": 93_784_005,
    "1.5h 30 s": 5_430_000,
  };
  for (const [text, durationMs] of Object.entries({ ...read, "500ms": 500, "1.5min": 90_000, " 0.25 h ": 900_000, "0.001": 1 })) {
    assert.equal(parseDuration(text), durationMs, text);
  }
});

test("what is no duration is refused with an example of one", () => {
  for (const text of [
    "",
    "s",
    "-1",
    "+1",
    "1e3",
    "1,5s",
    "5x",
    "5S",
    "1h30",
    "0x10",
    "٣",
    "toString",
    "5 constructor",
    "NaN",
    "1 s s",
    "30m1h",
    "1m 1min",
    "1h30mx",
  ]) {
    assert.throws(
      () => parseDuration(text),
      (error) => error instanceof CairnError && error.code === "usage" && /10min/.test(error.hint ?? ""),
      text,
    );
  }
});

test("a duration of nothing, or of years, is refused", () => {
  for (const text of ["0", "0ms", "0.0001", "367d", "999999999999d"]) {
    assert.throws(
      () => parseDuration(text),
      (error) => error instanceof CairnError && error.code === "usage",
      text,
    );
  }
});

test("durations are shown rounded to what people need", () => {
  const shown: readonly (readonly [number, string])[] = [
    [0, "0 ms"],
    [340.4, "340 ms"],
    [999.6, "1 s"],
    [1240, "1.2 s"],
    [45_000, "45 s"],
    [59_600, "1 min"],
    [90_000, "1.5 min"],
    [3_600_000, "1 h"],
    [49 * 3_600_000, "2 d"],
  ];
  for (const [durationMs, text] of shown) assert.equal(formatDuration(durationMs), text);
});

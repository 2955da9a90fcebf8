import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock, systemClock } from "./clock.ts";

test("on a manual clock sleepers wake in the order of their times, and none before", async () => {
  const clock = new ManualClock(new Date("2026-01-01T00:00:00Z"));
  const woken: string[] = [];
  const sleep = async (name: string, milliseconds: number) => {
    await clock.sleep(milliseconds);
    woken.push(`${name} at ${clock.monotonicMs()}`);
  };
  const all = [sleep("b", 20), sleep("a", 10), sleep("c", 30), sleep("now", 0)];
  await clock.advance(25);
  assert.deepEqual(woken, ["now at 0", "a at 10", "b at 20"]);
  assert.equal(clock.sleepers, 1);
  await clock.advance(5);
  await Promise.all(all);
  assert.equal(clock.now().toISOString(), "2026-01-01T00:00:00.030Z");
});

test("a sleeper that goes to sleep again within an advance wakes within it", async () => {
  const clock = new ManualClock();
  let ticks = 0;
  void (async () => {
    for (; ticks < 100; ticks++) await clock.sleep(10);
  })();
  await clock.advance(55);
  assert.equal(ticks, 5);
});

for (const [name, clock] of [
  ["manual", new ManualClock()],
  ["system", systemClock],
] as const) {
  test(`on the ${name} clock an aborted signal ends a sleep, before it begins too`, async () => {
    const controller = new AbortController();
    const sleeping = clock.sleep(1e12, controller.signal);
    controller.abort();
    await sleeping;
    await clock.sleep(1e12, controller.signal);
  });
}

test("the system's clock sleeps at least as long as asked", async () => {
  const start = systemClock.monotonicMs();
  await systemClock.sleep(5);
  assert.ok(systemClock.monotonicMs() - start >= 5);
});

/**
 * Real programs, unchanged, cut at random moments of their progress. Whatever happens to them, they leave what an
 * uninterrupted run leaves: the same exit status and the same bytes in every file. CAIRN_TEST_PROGRAM=NAME picks one.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { Candidate } from "./candidate.ts";
import { noteInMatrix } from "./matrix.ts";
import { Place, withoutEngine } from "./place.ts";
import { cutAgainAndAgain, cutOnce, runUninterrupted, type Program } from "./program.ts";
import { randomForTest } from "./random.ts";

/** For a second run of the suite on the same machine, as another user, fewer are enough. */
const isBrief = process.env["CAIRN_TEST_BRIEF"] === "1";
const MOST_CUTS = isBrief ? 1 : 10;
const WORDS: Readonly<Record<number, string>> = { 4: "four", 5: "five", 10: "ten" };
const only = process.env["CAIRN_TEST_PROGRAM"];

const cutsOf = (program: Program): number => Math.min(program.cuts ?? MOST_CUTS, MOST_CUTS);

async function throughCuts(t: TestContext, program: Program): Promise<void> {
  const random = randomForTest(program.name, (message) => t.diagnostic(message));
  await using uninterrupted = new Place();
  const reference = await runUninterrupted(program, uninterrupted);
  program.examine?.(uninterrupted);
  if (withoutEngine) {
    await using again = new Place();
    assert.deepEqual(await runUninterrupted(program, again), reference, "two uninterrupted runs differ: the program is no measure");
    return;
  }
  if (!isBrief) await cutOnce(program, () => new Place(), reference, random);
  await cutAgainAndAgain(program, () => new Place(), reference, random, cutsOf(program));
}

export function programCases(candidates: readonly Candidate[]): void {
  for (const candidate of candidates) {
    const name = "program" in candidate ? candidate.program.name : candidate.name;
    if (only !== undefined && only !== name) continue;
    const cuts = "program" in candidate ? cutsOf(candidate.program) : MOST_CUTS;
    test(`${name} is cut at ${cuts === 1 ? "one" : (WORDS[cuts] ?? cuts)} random ${cuts === 1 ? "moment" : "moments"} and leaves what an uninterrupted run leaves`, async (t) => {
      if ("missing" in candidate) {
        noteInMatrix("program", name, "not here");
        return t.skip(candidate.missing);
      }
      await throughCuts(t, candidate.program);
      noteInMatrix("program", name, "yes");
    });
  }
}

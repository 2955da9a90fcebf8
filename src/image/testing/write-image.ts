/** Writes an image of PAGES pages to PATH and says how it went: for tests that kill it or give it a small disk. */
import { writeSync } from "node:fs";
import { CairnError } from "../../base/errors.ts";
import { ImageWriter } from "../writer.ts";
import { numberedPages } from "./raw-image.ts";
import { sampleMetadata } from "./sample.ts";

const [path = "", pages = "8", expectedBytes = "0"] = process.argv.slice(2);

function describe(error: unknown): Record<string, unknown> {
  if (!(error instanceof CairnError)) return { error: String(error) };
  return { code: error.code, message: error.message, hint: error.hint, neededBytes: error.data["neededBytes"] };
}

async function outcomeOf(work: () => Promise<unknown>): Promise<unknown> {
  try {
    return await work();
  } catch (error) {
    return describe(error);
  }
}

const writer = await ImageWriter.create(path);
writer.expectBytes(Number(expectedBytes));
const outcomes = [
  await outcomeOf(() => writer.append(numberedPages(Number(pages)))),
  await outcomeOf(() => writer.finish(sampleMetadata())),
  await outcomeOf(() => writer.append(numberedPages(1))),
];
await writer.abort();
writeSync(1, JSON.stringify(outcomes));

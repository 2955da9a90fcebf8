/** Runs the command line as a user does, apart from this process. */
import { fileURLToPath } from "node:url";
import { runChild } from "../../base/testing/child.ts";
import type { ChildOutcome } from "../../base/testing/child.ts";

const START = fileURLToPath(new URL("../start.mjs", import.meta.url));

export function runCairn(store: string, ...argv: string[]): Promise<ChildOutcome> {
  return runChild(START, argv, { CAIRN_STORE: store, NO_COLOR: "1" });
}

/** The store that a command works on: `--store DIR` before or after the command's name, else what the environment says. */
import type { Command } from "commander";
import { openStore } from "../store/mod.ts";
import type { Store } from "../store/mod.ts";

export function storeOf(command: Command): Store {
  const own = command.opts<{ store?: string }>().store;
  const directory = own ?? command.parent?.opts<{ store?: string }>().store;
  return openStore(directory === undefined ? {} : { directory });
}

/** For code that has only the words of the command line: the reporter of internal errors. */
export function storeArgument(argv: readonly string[]): string | undefined {
  const words = argv.includes("--") ? argv.slice(0, argv.indexOf("--")) : argv;
  const at = words.findIndex((word) => word === "--store" || word.startsWith("--store="));
  const word = words[at];
  if (word === undefined) return undefined;
  return word === "--store" ? words[at + 1] : word.slice("--store=".length);
}

/**
 * The entry point, in plain JavaScript for one reason: the compile cache must be on before the first TypeScript file is
 * read. Stripping types costs 30 ms at every start without it, and nothing with it. The cache lies in the user's own
 * folder, not in a shared one where somebody else could put code for us to run.
 */
import { enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

const { XDG_CACHE_HOME, CAIRN_NO_COMPILE_CACHE } = process.env;
if (CAIRN_NO_COMPILE_CACHE === undefined) {
  enableCompileCache(join(XDG_CACHE_HOME?.startsWith("/") ? XDG_CACHE_HOME : join(homedir(), ".cache"), "cairn", "compiled"));
}
const { main } = await import("./main.ts");
await main(process.argv.slice(2));

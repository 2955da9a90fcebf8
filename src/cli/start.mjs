/**
 * The entry point, in plain JavaScript for one reason: the compile cache must be on before anything large is read. It lies in
 * the user's own folder, not in a shared one where somebody else could put code for us to run.
 */
import { createRequire, enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { bundleOf } from "./bundle.mjs";

const { XDG_CACHE_HOME, CAIRN_NO_COMPILE_CACHE } = process.env;
if (CAIRN_NO_COMPILE_CACHE === undefined) {
  enableCompileCache(join(XDG_CACHE_HOME?.startsWith("/") ? XDG_CACHE_HOME : join(homedir(), ".cache"), "cairn", "compiled"));
}
const bundle = bundleOf(join(import.meta.dirname, "../.."));
const loaded = /** @type {unknown} */ (bundle === null ? await import("./main.ts") : createRequire(import.meta.url)(bundle));
const { main } = /** @type {typeof import("./main.ts")} */ (loaded);
await main(process.argv.slice(2));

/**
 * Which file to start from: the bundle that the installation made, as long as it is of the sources as they are now. Plain JavaScript,
 * as start.mjs is, because it runs before anything is stripped of its types.
 */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** Below the clone's root. npm removes it with the packages, and the installation makes both. */
export const BUNDLE_FOLDER = "node_modules/.cairn";
/** `{ file, sources: [[path, mtimeMs, size], ...] }`, paths relative to the clone's root. */
export const BUNDLE_LIST = "bundle.json";

/**
 * The bundle's path, or null where there is none or a source was changed since.
 *
 * @param {string} root of the clone
 * @returns {string | null}
 */
export function bundleOf(root) {
  try {
    const list = /** @type {unknown} */ (JSON.parse(readFileSync(join(root, BUNDLE_FOLDER, BUNDLE_LIST), "utf8")));
    const { file, sources } = /** @type {{ file: string, sources: [string, number, number][] }} */ (list);
    for (const [path, mtimeMs, size] of sources) {
      const now = statSync(join(root, path));
      if (now.mtimeMs !== mtimeMs || now.size !== size) return null;
    }
    const bundle = join(root, BUNDLE_FOLDER, file);
    statSync(bundle);
    return bundle;
  } catch {
    return null;
  }
}

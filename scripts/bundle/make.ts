/**
 * One file of everything that Cairn loads. A command reads a hundred and fifty modules otherwise, and finding, reading and linking
 * them is more than half of what it computes: see docs/decisions/015.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { BUNDLE_FOLDER, BUNDLE_LIST, bundleOf } from "../../src/cli/bundle.mjs";

const ENTRY = "src/cli/main.ts";

/** Precondition: the packages are installed. Errors: what esbuild says, or that the folder cannot be written. */
export function makeBundle(root: string): void {
  const { outputFiles, metafile } = buildSync({
    absWorkingDir: root,
    entryPoints: [ENTRY],
    bundle: true,
    write: false,
    metafile: true,
    // CommonJS: each module is run when the first command that wants it does, without the module loader.
    format: "cjs",
    platform: "node",
    target: "node24",
    // It finds its binary beside itself.
    external: ["koffi"],
    logLevel: "error",
  });
  const [bundle] = outputFiles;
  if (bundle === undefined) throw new Error("esbuild made nothing");
  // Packages change with an installation only, and that makes the bundle anew.
  const sources = Object.keys(metafile.inputs).filter((path) => path.startsWith("src/"));
  const facts = sources.map((path) => {
    const { mtimeMs, size } = statSync(join(root, path));
    return [path, mtimeMs, size] as const;
  });
  const folder = join(root, BUNDLE_FOLDER);
  const former = listedFile(folder);
  mkdirSync(folder, { recursive: true });
  const file = `cairn-${createHash("sha256").update(bundle.contents).digest("hex").slice(0, 16)}.cjs`;
  // A Cairn that starts meanwhile has read the old list or the new one: the file of each is there.
  put(join(folder, file), bundle.contents);
  put(join(folder, BUNDLE_LIST), JSON.stringify({ file, sources: facts }));
  for (const name of readdirSync(folder)) {
    if (name.startsWith("cairn-") && name !== file && name !== former) rmSync(join(folder, name), { force: true });
  }
}

/** Of the list as it is, up to date or not; null without one. */
function listedFile(folder: string): string | null {
  try {
    const list: unknown = JSON.parse(readFileSync(join(folder, BUNDLE_LIST), "utf8"));
    return typeof list === "object" && list !== null && "file" in list && typeof list.file === "string" ? list.file : null;
  } catch {
    return null;
  }
}

function put(path: string, content: string | Uint8Array): void {
  const unfinished = `${path}.${process.pid}`;
  writeFileSync(unfinished, content);
  renameSync(unfinished, path);
}

/** For those who changed something: what they start is what they wrote either way, and this makes it quick again. */
export function renewBundle(root: string): void {
  if (bundleOf(root) !== null) return;
  try {
    makeBundle(root);
  } catch (error) {
    console.error(
      `Cairn starts from its sources, more slowly: no bundle could be made: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

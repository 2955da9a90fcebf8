/**
 * The layers of src/ and what each may import: imports point down only. A folder that is missing here is a violation, so
 * that a new one is placed on purpose.
 */
import { dirname, join, normalize } from "node:path/posix";

const mayImport: Readonly<Record<string, readonly string[]>> = {
  base: [],
  kernel: ["base"],
  tracee: ["kernel", "base"],
  image: ["tracee", "kernel", "base"],
  store: ["image", "kernel", "base"],
  capture: ["image", "tracee", "kernel", "base"],
  restore: ["image", "tracee", "kernel", "base"],
  supervisor: ["capture", "restore", "store", "image", "tracee", "kernel", "base"],
  cli: ["supervisor", "capture", "restore", "store", "image", "tracee", "kernel", "base"],
};

/** Packages that not every layer may use, each with the files that may. */
const packageHomes: Readonly<Record<string, RegExp>> = {
  koffi: /^src\/kernel\/[a-z-]+-ffi\.ts$/,
  commander: /^src\/cli\//,
  valibot: /^src\//,
};

const nameless = new Set(["common", "helpers", "lib", "misc", "shared", "util", "utils"]);

/** Tests, and what only tests share. */
const TEST_FILE = /\.test\.ts$|\/testing\//;

/** `path` and what is imported are relative to the repository, with slashes. Returns what is wrong, in words. */
export function layerViolations(path: string, source: string): string[] {
  const violations: string[] = [];
  const folders = path.split("/").slice(0, -1);
  const badName = folders.find((name) => nameless.has(name));
  if (badName !== undefined)
    violations.push(`a folder called ${badName} says nothing about what is in it: primitives with a name live in base/`);
  const layer = folders[1];
  const allowed = layer === undefined ? undefined : mayImport[layer];
  if (layer === undefined || allowed === undefined) {
    violations.push(
      `${layer === undefined ? "a file directly in src/" : `src/${layer}/`} is no layer: name it and what it may import in scripts/layers.ts`,
    );
    return violations;
  }
  for (const specifier of importsOf(source)) {
    const problem = specifier.startsWith(".") ? folderProblem(path, layer, allowed, specifier) : packageProblem(path, specifier);
    if (problem !== undefined) violations.push(problem);
  }
  return violations;
}

function folderProblem(path: string, layer: string, allowed: readonly string[], specifier: string): string | undefined {
  const target = normalize(join(dirname(path), specifier)).split("/");
  const targetLayer = target[0] === "src" ? target[1] : undefined;
  if (targetLayer === undefined) {
    return TEST_FILE.test(path) ? undefined : `imports ${specifier}, which is outside src/`;
  }
  if (TEST_FILE.test(target.join("/")) && !TEST_FILE.test(path)) return `imports ${specifier}, which is for tests only`;
  if (targetLayer === layer || allowed.includes(targetLayer)) return undefined;
  return `imports ${specifier}: ${layer} may import only ${allowed.length === 0 ? "itself" : allowed.join(", ")}`;
}

function packageProblem(path: string, specifier: string): string | undefined {
  // A test may use whatever it needs to look at the code from outside.
  if (TEST_FILE.test(path)) return specifier === "koffi" ? "imports koffi: only kernel/*-ffi.ts may" : undefined;
  if (specifier === "node:process") return "imports node:process, by which the job's streams could be reached: use the global";
  if (specifier.startsWith("node:")) return undefined;
  const name = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  const home = packageHomes[name];
  if (home === undefined) return `imports ${name}, which is no run-time dependency`;
  return home.test(path) ? undefined : `imports ${name}: only ${home.source.replaceAll("\\", "")} may`;
}

/** Static and dynamic imports, type imports and re-exports; comments are left out. */
export function importsOf(source: string): string[] {
  const code = source.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
  const found = code.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)["']([^"'\n]+)["']/g);
  return [...found].flatMap((match) => match[1] ?? []);
}

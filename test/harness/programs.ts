/**
 * Fixture programs are compiled on demand into the repository's build folder (or a temporary one where that cannot be
 * written), once per content: the name of the result has the hash of the sources and of the command line in it.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, chmodSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { REPOSITORY } from "./place.ts";

export const PROGRAMS = join(REPOSITORY, "test/programs");

let folder: string | undefined;

export function buildFolder(): string {
  if (folder !== undefined) return folder;
  const wanted = join(REPOSITORY, "build/test-programs");
  try {
    mkdirSync(wanted, { recursive: true });
    accessSync(wanted, constants.W_OK);
    folder = wanted;
  } catch {
    folder = join(tmpdir(), `cairn-test-programs-${process.getuid?.() ?? 0}`);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK);
  }
  return folder;
}

/** The full path of a program, or undefined where the machine lacks it. */
export function findTool(name: string): string | undefined {
  for (const directory of (process.env["PATH"] ?? "").split(":")) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      // Version managers put shims on the path that may stand for nothing: only what answers counts.
      if (!directory.includes("/shims")) return path;
    } catch {
      continue;
    }
  }
  return undefined;
}

/** Compiles with `command`, in which `OUT` stands for the result; returns the result's path. */
export function compile(source: string, command: readonly string[], result = "program"): string {
  const sourcePath = join(PROGRAMS, source);
  const hash = createHash("sha256").update(command.join("\0")).update(readFileSync(sourcePath));
  for (const header of readdirSync(PROGRAMS)
    .filter((name) => name.endsWith(".h"))
    .sort()) {
    hash.update(readFileSync(join(PROGRAMS, header)));
  }
  const name = `${basename(source).replace(/\.[^.]*$/, "")}-${hash.digest("hex").slice(0, 16)}`;
  const directory = join(buildFolder(), name);
  const finished = join(directory, result);
  if (existsSync(finished)) return finished;
  // Test files run beside one another: each compiles into a folder of its own, and the first to finish wins.
  const partial = `${directory}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  const [tool, ...rest] = command.map((word) => word.replaceAll("OUT", partial));
  const built = spawnSync(tool ?? "", rest, { cwd: dirname(sourcePath), encoding: "utf8" });
  if (built.status !== 0) {
    rmSync(partial, { recursive: true });
    throw new Error(`Cannot compile ${source}: ${command.join(" ")}\n${built.error?.message ?? built.stderr}`);
  }
  chmodSync(partial, 0o755);
  try {
    renameSync(partial, directory);
  } catch {
    rmSync(partial, { recursive: true });
  }
  return finished;
}

export type Compiled = { readonly path: string } | { readonly missing: string };

export function compileC(source: string, ...flags: string[]): Compiled {
  const compiler = findTool("gcc") ?? findTool("cc");
  if (compiler === undefined) return { missing: "no C compiler on this machine" };
  const path = compile(source, [
    compiler,
    "-std=gnu11",
    "-O1",
    "-g",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-unused-function",
    "-Wno-format-truncation",
    "-pthread",
    `-I${PROGRAMS}`,
    "-o",
    "OUT/program",
    basename(source),
    ...flags,
    "-lm",
  ]);
  return { path };
}

/** Whether `command` runs and succeeds: for tools that may be there and yet not work. */
export function works(command: string, ...argv: string[]): boolean {
  try {
    execFileSync(command, argv, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

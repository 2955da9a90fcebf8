/**
 * Finds the program that a command names, as a POSIX shell does: a name with a slash is a path, any other is looked
 * for in PATH; the first executable file wins, and a file that may not be executed is only told of when nothing else is found.
 */
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

export type CommandSearch =
  | { readonly kind: "found"; readonly path: string }
  | { readonly kind: "not-executable"; readonly path: string; readonly why: string }
  | { readonly kind: "not-found" };

/** What execvp(3) searches where PATH is not set. */
const DEFAULT_PATH = "/bin:/usr/bin";

export function resolveCommand(command: string, searchPath: string | undefined, workingDirectory: string): CommandSearch {
  if (command === "") return { kind: "not-found" };
  if (command.includes("/")) return examine(resolve(workingDirectory, command));
  let refused: CommandSearch = { kind: "not-found" };
  for (const folder of (searchPath ?? DEFAULT_PATH).split(":")) {
    // An empty element means the working directory, POSIX.1 8.3.
    const outcome = examine(join(resolve(workingDirectory, folder), command));
    if (outcome.kind === "found") return outcome;
    // A folder that this user may not search (root's own, in an inherited PATH) says nothing about the command.
    if (outcome.kind === "not-executable" && !existsSync(outcome.path)) continue;
    if (outcome.kind === "not-executable" && refused.kind === "not-found" && outcome.why !== "it is a directory") refused = outcome;
  }
  return refused;
}

function examine(path: string): CommandSearch {
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) return { kind: "not-executable", path, why: "it is a directory" };
    accessSync(path, constants.X_OK);
    // Root passes access(2) for files without any x bit, and then cannot execute them.
    if (!stat.isFile() || (stat.mode & 0o111) === 0) return { kind: "not-executable", path, why: "permission denied" };
    return { kind: "found", path };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EACCES") return { kind: "not-executable", path, why: "permission denied" };
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP" || code === "ENAMETOOLONG") return { kind: "not-found" };
    throw error;
  }
}

/** What stands against a restart: found one by one, told all at once. */
import { CairnError } from "../base/errors.ts";

/** Runs a comparison that may throw, so that the next one is made all the same. A file that can't be looked at is a problem, too. */
export function collect(problems: CairnError[], compare: () => void): void {
  try {
    compare();
  } catch (error) {
    const problem = error instanceof CairnError ? error : unseen(error);
    if (problem === null) throw error;
    problems.push(problem);
  }
}

function unseen(error: unknown): CairnError | null {
  const { code, path } = error as NodeJS.ErrnoException & { readonly path?: string | Buffer };
  if (code === undefined || path === undefined) return null;
  const denied = code === "EACCES" || code === "EPERM";
  return new CairnError(denied ? "permission" : "io", `Cannot restart: ${path.toString()} cannot be looked at (${code})`, {
    data: { path: path.toString() },
    hint: "Check whom it and the folders above it belong to",
    cause: error,
  });
}

/** The first of those that are about the same file: what is open, mapped and executed is missing once. */
export function eachFileOnce(problems: readonly CairnError[]): CairnError[] {
  const seen = new Set<unknown>();
  return problems.filter(({ data: { path } }) => path === undefined || (!seen.has(path) && seen.add(path)));
}

/** What completes "it cannot be restarted: ". */
export function clauseOf({ message }: CairnError): string {
  return message.replace(/^Cannot restart(: | (?=process ))/, "");
}

/** One error for all, with the exit code of the first. Precondition: there is one. */
export function joinProblems(problems: readonly [CairnError, ...CairnError[]]): CairnError {
  const [first, ...others] = problems;
  if (others.length === 0) return first;
  const hints = new Set(problems.flatMap(({ hint }) => hint ?? []));
  const lines = problems.map((problem) => `\n       - ${clauseOf(problem)}`);
  return new CairnError(first.code, `Cannot restart, for ${problems.length} reasons:${lines.join("")}`, {
    data: { problems: problems.map(clauseOf) },
    hint: [...hints].join("\n       "),
    cause: first,
  });
}

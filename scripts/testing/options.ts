/** What was asked of `npm test -- ...`. */
import { parseArgs } from "node:util";
import { globSync } from "node:fs";
import { normalize } from "node:path";

export interface TestOptions {
  readonly unit: boolean;
  readonly endToEnd: boolean;
  readonly filter: RegExp | undefined;
  /** Only these files, if any are named. */
  readonly files: readonly string[];
}

export const usage = `npm test                       every test
npm test -- --unit             those beside the code (src, scripts)
npm test -- --e2e              those that drive real programs (test)
npm test -- --filter PATTERN   test names, or paths of test files, that match the regular expression
npm test -- FILE...            these files`;

export function parseTestOptions(argv: readonly string[]): TestOptions {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: { unit: { type: "boolean" }, e2e: { type: "boolean" }, filter: { type: "string" } },
  });
  const both = values.unit === values.e2e;
  return {
    unit: both || values.unit === true,
    endToEnd: both || values.e2e === true,
    filter: values.filter === undefined ? undefined : new RegExp(values.filter, "iu"),
    files: positionals.map((path) => normalize(path)),
  };
}

export interface TestPlan {
  readonly unit: readonly string[];
  readonly endToEnd: readonly string[];
  /** Which tests in these files; all of them when absent. */
  readonly namePattern: RegExp | undefined;
}

/** Paths are relative to `root`. A filter that matches paths of files means these files, else the names of tests. */
export function planTests(root: string, options: TestOptions, find = findTests): TestPlan {
  const wanted = (files: readonly string[]): string[] => files.filter((file) => options.files.length === 0 || options.files.includes(file));
  const unit = options.unit ? wanted(find(root, ["src/**/*.test.ts", "scripts/**/*.test.ts"])) : [];
  const endToEnd = options.endToEnd ? wanted(find(root, ["test/**/*.test.ts"])) : [];
  const { filter } = options;
  if (filter === undefined) return { unit, endToEnd, namePattern: undefined };
  const matching = (files: readonly string[]): string[] => files.filter((file) => filter.test(file));
  const byPath = { unit: matching(unit), endToEnd: matching(endToEnd), namePattern: undefined };
  return byPath.unit.length + byPath.endToEnd.length > 0 ? byPath : { unit, endToEnd, namePattern: filter };
}

function findTests(root: string, patterns: readonly string[]): string[] {
  return globSync(patterns, { cwd: root }).toSorted();
}

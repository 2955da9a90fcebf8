/** Fails when a file of src/ imports what its layer may not: see layers.ts. */
import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { layerViolations } from "./layers.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const files = globSync("src/**/*.{ts,mjs,js}", { cwd: root }).toSorted();
const problems = files.flatMap((path) =>
  layerViolations(path, readFileSync(`${root}${path}`, "utf8")).map((problem) => `${path} ${problem}`),
);

for (const problem of problems) console.error(problem);
console.log(`${files.length} files, ${problems.length === 0 ? "every import points down" : `${problems.length} violations of the layers`}`);
if (problems.length > 0 || files.length === 0) process.exitCode = 1;

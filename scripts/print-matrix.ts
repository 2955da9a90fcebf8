/** `print-matrix.ts FILE`: what came through three cycles of checkpoint and restart, by object and program, as root and as an ordinary user. */
import { readFileSync } from "node:fs";
import type { MatrixNote } from "../test/harness/matrix.ts";

const [path = ""] = process.argv.slice(2);
const notes = readFileSync(path, "utf8")
  .split("\n")
  .filter(Boolean)
  .map((line) => JSON.parse(line) as MatrixNote);

for (const kind of ["object", "program"] as const) {
  const rows = Map.groupBy(
    notes.filter((note) => note.kind === kind),
    ({ name }) => name,
  );
  const width = Math.max(kind.length, ...[...rows.keys()].map((name) => name.length));
  console.log(`${kind.padEnd(width)}  root      user`);
  for (const [name, results] of [...rows].toSorted(([a], [b]) => a.localeCompare(b))) {
    const of = (user: MatrixNote["user"]): string => results.find((note) => note.user === user)?.result ?? "not run";
    console.log(`${name.padEnd(width)}  ${of("root").padEnd(8)}  ${of("user")}`);
  }
  const came = (user: MatrixNote["user"]): number =>
    notes.filter((note) => note.kind === kind && note.user === user && note.result === "yes").length;
  console.log(`${came("root")} of ${rows.size} ${kind}s came through as root, ${came("user")} as an ordinary user\n`);
}

/**
 * What comes through, by object or program and by who asks: each case notes how it ended in the file that CAIRN_TEST_MATRIX names, and
 * scripts/print-matrix.ts makes a table of the runs of several users.
 */
import { appendFileSync } from "node:fs";

export interface MatrixNote {
  readonly kind: "object" | "program";
  readonly name: string;
  readonly user: "root" | "user";
  /** `refused`: by name, and the job went on. */
  readonly result: "yes" | "refused" | "not here";
}

export function noteInMatrix(kind: MatrixNote["kind"], name: string, result: MatrixNote["result"]): void {
  const path = process.env["CAIRN_TEST_MATRIX"];
  if (path === undefined) return;
  const note: MatrixNote = { kind, name, user: process.getuid?.() === 0 ? "root" : "user", result };
  appendFileSync(path, `${JSON.stringify(note)}\n`);
}

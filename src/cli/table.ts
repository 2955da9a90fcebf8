/** Columns that line up in a terminal, two spaces apart, without rules: easy on the eye and on `awk`. */
import { stripVTControlCharacters } from "node:util";

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  /** May be cut at the table's width; only the last such column is. */
  readonly flexible?: boolean;
}

const GAP = "  ";
const MIN_FLEXIBLE = 12;

/** Cells may hold colours. `maxWidth` is the terminal's; without one (a pipe, a file) nothing is cut. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  options: { maxWidth?: number; head?: (title: string) => string } = {},
): string {
  const head = options.head ?? ((title: string) => title);
  const widths = columns.map((column, index) => Math.max(displayWidth(column.title), ...rows.map((row) => displayWidth(row[index] ?? ""))));
  const flexible = columns.findLastIndex((column) => column.flexible === true);
  if (flexible >= 0 && options.maxWidth !== undefined) {
    const fixed = widths.reduce((sum, width, index) => sum + (index === flexible ? 0 : width), 0) + GAP.length * (columns.length - 1);
    widths[flexible] = Math.min(widths[flexible] ?? 0, Math.max(MIN_FLEXIBLE, options.maxWidth - fixed));
  }
  const line = (cells: readonly string[], styled: (text: string) => string) =>
    columns
      .map((column, index) => {
        const width = widths[index] ?? 0;
        const cell = index === flexible ? cut(cells[index] ?? "", width) : (cells[index] ?? "");
        const padding = " ".repeat(Math.max(0, width - displayWidth(cell)));
        return column.align === "right" ? padding + styled(cell) : styled(cell) + padding;
      })
      .join(GAP)
      .trimEnd();
  return [
    line(
      columns.map((column) => column.title),
      head,
    ),
    ...rows.map((row) => line(row, (text) => text)),
  ]
    .map((text) => `${text}\n`)
    .join("");
}

/** Columns of a terminal that the text takes: East Asian wide characters and emoji take two, combining marks none. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of stripVTControlCharacters(text)) {
    if (/\p{Mark}|\p{Cf}/u.test(character)) continue;
    width +=
      /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{20000}-\u{3fffd}]/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return width;
}

function cut(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let result = "";
  let used = 0;
  for (const character of stripVTControlCharacters(text)) {
    const next = displayWidth(character);
    if (used + next > width - 1) break;
    result += character;
    used += next;
  }
  return `${result}…`;
}

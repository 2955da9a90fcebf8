/** How wide a table may be: the terminal's width, or as wide as it likes where the output is no terminal. */
import { closeSync, openSync } from "node:fs";
import { WriteStream, isatty } from "node:tty";

/** Asked of a description of the terminal that is ours alone: what Node does to it, it does to nobody else's. */
export function outputWidth(): number | undefined {
  if (!isatty(1)) return undefined;
  const columns = Number(process.env["COLUMNS"]);
  if (Number.isInteger(columns) && columns > 0) return columns;
  let fd: number;
  try {
    fd = openSync("/dev/tty", "r+");
  } catch {
    return undefined;
  }
  if (!isatty(fd)) {
    closeSync(fd);
    return undefined;
  }
  const stream = new WriteStream(fd);
  const width = stream.columns;
  stream.destroy();
  return width > 0 ? width : undefined;
}

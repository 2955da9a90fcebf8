/** Tells the user what went wrong, and gives the exit code for it. */
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CairnError } from "../base/errors.ts";
import { EXIT_INTERNAL, exitCodeOf } from "./exit-codes.ts";
import { printError, styleError } from "./output.ts";

/** One or two lines: what happened to what, and what to do next. */
export function formatFailure(error: CairnError): string {
  const hint = error.hint === undefined ? "" : `\n       ${error.hint}`;
  return `cairn: ${error.message}${hint}\n`;
}

export async function reportFailure(error: unknown, argv: readonly string[]): Promise<number> {
  if (process.env["CAIRN_DEBUG"] === "1") printError(`${stackOf(error)}\n`);
  const known = explain(error);
  if (known !== null) {
    printError(formatFailure(known));
    return exitCodeOf(known.code);
  }
  const message = error instanceof Error ? error.message : String(error);
  const report = await tryWriteReport(error, argv);
  const where = report === null ? "Run it again with CAIRN_DEBUG=1 to see more" : `A report that you can send with a bug is in ${report}`;
  printError(`${styleError("red", "Internal error:")} ${message.replace(/^Internal error: /, "")}\n       ${where}\n`);
  return EXIT_INTERNAL;
}

/** What is the world's doing; null for a defect. */
export function explain(error: unknown): CairnError | null {
  const known = error instanceof CairnError ? error : tryExplain(error);
  if (known === null || known.hint !== undefined || !isForWantOfDescriptors(error)) return known;
  const limit = process.env["CAIRN_OPEN_FILES"];
  return new CairnError(known.code, known.message, {
    data: known.data,
    cause: error,
    hint: `Cairn may not have enough files open at once${limit === undefined ? "" : `: the limit is ${limit}`}. Raise it, for example: ulimit -n 1024`,
  });
}

function isForWantOfDescriptors(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const errno = error instanceof CairnError ? error.data["errnoName"] : (error as NodeJS.ErrnoException).code;
  return errno === "EMFILE" || isForWantOfDescriptors(error.cause);
}

/** A file or device that refused where nobody had foreseen it is still the world's doing, not a defect. */
function tryExplain(error: unknown): CairnError | null {
  if (!(error instanceof Error)) return null;
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined || path === undefined) return null;
  const denied = code === "EACCES" || code === "EPERM";
  return new CairnError(denied ? "permission" : "io", `Cannot ${syscall} ${path}: ${code}`, {
    cause: error,
    ...(denied ? { hint: "Check whom it and the folders above it belong to" } : {}),
  });
}

async function tryWriteReport(error: unknown, argv: readonly string[]): Promise<string | null> {
  try {
    const now = new Date().toISOString();
    const path = join(await reportFolder(argv), `internal-error-${now.replaceAll(":", "-")}-${process.pid}.txt`);
    const facts = [
      `time: ${now}`,
      `command: ${JSON.stringify(argv)}`,
      `node: ${process.version}`,
      `system: ${process.platform} ${process.arch}`,
    ];
    writeFileSync(path, `${facts.join("\n")}\n\n${stackOf(error)}\n`, { mode: 0o600, flag: "wx" });
    return path;
  } catch {
    // The report is a courtesy: its failure must not hide the error.
    return null;
  }
}

/** In the store, where nobody else can read it. A folder that is no store yet is left alone: our file in it would keep it from becoming one. */
async function reportFolder(argv: readonly string[]): Promise<string> {
  try {
    const { openStore } = await import("../store/mod.ts");
    const { storeArgument } = await import("./store-option.ts");
    const directory = storeArgument(argv);
    const store = openStore(directory === undefined ? {} : { directory });
    if (existsSync(join(store.directory, "format"))) {
      const folder = join(store.directory, "reports");
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      return folder;
    }
  } catch {
    // The store may be what is broken.
  }
  return mkdtempSync(join(tmpdir(), "cairn-report-"));
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.stack ?? `${error.name}: ${error.message}`;
  return error.cause === undefined ? own : `${own}\ncaused by ${stackOf(error.cause)}`;
}

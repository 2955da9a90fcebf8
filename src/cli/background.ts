/**
 * A restart in the background: the same command again, in a session of its own without a terminal, restores and
 * supervises the job; over a pipe it tells us one line of JSON, that the job runs or why it does not.
 *
 *     {"ok":true,"line":"Job \"lu\" goes on ..."}
 *     {"ok":false,"code":"damaged","message":"...","hint":"..."}
 *
 * The process that does this is an ordinary child of ours; the job is a child of that one, never of libuv's.
 */
import { spawn } from "node:child_process";
import type { StdioOptions } from "node:child_process";
import { closeSync, fchmodSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { isatty } from "node:tty";
import * as v from "valibot";
import { CairnError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import type { Job } from "../store/mod.ts";
import { EXIT_INTERNAL, errorCodeOf, exitCodeOf } from "./exit-codes.ts";
import { explain } from "./failure.ts";

const READY_FD = 3;
/** Set only for the process in the background, whose restored job has its own environment. */
const READY_VARIABLE = "CAIRN_BACKGROUND_FD";
const INTERNAL = "internal";
const MAX_STACK = 10_000;
const MAX_REPORT_BYTES = 1 << 20;

const reportSchema = v.variant("ok", [
  v.strictObject({ ok: v.literal(true), line: v.string() }),
  /** Code `internal`: a defect, with where it happened. */
  v.strictObject({
    ok: v.literal(false),
    code: v.string(),
    message: v.string(),
    hint: v.optional(v.string()),
    stack: v.optional(v.string()),
  }),
]);
type Report = v.InferOutput<typeof reportSchema>;

/** Resolves to the line for the user once the job runs. Errors: what the restart failed with. */
export async function restartInBackground(job: Job): Promise<string> {
  const logPath = join(job.directory, "output.log");
  const { stdio, usesLog, close } = standardStreams(logPath);
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    env: { ...process.env, [READY_VARIABLE]: String(READY_FD) },
    stdio: [...(stdio as ("ignore" | number)[]), "pipe"],
  });
  close();
  const report = await firstReport(child, logPath);
  child.unref();
  if (!report.ok) {
    if (report.code === INTERNAL) throw Object.assign(new Error(report.message), { stack: report.stack });
    throw new CairnError(report.code as ErrorCode, report.message, report.hint === undefined ? {} : { hint: report.hint });
  }
  return usesLog ? `${report.line}; its output goes to ${logPath}` : report.line;
}

/** What leads to a terminal is replaced: the job shall outlive it. What the user redirected stays. */
function standardStreams(logPath: string): { stdio: StdioOptions; usesLog: boolean; close: () => void } {
  const toLog = [1, 2].map((fd) => isatty(fd));
  const usesLog = toLog.includes(true);
  const log = usesLog ? openSync(logPath, "a", 0o600) : -1;
  if (usesLog) fchmodSync(log, 0o600);
  return {
    stdio: [isatty(0) ? "ignore" : 0, toLog[0] === true ? log : 1, toLog[1] === true ? log : 2],
    usesLog,
    close: () => {
      if (usesLog) closeSync(log);
    },
  };
}

function firstReport(child: ReturnType<typeof spawn>, logPath: string): Promise<Report> {
  return new Promise((resolve, reject) => {
    // Without streams where the child could not be started: the error follows.
    const pipe = (child.stdio as typeof child.stdio | undefined)?.[READY_FD];
    let text = "";
    child.once("error", reject);
    pipe?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const end = text.indexOf("\n");
      if (end >= 0) resolve(v.parse(reportSchema, JSON.parse(text.slice(0, end))));
      else if (text.length > MAX_REPORT_BYTES) reject(new Error("the background process sent no end of its report"));
      else return;
      pipe.destroy();
    });
    // All that the child had open is closed by its end, so that what it wrote is here by then.
    child.once("close", (status) => {
      const code = errorCodeOf(status ?? 0) ?? "exited";
      reject(
        new CairnError(code, "The restart ended in the background before the job ran", {
          hint: `What it said of that is above, or in ${logPath}`,
        }),
      );
    });
  });
}

export interface Reporter {
  running(line: string): void;
  /** The exit code for it; nothing is printed here, the foreground does that. */
  failed(error: unknown): number;
}

/**
 * The background's side; null in the foreground. The descriptor is closed with the report: the foreground waits for nothing else.
 */
export function tryReporter(): Reporter | null {
  const fd = Number(process.env[READY_VARIABLE] ?? Number.NaN);
  if (!Number.isInteger(fd)) return null;
  const send = (report: Report): void => {
    try {
      writeSync(fd, `${JSON.stringify(report)}\n`);
      closeSync(fd);
    } catch {
      // The foreground was interrupted; the job runs all the same.
    }
  };
  return {
    running: (line) => send({ ok: true, line }),
    failed(error) {
      const known = explain(error);
      if (known === null) {
        const { message, stack = message } = error instanceof Error ? error : new Error(String(error));
        send({ ok: false, code: INTERNAL, message, stack: stack.slice(0, MAX_STACK) });
        return EXIT_INTERNAL;
      }
      const { code, message, hint } = known;
      send({ ok: false, code, message, ...(hint === undefined ? {} : { hint }) });
      return exitCodeOf(code);
    },
  };
}

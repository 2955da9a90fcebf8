/**
 * The only place where errors become exit codes.
 *
 * `cairn run` and `cairn restart` end with the status of the program, so Cairn's own codes come from sysexits.h, which
 * few programs use, and never collide with the codes below 64 that most do.
 */
import type { ErrorCode } from "../base/errors.ts";

export const EXIT_OK = 0;
/** EX_SOFTWARE: a defect of Cairn. */
export const EXIT_INTERNAL = 70;
/** As every shell does: found, but cannot be executed. */
export const EXIT_NOT_EXECUTABLE = 126;
/** As every shell does: no such command. */
export const EXIT_COMMAND_NOT_FOUND = 127;

const exitCodes: Readonly<Record<ErrorCode, number>> = {
  usage: 64,
  damaged: 65,
  "not-found": 66,
  changed: 67,
  exited: 68,
  unsupported: 69,
  syscall: 71,
  incompatible: 72,
  io: 74,
  conflict: 75,
  permission: 77,
  interrupted: 130,
};

const meanings: Readonly<Record<ErrorCode, string>> = {
  usage: "the command line is wrong",
  damaged: "an image or the store fails its checks",
  "not-found": "no such job, checkpoint or process",
  changed: "a file or the machine differs from what the checkpoint saw",
  exited: "the process has ended",
  unsupported: "the job has something that cannot be saved; it runs on undisturbed",
  syscall: "the system refused something that should have worked",
  incompatible: "the image is of another format, architecture or processor",
  io: "cannot read or write: disk full, or a failing device",
  conflict: "the name or a pid is taken, the job still runs, or another checkpoint is under way",
  permission: "the system does not let this user do it",
  interrupted: "stopped by Ctrl-C",
};

export function exitCodeOf(code: ErrorCode): number {
  return exitCodes[code];
}

/** The text of `cairn help exit-codes`. */
export function exitCodesHelp(): string {
  const rows: [number, string][] = [
    [EXIT_OK, "done"],
    ...Object.entries(exitCodes).map(([code, exit]): [number, string] => [exit, meanings[code as ErrorCode]]),
    [EXIT_INTERNAL, "internal error of Cairn; a report is written"],
    [EXIT_NOT_EXECUTABLE, "run: the command was found but cannot be executed"],
    [EXIT_COMMAND_NOT_FOUND, "run: no such command"],
  ];
  const lines = rows.toSorted((a, b) => a[0] - b[0]).map(([exit, meaning]) => `  ${String(exit).padStart(3)}  ${meaning}`);
  return [
    "Exit codes",
    "",
    ...lines,
    "",
    "cairn run and cairn restart end exactly as the program does: with its exit status, or killed by the same",
    "signal, which a shell reports as 128 + signal. The codes above then mean that the program was not started.",
    "",
  ].join("\n");
}

/** The error whose exit code `status` is; undefined for any other status. */
export function errorCodeOf(status: number): ErrorCode | undefined {
  return (Object.keys(exitCodes) as ErrorCode[]).find((code) => exitCodes[code] === status);
}

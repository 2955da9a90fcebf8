/** Names of jobs, and of checkpoints as users type them: `NAME` or `NAME@N`. */
import { CairnError } from "../base/errors.ts";

const MAX_LENGTH = 64;
const JOB_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/;
const RULE = "Use 1 to 64 letters, digits, dots, underscores and hyphens, not starting with a dot or a hyphen";

/** A name of digits only would be taken for a pid where either can be given. */
export function isJobName(name: string): boolean {
  return JOB_NAME.test(name) && !/^[0-9]+$/.test(name);
}

export function checkJobName(name: string): void {
  if (isJobName(name)) return;
  const digits = /^[0-9]+$/.test(name);
  throw new CairnError("usage", `${JSON.stringify(name)} cannot be the name of a job`, {
    data: { name },
    hint: digits ? "Add a letter: a number alone would be taken for a process" : RULE,
  });
}

/** A name for a job from its command: `python3`, and `python3-2` when that is taken. */
export function freshJobName(base: string, isTaken: (name: string) => boolean): string {
  const stem = jobNameFrom(base);
  if (!isTaken(stem)) return stem;
  for (let count = 2; ; count++) {
    const suffix = `-${count}`;
    const name = stem.slice(0, MAX_LENGTH - suffix.length) + suffix;
    if (!isTaken(name)) return name;
  }
}

function jobNameFrom(base: string): string {
  const file = base.split("/").findLast((part) => part !== "") ?? "";
  const cleaned = file
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[.-]+/, "")
    .slice(0, MAX_LENGTH)
    .replace(/-+$/, "");
  if (isJobName(cleaned)) return cleaned;
  return cleaned === "" ? "job" : `job-${cleaned}`.slice(0, MAX_LENGTH);
}

export interface CheckpointName {
  readonly job: string;
  /** Absent: the newest. */
  readonly number?: number;
}

/** Reads `NAME` or `NAME@N`. Errors: `usage`. */
export function parseCheckpointName(text: string): CheckpointName {
  const [job = "", number, ...rest] = text.split("@");
  if (number === undefined) return { job };
  if (rest.length > 0 || !/^[1-9][0-9]{0,8}$/.test(number)) {
    throw new CairnError("usage", `${JSON.stringify(text)} names no checkpoint`, {
      data: { text },
      hint: `Write the job's name, @, and a checkpoint's number, like ${isJobName(job) ? job : "NAME"}@3`,
    });
  }
  return { job, number: Number(number) };
}

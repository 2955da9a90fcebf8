/** How a file differs from what the checkpoint saw of it. */
import type { BigIntStats } from "node:fs";
import type { FileIdentity } from "../image/mod.ts";

const NS_PER_MS = 1_000_000n;
const NS_PER_SECOND = 1_000_000_000n;

export function isUnchanged(then: FileIdentity, now: BigIntStats): boolean {
  return Number(now.size) === then.sizeBytes && now.mtimeNs.toString() === then.mtimeNs;
}

/** In words; precondition: it has changed. */
export function describeChange(then: FileIdentity, now: BigIntStats): string {
  if (Number(now.size) !== then.sizeBytes) return `${then.sizeBytes} bytes then, ${now.size} bytes now`;
  return `the same length, but modified at ${moment(BigInt(then.mtimeNs))} then, at ${moment(now.mtimeNs)} now`;
}

/** To the nanosecond: a file may be written twice in one second. */
function moment(ns: bigint): string {
  const seconds = new Date(Number(ns / NS_PER_MS)).toISOString().slice(0, -".000Z".length);
  return `${seconds}.${(ns % NS_PER_SECOND).toString().padStart(9, "0")}Z`;
}

/** A program that may be in the suite: it is there, or the machine lacks what it needs. */
import { copyFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Place } from "./place.ts";
import type { Program } from "./program.ts";
import { findTool, PROGRAMS } from "./programs.ts";

export type Candidate = { readonly program: Program } | { readonly name: string; readonly missing: string };

export const missing = (name: string, tool: string): Candidate => ({ name, missing: `no ${tool} on this machine` });

/** Copies a source into the place, so that every run is of a file of its own, and returns its name there. */
export function bring(place: Place, source: string): string {
  const name = basename(source);
  copyFileSync(join(PROGRAMS, "apps", source), place.path(name));
  return name;
}

/** The first of `tools` that is not on this machine. */
export const firstAbsent = (tools: readonly string[]): string | undefined => tools.find((tool) => findTool(tool) === undefined);

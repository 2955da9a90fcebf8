/** Programs that people have open all day, or leave to themselves: servers, builds, filters over large files, terminals. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bring, firstAbsent, missing, type Candidate } from "./candidate.ts";
import type { Place } from "./place.ts";
import { buildFolder, findTool, works } from "./programs.ts";

const isRoot = process.getuid?.() === 0;

/** Whom a server is that refuses to be root: the same user that runs the suite for the second time. */
const NOBODY = 65534;

const POSTGRES = "/usr/lib/postgresql/15/bin";

/** Those of `pgbench -i`, a statement for each line. */
const TABLES = `create table pgbench_accounts (aid integer primary key, bid integer, abalance integer, filler char(84))
create table pgbench_branches (bid integer primary key, bbalance integer, filler char(88))
create table pgbench_tellers (tid integer primary key, bid integer, tbalance integer, filler char(84))
create table pgbench_history (tid integer, bid integer, aid integer, delta integer, mtime timestamp, filler char(22))
create table noted (number integer primary key, text text)
insert into pgbench_branches values (1, 0)
insert into pgbench_tellers select number, 1, 0 from generate_series(1, 10) as number
insert into pgbench_accounts select number, 1, 0, '' from generate_series(1, 100000) as number
`;

/** Each has one answer; that transactions were lost or done twice would show in all of them. */
const QUESTIONS = [
  "select count(*) || ' noted, ' || sum(number) || ' ' || sum(hashtext(text)) from noted",
  "select count(*) || ' accounts, ' || sum(abalance) || ' ' || sum(hashint4(aid) # hashint4(abalance)) from pgbench_accounts",
  "select count(*) || ' tellers, ' || sum(tbalance) || ' ' || sum(hashint4(tid) # hashint4(tbalance)) from pgbench_tellers",
  "select count(*) || ' branches, ' || sum(bbalance) || ' ' || sum(hashint4(bid) # hashint4(bbalance)) from pgbench_branches",
  "select count(*) || ' in the history, ' || sum(delta) || ' ' || sum(hashint4(aid) # hashint4(delta)) from pgbench_history",
];

/** What the server had said is what another one finds that has nothing but its files, as they were left by a crash. */
function expectSameAfterCrash(place: Place): void {
  const data = join(place.root, "data-after-crash");
  copyFolder(place.path("data"), data);
  const said = askAlone(data, "bench", QUESTIONS.map((question) => `${question}\n`).join(""));
  rmSync(data, { recursive: true });
  const answers = [...said.matchAll(/1: \S+ = "(.*)"/g)].map((match) => match[1] ?? "");
  assert.equal(answers.length, QUESTIONS.length, said);
  assert.ok(place.read("out").includes(answers.join("\n")), `after a crash: ${answers.join("\n")}\nbefore it: ${place.read("out")}`);
}

function postgresTool(name: string, folder: string, argv: readonly string[], input = ""): string {
  const owner = isRoot ? { uid: NOBODY, gid: NOBODY } : {};
  return execFileSync(join(POSTGRES, name), argv, { cwd: folder, input, encoding: "utf8", stdio: ["pipe", "pipe", "ignore"], ...owner });
}

/** What a server says that runs for these questions alone, without sockets. It is the first to find the data after a crash. */
function askAlone(data: string, database: string, input: string): string {
  return postgresTool("postgres", data, ["--single", "-F", "-D", data, database], input);
}

/** A database with pgbench's tables, made once: the same for every run. */
function databaseTemplate(): string {
  const template = join(buildFolder(), `postgresql-15-${createHash("sha256").update(TABLES).digest("hex").slice(0, 16)}`);
  if (existsSync(template)) return template;
  const folder = mkdtempSync(join(tmpdir(), "cairn-postgresql-"));
  const data = join(folder, "data");
  try {
    if (isRoot) chownSync(folder, NOBODY, NOBODY);
    postgresTool("initdb", folder, ["-D", data, "-U", "owner", "-A", "trust", "-N", "--no-locale", "-E", "UTF8", "--wal-segsize=1"]);
    askAlone(data, "postgres", "create database bench\n");
    askAlone(data, "bench", TABLES);
    // The log of all that need not be copied for every run.
    postgresTool("pg_resetwal", folder, ["-D", data]);
    const partial = `${template}.${process.pid}`;
    copyFolder(data, partial);
    try {
      renameSync(partial, template);
    } catch {
      rmSync(partial, { recursive: true });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return template;
}

/** With owners, which Node's own copy leaves out. */
function copyFolder(from: string, to: string): void {
  execFileSync("cp", ["-a", from, to]);
}

function postgres(): Candidate {
  const python = findTool("python3");
  if (python === undefined) return missing("postgres", "python3");
  if (!existsSync(join(POSTGRES, "postgres"))) return missing("postgres", "PostgreSQL 15");
  return {
    program: {
      name: "postgres",
      progress: ["log"],
      cuts: 5,
      ignored: ["data", "server.log", "pgbench.log"],
      prepare: (place) => {
        copyFolder(databaseTemplate(), place.path("data"));
        // The server's user has to come as far as its folder.
        if (isRoot) chmodSync(place.root, 0o711);
        return [python, bring(place, "postgres.py"), "600", POSTGRES, String(NOBODY), ...QUESTIONS];
      },
      examine: expectSameAfterCrash,
    },
  };
}

const SOURCES = 14;

/** A file of C whose functions keep a compiler busy for a tenth of a second. */
function sourceOf(file: number): string {
  const numbers = Array.from({ length: 16 }, (_, index) => index);
  const functions = numbers.map(
    (index) => `static unsigned step_${index}(unsigned x, unsigned *table) {
  for (unsigned k = 0; k < ${index + 5}; k++) { x = x * ${2 * index * file + 69069}u + table[(x ^ k) % 64]; table[k % 64] ^= x >> ${(index % 13) + 1}; }
  switch (x % 4) { case 0: return x ^ ${index * 7919}u; case 1: return limit_${file}(x); default: return x - ${file}u; }
}`,
  );
  return `#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "all.h"
${functions.join("\n")}
unsigned file_${file}(unsigned x) {
  unsigned table[64];
  memset(table, ${file}, sizeof table);
  ${numbers.map((index) => `x = step_${index}(x, table);`).join(" ")}
  return x;
}
`;
}

function writeSources(folder: string): void {
  mkdirSync(folder);
  const files = Array.from({ length: SOURCES }, (_, index) => index + 1);
  for (const file of files) writeFileSync(join(folder, `file_${file}.c`), sourceOf(file));
  const declarations = files.map(
    (file) => `unsigned file_${file}(unsigned x);\nstatic inline unsigned limit_${file}(unsigned x) { return x % ${file + 3}; }\n`,
  );
  writeFileSync(join(folder, "all.h"), declarations.join(""));
  const calls = files.map((file) => `  printf("${file} %08x\\n", x = file_${file}(x));\n`);
  writeFileSync(
    join(folder, "main.c"),
    `#include <stdio.h>\n#include "all.h"\nint main(void) {\n  unsigned x = 1;\n${calls.join("")}  return 0;\n}\n`,
  );
}

/**
 * What it makes after a checkpoint is nothing that the checkpoint knows: a result that was half written when a crash came would be
 * taken for a finished one, and temporary files of the compiler are closed for a moment between two of its programs.
 */
function build(): Candidate {
  const [make, compiler] = [findTool("make"), findTool("gcc")];
  if (make === undefined || compiler === undefined) return missing("make", make === undefined ? "make" : "gcc");
  return {
    program: {
      name: "make",
      progress: Array.from({ length: SOURCES }, (_, index) => `file_${index + 1}.o`),
      cuts: 5,
      stopped: true,
      ignored: ["temporary"],
      prepare: (place) => {
        writeSources(place.path("source"));
        mkdirSync(place.path("temporary"));
        return [make, "-s", "-j4", "-f", bring(place, "Makefile"), `CC=${compiler}`, `TMPDIR=${place.path("temporary")}`];
      },
    },
  };
}

/** Temporary files that are closed, and gone when they have been merged: only a checkpoint that ends the job has them for sure. */
function sorting(): Candidate {
  const absent = firstAbsent(["awk", "sort", "perl"]);
  if (absent !== undefined) return missing("sort", absent);
  return {
    program: {
      name: "sort",
      progress: ["made.txt", "sorted.txt"],
      cuts: 5,
      stopped: true,
      prepare: (place) => ["sh", bring(place, "sorting.sh"), "400000"],
    },
  };
}

function editing(): Candidate {
  const editor = findTool("vim.tiny");
  if (editor === undefined || findTool("tmux") === undefined) return missing("tmux", editor === undefined ? "vim.tiny" : "tmux");
  return {
    program: {
      name: "tmux",
      progress: ["log"],
      cuts: 5,
      environment: { LC_ALL: "C.UTF-8", TERM: "xterm", SHELL: "/bin/sh", TMUX: "" },
      prepare: (place) => ["sh", bring(place, "editing.sh"), editor, "110"],
    },
  };
}

function notebook(): Candidate {
  const python = findTool("python3");
  if (python === undefined || !works(python, "-c", "import ipykernel, jupyter_client")) return missing("jupyter", "Jupyter kernel");
  return {
    program: {
      name: "jupyter",
      progress: ["log"],
      cuts: 4,
      ignored: ["ipython", "kernel.log", "kernel.json"],
      // A note of its debugger's, on standard error, about this Python.
      environment: { PYDEVD_DISABLE_FILE_VALIDATION: "1" },
      prepare: (place) => [python, bring(place, "notebook.py"), "80"],
    },
  };
}

export function everydayPrograms(): Candidate[] {
  return [postgres(), build(), sorting(), editing(), notebook()];
}

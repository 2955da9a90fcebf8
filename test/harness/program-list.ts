/** The real programs of the suite: each computes for some seconds and tells how far it is in a file that grows. */
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, linkSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { bring, missing, type Candidate } from "./candidate.ts";
import { buildFolder, compile, findTool, works } from "./programs.ts";
import { seededRandom } from "./random.ts";

function interpreted(name: string, tools: readonly string[], source: string, progress: readonly string[]): Candidate {
  const tool = tools.map(findTool).find((path) => path !== undefined);
  if (tool === undefined) return missing(name, tools[0] ?? name);
  return { program: { name, progress, prepare: (place) => [tool, bring(place, source)] } };
}

function compiledC(
  name: string,
  source: string,
  flags: readonly string[],
  argv: readonly string[],
  progress: readonly string[],
): Candidate {
  const compiler = findTool("gcc") ?? findTool("cc");
  if (compiler === undefined) return missing(name, "C compiler");
  return {
    program: {
      name,
      progress,
      prepare: () => [compile(`apps/${source}`, [compiler, "-O2", "-Wall", "-pthread", "-o", "OUT/program", source, ...flags]), ...argv],
    },
  };
}

/** Text that compresses about as well as a log does; the same bytes on every machine. */
function sampleText(megabytes: number): string {
  const path = join(buildFolder(), `sample-${megabytes}.txt`);
  if (existsSync(path)) return path;
  const random = seededRandom(5);
  const words = Array.from({ length: 5000 }, () => random.whole(2 ** 32).toString(16));
  const lines: string[] = [];
  for (let bytes = 0; bytes < megabytes * 1e6; bytes += (lines.at(-1) ?? "").length + 1) {
    lines.push(Array.from({ length: 12 }, () => words[Math.min(random.whole(5000), random.whole(5000))]).join(" "));
  }
  const partial = `${path}.${process.pid}`;
  writeFileSync(partial, `${lines.join("\n")}\n`);
  renameSync(partial, path);
  return path;
}

function compressor(tool: string, megabytes: number, options: readonly string[], suffix: string): Candidate {
  const path = findTool(tool);
  if (path === undefined) return missing(tool, tool);
  return {
    program: {
      name: tool,
      progress: [`data${suffix}`],
      prepare: (place) => {
        const sample = sampleText(megabytes);
        // A link where the place is on the same file system: copying would only cost time.
        try {
          linkSync(sample, place.path("data"));
        } catch {
          copyFileSync(sample, place.path("data"));
        }
        return [path, ...options, "-f", "-k", "data"];
      },
      examine: (place) => {
        const back = execFileSync(path, ["-dc", place.path(`data${suffix}`)], { maxBuffer: 1 << 30 });
        const hash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
        assert.equal(hash(back), hash(readFileSync(place.path("data"))), `${tool} -d gives back something else`);
      },
    },
  };
}

/** Four ranks on this host, by one MPI library over one transport. */
function ranks(name: string, compiler: string, runner: string, options: readonly string[]): Candidate {
  const absent = [compiler, runner].find((tool) => findTool(tool) === undefined);
  if (absent !== undefined) return missing(name, absent);
  // An ordinary user waits for up to a minute at each restart until the ports of mpirun are free.
  if (process.getuid?.() !== 0) return { name, missing: "needs root" };
  return {
    program: {
      name,
      progress: ["log"],
      cuts: 4,
      environment: { OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1", OMPI_MCA_rmaps_base_oversubscribe: "1" },
      prepare: () => [runner, "-np", "4", ...options, compile("apps/ring.c", [compiler, "-O1", "-o", "OUT/program", "ring.c"]), "300"],
    },
  };
}

/** A Python program that keeps a log, and needs `tools` besides. */
function drivenByPython(
  name: string,
  source: string,
  rounds: number,
  tools: readonly string[] = [],
  ignored: readonly string[] = [],
): Candidate {
  const python = findTool("python3");
  const absent = ["python3", ...tools].find((tool) => findTool(tool) === undefined);
  if (python === undefined || absent !== undefined) return missing(name, absent ?? "python3");
  return { program: { name, progress: ["log"], cuts: 5, ignored, prepare: (place) => [python, bring(place, source), String(rounds)] } };
}

let transactionText: string | undefined;

/** One transaction of many inserts and updates with a small cache, so that pages of it reach the disk before the commit. */
function transaction(): string {
  if (transactionText !== undefined) return transactionText;
  const random = seededRandom(9);
  const lines = [
    "pragma cache_size = 100;",
    "create table item (id integer primary key, name text, amount integer);",
    "create index by_name on item (name);",
    "begin;",
  ];
  for (let id = 1; id <= 100_000; id++) {
    const name = random
      .whole(2 ** 32)
      .toString(36)
      .repeat(6);
    lines.push(`insert into item values (${id}, '${name}', ${random.whole(1_000_000)});`);
    if (id % 2 === 0) lines.push(`update item set amount = amount + ${id}, name = name || 'x' where id = ${1 + random.whole(id)};`);
    if (id % 250 === 0) lines.push(`.print ${`row ${id} `.repeat(40)}`);
  }
  lines.push("commit;", "select count(*), sum(amount) from item;");
  transactionText = `${lines.join("\n")}\n`;
  return transactionText;
}

function database(): Candidate {
  const tool = findTool("sqlite3");
  if (tool === undefined) return missing("sqlite3", "sqlite3");
  return {
    program: {
      name: "sqlite3",
      progress: ["out"],
      stdin: "transaction.sql",
      prepare: (place) => {
        writeFileSync(place.path("transaction.sql"), transaction());
        return [tool, "-batch", "test.db"];
      },
      examine: (place) => {
        assert.equal(execFileSync(tool, [place.path("test.db"), "pragma integrity_check"], { encoding: "utf8" }), "ok\n");
      },
    },
  };
}

function conversation(): Candidate {
  const compiler = findTool("gcc") ?? findTool("cc");
  const bc = findTool("bc");
  if (compiler === undefined) return missing("bc", "C compiler");
  if (bc === undefined) return missing("bc", "bc");
  return {
    program: {
      name: "bc",
      progress: ["log.txt"],
      prepare: () => [compile("apps/converse.c", [compiler, "-O1", "-Wall", "-o", "OUT/program", "converse.c", "-lutil"]), bc, "-q"],
    },
  };
}

/** `script` makes the terminal that the program runs on and copies what it says. */
function typescript(): Candidate {
  const script = findTool("script");
  if (script === undefined) return missing("script", "script (util-linux)");
  return {
    program: {
      name: "script",
      progress: ["log.txt"],
      // The copy's first and last line have the time of day in them.
      prepare: () => [
        script,
        "-q",
        "-e",
        "-c",
        "stty -a | head -1 | cut -d' ' -f1; exec 3>log.txt; i=0; while [ $i -lt 250 ]; do i=$((i+1)); echo line $i; echo $i >&3; sleep 0.008; done; exit 4",
        "/dev/null",
      ],
    },
  };
}

function java(): Candidate {
  const [runtime, compiler] = [findTool("java"), findTool("javac")];
  if (runtime === undefined || compiler === undefined) return missing("java", runtime === undefined ? "java" : "javac");
  if (!works(runtime, "-version")) return missing("java", "java that runs");
  return {
    program: {
      name: "java",
      progress: ["log.txt"],
      prepare: () => {
        const classes = dirname(compile("apps/Tasks.java", [compiler, "-d", "OUT", "Tasks.java"], "Tasks.class"));
        return [runtime, "-Xmx128m", "-cp", classes, "Tasks"];
      },
    },
  };
}

function compiledBy(name: string, tool: string, source: string, command: (path: string) => readonly string[], environment = {}): Candidate {
  const path = findTool(tool);
  if (path === undefined) return missing(name, tool);
  // A version manager's stand-in is on the path even where it stands for nothing.
  if (!works(path, name === "go" ? "version" : "--version")) return missing(name, `${tool} that runs`);
  return { program: { name, progress: ["log.txt"], environment, prepare: () => [compile(source, command(path))] } };
}

/** Shells, tools, and programs in C. */
export function toolPrograms(): Candidate[] {
  return [
    interpreted("python", ["python3"], "count.py", ["log.txt"]),
    compiledC("threads", "workers.c", [], ["400", "900"], ["out"]),
    compiledC("static-threads", "workers.c", ["-static"], ["250", "900"], ["out"]),
    compiledC("bare", "bare.c", ["-nostdlib", "-static", "-fno-stack-protector"], [], ["out"]),
    interpreted("pipeline", ["sh"], "pipeline.sh", ["progress", "thousands.txt"]),
    interpreted("dash-jobs", ["dash", "sh"], "jobs.sh", ["worker-1.log"]),
    interpreted("bash-jobs", ["bash"], "jobs.sh", ["worker-1.log"]),
    database(),
    compressor("gzip", 30, ["-9", "-n"], ".gz"),
    compressor("xz", 16, ["-0", "-T2"], ".xz"),
    conversation(),
    typescript(),
  ];
}

/** Languages with a run-time system of their own, and programs that talk to one another through sockets. */
export function languagePrograms(): Candidate[] {
  return [
    { program: { name: "node", progress: ["log.txt"], prepare: (place) => [process.execPath, bring(place, "tasks.mjs")] } },
    java(),
    compiledBy("go", "go", "apps/tasks.go", (go) => [go, "build", "-o", "OUT/program", "tasks.go"]),
    compiledBy("rust", "rustc", "apps/tasks.rs", (rustc) => [rustc, "-O", "-o", "OUT/program", "tasks.rs"]),
    drivenByPython("python-network", "network.py", 900),
    drivenByPython("redis", "redis.py", 6000, ["redis-server"], ["appendonlydir", "redis.log"]),
    {
      program: {
        name: "node-network",
        progress: ["log.txt"],
        cuts: 5,
        prepare: (place) => [process.execPath, bring(place, "network.mjs"), "1500"],
      },
    },
    ranks("open-mpi", "mpicc.openmpi", "mpirun.openmpi", []),
    ranks("open-mpi-tcp", "mpicc.openmpi", "mpirun.openmpi", ["--mca", "btl", "tcp,self"]),
    ranks("mpich", "mpicc.mpich", "mpirun.mpich", []),
  ];
}

/**
 * A place is where one test lives: a folder with a store and a work folder of its own, and a tag by which every process
 * that the test starts is found again. When the test ends, whatever is left is killed by pid and the folder removed.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isOver, killIfAlive, taggedProcesses, TAG_VARIABLE, type ProcessFacts } from "./processes.ts";
import { until } from "./wait.ts";

export const REPOSITORY = fileURLToPath(new URL("../../", import.meta.url));
export const CAIRN = process.env["CAIRN_BIN"] ?? join(REPOSITORY, "bin/cairn");

/** Set to see whether the fixtures themselves are right: they run without Cairn, and no cut is made. */
export const withoutEngine = process.env["CAIRN_TEST_WITHOUT_ENGINE"] === "1";

export interface Outcome {
  /** The exit status as a shell has it: 128+signal when killed. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface SpawnOptions {
  /** A path to read from; nothing (/dev/null) by default. */
  readonly stdin?: string;
  /** Paths that are made anew and written to; collected in the place's own files by default. */
  readonly stdout?: string;
  readonly stderr?: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly stdoutPath: string;
  readonly stderrPath: string;
  readonly ended: Promise<Outcome>;
  /** Does nothing once it has ended: its pid may be another process's by then. */
  readonly signal: (signal: NodeJS.Signals) => void;
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGSYS: 31,
};

export class Place implements AsyncDisposable {
  readonly tag = randomUUID();
  readonly root: string;
  readonly store: string;
  readonly work: string;
  #count = 0;

  constructor() {
    this.root = mkdtempSync(join(tmpdir(), "cairn-test-"));
    this.store = join(this.root, "store");
    this.work = join(this.root, "work");
    mkdirSync(this.work);
  }

  path(name: string): string {
    return join(this.work, name);
  }

  read(name: string): string {
    return existsSync(this.path(name)) ? readFileSync(this.path(name), "utf8") : "";
  }

  /** Starts a program with the tag, its standard streams on files: a job must not hold a pipe of the test's. */
  start(command: string, argv: readonly string[], options: SpawnOptions = {}): Started {
    const label = `${++this.#count}`;
    const stdoutPath = options.stdout ?? join(this.root, `${label}.out`);
    const stderrPath = options.stderr ?? join(this.root, `${label}.err`);
    const streams = [openSync(options.stdin ?? "/dev/null", "r"), openSync(stdoutPath, "w"), openSync(stderrPath, "a")] as const;
    const environment: NodeJS.ProcessEnv = { ...process.env, CAIRN_STORE: this.store, [TAG_VARIABLE]: this.tag, ...options.environment };
    for (const [key, value] of Object.entries(environment)) if (value === undefined) delete environment[key];
    let child: ChildProcess;
    try {
      child = spawn(command, [...argv], { cwd: options.cwd ?? this.work, env: environment, stdio: [...streams] });
    } finally {
      for (const stream of streams) closeSync(stream);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      const read = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");
      resolve({
        status: code ?? 128 + (SIGNALS[signal ?? ""] ?? 0),
        stdout: read(stdoutPath),
        stderr: read(stderrPath),
      });
    });
    // A test that fails before it awaits the end must report its own failure, not an unhandled rejection.
    promise.catch(() => {});
    return { child, pid: child.pid ?? 0, stdoutPath, stderrPath, ended: promise, signal: (signal) => void child.kill(signal) };
  }

  startCairn(argv: readonly string[], options: SpawnOptions = {}): Started {
    return this.start(CAIRN, argv, options);
  }

  /** Runs one cairn command to its end. */
  async cairn(argv: readonly string[], options: SpawnOptions = {}): Promise<Outcome> {
    const started = this.startCairn(argv, options);
    let ended = false;
    void started.ended.then(() => (ended = true));
    await until(`cairn ${argv.join(" ")} ends`, () => ended);
    return started.ended;
  }

  processes(): ProcessFacts[] {
    return taggedProcesses(this.tag);
  }

  /** Processes that still run: zombies that nobody has reaped yet are no longer anyone's. */
  living(): ProcessFacts[] {
    return this.processes().filter((one) => !isOver(one));
  }

  async killEverything(): Promise<void> {
    await until("every process of the test is gone", () => {
      const left = this.living();
      for (const { pid } of left) killIfAlive(pid);
      return left.length === 0;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.killEverything();
    if (process.env["CAIRN_TEST_KEEP"] === "1") return;
    rmSync(this.root, { recursive: true, force: true, maxRetries: 3 });
  }
}

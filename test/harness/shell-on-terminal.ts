/** An interactive shell on a pseudo-terminal of the test's own: keys go in, the screen's text comes out. */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { CAIRN } from "./place.ts";
import type { Place } from "./place.ts";
import { TAG_VARIABLE } from "./processes.ts";
import { until } from "./wait.ts";
import { SYSCALLS } from "../../src/kernel/abi/x86-64/syscalls.ts";
import { addressOf } from "../../src/kernel/memory-ffi.ts";
import { systemCall } from "../../src/kernel/syscall-ffi.ts";

const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;
const TIOCSWINSZ = 0x5414;

export const CTRL_C = "\u0003";
export const CTRL_D = "\u0004";
export const CTRL_Z = "\u001a";
export const CTRL_BACKSLASH = "\u001c";

/** What the shell prints when it is ready for a command: nothing else prints it. */
const PROMPT = "%%% ";

export class ShellOnTerminal implements Disposable {
  readonly shell: ChildProcess;
  readonly #master: number;
  readonly #slave: number;
  #text = "";
  /** How much of the text has been looked at by `sees`. */
  #seen = 0;

  private constructor(place: Place) {
    const { O_RDWR, O_NOCTTY, O_NONBLOCK } = constants;
    this.#master = openSync("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
    const word = Buffer.alloc(64);
    systemCall(SYSCALLS.ioctl, this.#master, TIOCSPTLCK, addressOf(word));
    systemCall(SYSCALLS.ioctl, this.#master, TIOCGPTN, addressOf(word));
    const path = `/dev/pts/${word.readUInt32LE(0)}`;
    this.#slave = openSync(path, O_RDWR | O_NOCTTY);
    this.resize(30, 100);
    // setsid -c makes its standard input the controlling terminal.
    this.shell = spawn("setsid", ["-c", "-w", "bash", "--norc", "--noprofile", "-i"], {
      cwd: place.work,
      stdio: [this.#slave, this.#slave, this.#slave],
      env: {
        ...process.env,
        PATH: `${dirname(CAIRN)}:${process.env["PATH"] ?? "/usr/bin:/bin"}`,
        CAIRN_STORE: place.store,
        PS1: PROMPT,
        // No line editing to speak of: what is typed is echoed as it is.
        TERM: "dumb",
        [TAG_VARIABLE]: place.tag,
      },
    });
  }

  static async start(place: Place): Promise<ShellOnTerminal> {
    const shell = new ShellOnTerminal(place);
    await shell.sees(PROMPT);
    shell.types("unset HISTFILE; bind 'set enable-bracketed-paste off' 2>/dev/null\n");
    await shell.prompts();
    return shell;
  }

  resize(rows: number, columns: number): void {
    const size = Buffer.alloc(64);
    size.writeUInt16LE(rows, 0);
    size.writeUInt16LE(columns, 2);
    systemCall(SYSCALLS.ioctl, this.#master, TIOCSWINSZ, addressOf(size));
  }

  types(keys: string): void {
    writeSync(this.#master, keys);
  }

  /** Everything so far, with plain line ends. */
  get text(): string {
    this.#read();
    return this.#text;
  }

  /** Waits for text that no earlier call has seen; gives all that came up to it. */
  async sees(wanted: string | RegExp): Promise<string> {
    return until(`the terminal shows ${String(wanted)}; it shows ${JSON.stringify(this.text.slice(-600))}`, () => {
      const fresh = this.text.slice(this.#seen);
      const match = typeof wanted === "string" ? fresh.indexOf(wanted) : fresh.search(wanted);
      if (match < 0) return undefined;
      const length = typeof wanted === "string" ? wanted.length : (wanted.exec(fresh)?.[0].length ?? 0);
      this.#seen += match + length;
      return fresh.slice(0, match + length);
    });
  }

  /** Waits for the shell to be ready again. */
  async prompts(): Promise<string> {
    return this.sees(PROMPT);
  }

  #read(): void {
    const buffer = Buffer.alloc(65536);
    for (;;) {
      let count: number;
      try {
        count = readSync(this.#master, buffer);
      } catch {
        return; // Nothing there now, or nobody on the other side.
      }
      if (count === 0) return;
      this.#text += buffer.toString("utf8", 0, count).replaceAll("\r\n", "\n");
    }
  }

  /** As when its window is closed. */
  hangUp(): void {
    closeSync(this.#slave);
    closeSync(this.#master);
  }

  [Symbol.dispose](): void {
    try {
      this.hangUp();
    } catch {
      // Hung up already.
    }
  }
}

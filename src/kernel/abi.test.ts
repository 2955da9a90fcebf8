import { deepEqual, equal, ok } from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test, type TestContext } from "node:test";
import * as files from "./abi/files.ts";
import * as ioUring from "./abi/io-uring.ts";
import * as ipc from "./abi/ipc.ts";
import type { StructLayout } from "./abi/layout.ts";
import * as memory from "./abi/memory.ts";
import * as processes from "./abi/processes.ts";
import * as tracing from "./abi/tracing.ts";
import * as x86 from "./abi/x86-64/constants.ts";
import * as structs from "./abi/x86-64/structs.ts";
import { SYSCALLS } from "./abi/x86-64/syscalls.ts";
import { ERRNO } from "./errno.ts";
import { SIGNALS } from "./signals.ts";

/** C expressions, and what our data says each is worth. */
type Expectations = ReadonlyMap<string, number>;

/** What the headers of Debian 12 (Linux 6.1) lack: checked where the headers are newer, named where they are not. */
const NEWER_THAN_DEBIAN_12: readonly RegExp[] = [
  /^PTRACE_SET_SYSCALL_(INFO|USER_DISPATCH_CONFIG)$|^PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG$/,
  /^PR_(SET|GET)_(MDWE|MEMORY_MERGE)$|^PR_TIMER_CREATE_RESTORE_IDS/,
  /^MAP_DROPPABLE$|^MADV_GUARD_|^MFD_(NOEXEC_SEAL|EXEC)$|^F_SEAL_EXEC$|^PIDFD_THREAD$/,
  /^IORING_REGISTER_PBUF_STATUS$|^MAP_ABOVE4G$/,
  /^PAGEMAP_SCAN$|^PAGE_IS_|^PM_SCAN_|pm_scan_arg|page_region/,
  /^UFFD_FEATURE_WP_(UNPOPULATED|ASYNC)$/,
  /^NT_X86_SHSTK$|^ARCH_SHSTK_|^AT_RSEQ_/,
  /struct rseq, (node_id|mm_cid)|struct rseq \*\)0\)->(node_id|mm_cid)/,
  /^__NR_(uretprobe|uprobe|cachestat|fchmodat2|map_shadow_stack|futex_(wake|wait|requeue)|statmount|listmount|lsm_\w+|mseal|\w+xattrat|open_tree_attr|file_[gs]etattr)$/,
];

/** The exports of a module that are numbers. */
function numbersOf(module: Readonly<Record<string, unknown>>): Map<string, number> {
  return new Map(Object.entries(module).filter((entry): entry is [string, number] => typeof entry[1] === "number"));
}

function layoutsOf(module: Readonly<Record<string, unknown>>): StructLayout[] {
  return Object.values(module).filter((value): value is StructLayout => typeof value === "object" && value !== null && "header" in value);
}

function expectationsOf(layout: StructLayout): Expectations {
  const expected = new Map([[`sizeof(${layout.type})`, layout.bytes]]);
  for (const [field, [offset, bytes]] of Object.entries(layout.fields)) {
    expected.set(`offsetof(${layout.type}, ${field})`, offset);
    expected.set(`sizeof(((${layout.type} *)0)->${field})`, bytes);
  }
  return expected;
}

/**
 * Asks the C compiler what expressions are worth under these headers. Headers of the kernel and of the C library
 * declare the same names, so each group is a program of its own. An expression that does not compile is left out of
 * the program, which is then built again: what the headers lack is missing from the answer.
 */
function askCompiler(folder: string, headers: readonly string[], expressions: readonly string[]): Map<string, number> {
  const source = path.join(folder, "abi.c");
  const program = path.join(folder, "abi");
  const head = [
    "#define _GNU_SOURCE",
    ...headers.map((header) => `#include <${header}>`),
    "int printf(const char *, ...);",
    "int main(void) {",
  ];
  let asked = [...expressions];
  // One round drops all that is missing, a second shows what hid behind it; a compiler that goes on complaining is an error.
  for (let round = 0; round < 4; round++) {
    const lines = asked.map((expression, index) => `printf("%d %lld\\n", ${index}, (long long)(${expression}));`);
    fs.writeFileSync(source, [...head, ...lines, "return 0; }", ""].join("\n"));
    const compiled = spawnSync("gcc", ["-w", "-fmax-errors=0", "-o", program, source], {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C" },
    });
    if (compiled.status === 0) {
      const answers = [...execFileSync(program, { encoding: "utf8" }).matchAll(/^(\d+) (-?\d+)$/gm)];
      return new Map(answers.map(([, index, value]) => [asked[Number(index)] ?? "", Number(value)]));
    }
    const wrong = new Set([...compiled.stderr.matchAll(/abi\.c:(\d+):\d+: error:/g)].map((match) => Number(match[1]) - head.length - 1));
    ok(wrong.size > 0 && [...wrong].every((index) => index >= 0), compiled.stderr);
    asked = asked.filter((_, index) => !wrong.has(index));
  }
  throw new Error(`the compiler accepts no program with ${headers.join(", ")}`);
}

function compare(t: TestContext, headers: readonly string[], expected: Expectations): void {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "cairn-abi-"));
  try {
    const actual = askCompiler(folder, ["stddef.h", "linux/types.h", ...headers], [...expected.keys()]);
    const missing = [...expected.keys()].filter((expression) => !actual.has(expression));
    const unexplained = missing.filter((expression) => !NEWER_THAN_DEBIAN_12.some((newer) => newer.test(expression)));
    deepEqual(unexplained, [], `not in ${headers.join(", ")}`);
    if (missing.length > 0)
      t.diagnostic(`this machine's headers are too old to check ${actual.size === 0 ? missing[0] : missing.join(", ")}`);
    // A header's unsigned 32-bit constant may be a signed int there: compare as the kernel does, in 64 bits or in 32.
    const differing = [...actual].filter(([expression, value]) => {
      const ours = expected.get(expression) ?? Number.NaN;
      return ours !== value && !(value < 0 && ours === value + 2 ** 32);
    });
    deepEqual(differing, [], `differs from ${headers.join(", ")}`);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

function withCompiler(name: string, body: (t: TestContext) => void): void {
  test(name, (t) => {
    if (spawnSync("gcc", ["--version"]).status !== 0) {
      t.skip("there is no C compiler (gcc)");
      return;
    }
    if (process.arch !== "x64") {
      t.skip(`the data is x86-64's, this machine is ${process.arch}`);
      return;
    }
    body(t);
  });
}

withCompiler("system call numbers are those of the system's headers", (t) => {
  const expected = new Map(Object.entries(SYSCALLS).map(([name, number]) => [`__NR_${name}`, number]));
  compare(t, ["asm/unistd_64.h"], expected);
});

withCompiler("every system call of the system's headers has its name", () => {
  const header = execFileSync("gcc", ["-dM", "-E", "-include", "asm/unistd_64.h", "-"], { input: "", encoding: "utf8" });
  const names = [...header.matchAll(/^#define __NR_(\w+) \d+$/gm)].map((match) => match[1] ?? "");
  ok(names.length > 300);
  // A kernel newer than this table may have more at its end; within the table none may be missing.
  const newest = Math.max(...Object.values(SYSCALLS));
  const numbers = new Map([...header.matchAll(/^#define __NR_(\w+) (\d+)$/gm)].map((match) => [match[1] ?? "", Number(match[2])]));
  deepEqual(
    names.filter((name) => !(name in SYSCALLS) && (numbers.get(name) ?? 0) <= newest),
    [],
  );
});

withCompiler("error numbers are those of the system's headers", (t) => compare(t, ["errno.h"], new Map(Object.entries(ERRNO))));

withCompiler("signal numbers are those of the system's headers", (t) => compare(t, ["signal.h"], new Map(Object.entries(SIGNALS))));

withCompiler("constants of tracing are those of the system's headers", (t) =>
  compare(
    t,
    ["linux/ptrace.h", "linux/elf.h", "linux/prctl.h", "linux/kcmp.h", "linux/securebits.h", "linux/capability.h", "linux/seccomp.h"],
    numbersOf(tracing),
  ),
);

withCompiler("constants of memory are those of the system's headers", (t) =>
  compare(t, ["linux/mman.h", "linux/memfd.h", "linux/fs.h", "linux/ioctl.h", "linux/userfaultfd.h"], numbersOf(memory)),
);

withCompiler("constants of processes are those of the system's headers", (t) =>
  compare(
    t,
    [
      "linux/sched.h",
      "linux/ioprio.h",
      "linux/wait.h",
      "linux/pidfd.h",
      "linux/signal.h",
      "linux/time.h",
      "asm/resource.h",
      "linux/rseq.h",
      "linux/personality.h",
      "linux/auxvec.h",
    ],
    numbersOf(processes),
  ),
);

withCompiler("constants of files and terminals are those of the system's headers", (t) =>
  compare(
    t,
    [
      "sys/eventfd.h",
      "sys/stat.h",
      "linux/fcntl.h",
      "linux/fs.h",
      "linux/falloc.h",
      "linux/eventpoll.h",
      "linux/signalfd.h",
      "linux/timerfd.h",
      "linux/ioctl.h",
      "asm/termbits.h",
      "asm/ioctls.h",
    ],
    numbersOf(files),
  ),
);

withCompiler("constants of System V IPC are those of the system's headers", (t) =>
  compare(t, ["linux/ipc.h", "linux/shm.h", "linux/sem.h", "linux/msg.h"], numbersOf(ipc)),
);

withCompiler("constants of io_uring are those of the system's headers", (t) => {
  const { SUBMISSION_BYTES, COMPLETION_BYTES, ...constants } = ioUring;
  const sizes: [string, number][] = [
    ["sizeof(struct io_uring_sqe)", SUBMISSION_BYTES],
    ["sizeof(struct io_uring_cqe)", COMPLETION_BYTES],
  ];
  compare(t, ["linux/io_uring.h"], new Map([...numbersOf(constants), ...sizes]));
});

withCompiler("constants of x86-64 are those of the system's headers", (t) =>
  compare(t, ["linux/fcntl.h", "linux/mman.h", "linux/elf.h", "asm/prctl.h"], numbersOf(x86)),
);

for (const layout of [...layoutsOf(structs), ...layoutsOf(ioUring)]) {
  withCompiler(`${layout.type} is laid out as in ${layout.header}`, (t) => compare(t, [layout.header], expectationsOf(layout)));
}

test("the general registers are 27 words that fill their structure", () => {
  equal(structs.REGISTERS.length, 27);
  equal(structs.USER_REGISTERS.at.gs + 8, structs.USER_REGISTERS.bytes);
});

/**
 * The guard as a program: a static ELF executable that blocks all signals, leaves its session, waits until nobody
 * holds the writing end of a pipe any more, makes system calls one after the other whatever each gives, and ends. One that can hold on
 * makes other calls in their place when a byte comes through the pipe first, and ends when its time is over.
 *
 *     ELF header, one program header (rwx)
 *     calls:    each loads its six arguments and makes the call: always CALL_BYTES; one that depends on the
 *               result of the call before it begins with a jump over itself
 *     data:     what the calls' pointers lead to, in order, each at a multiple of 8
 */
import { SYSCALLS } from "../../kernel/abi/x86-64/syscalls.ts";
import { Assembler } from "./assembler.ts";
import { ELF_HEADER_BYTES, writeElfHeader } from "./keeper-program.ts";

const PR_SET_NAME = 15;
const SIG_SETMASK = 2;
const CALL_BYTES = 6 * 10 + 7;
const SKIP_BYTES = 8;
const POLLIN = 1;
/** movabs of rdi, rsi, rdx, r10, r8, r9 */
const LOADS = [
  [0x48, 0xbf],
  [0x48, 0xbe],
  [0x48, 0xba],
  [0x49, 0xba],
  [0x49, 0xb8],
  [0x49, 0xb9],
] as const;
const BASE_ADDRESS = 0x10000n;

/** An argument is a number, or bytes in the program to which the kernel gets a pointer. */
export interface GuardCall {
  /** Skips the call when nothing can be read from this descriptor: for one that would wait. */
  readonly onlyIfReadable?: number;
  readonly number: number;
  readonly arguments: readonly (number | Uint8Array)[];
}

/** What is done when a byte comes, and for how long the guard then stays. */
export interface Holding {
  readonly calls: readonly GuardCall[];
  readonly forMs: number;
}

export function guardProgram(waitFd: number, calls: readonly GuardCall[], holding?: Holding): Buffer {
  const end: GuardCall = { number: SYSCALLS.exit_group, arguments: [0] };
  const first: GuardCall[] = [
    { number: SYSCALLS.rt_sigprocmask, arguments: [SIG_SETMASK, Buffer.alloc(8, 0xff), 0, 8] },
    { number: SYSCALLS.prctl, arguments: [PR_SET_NAME, Buffer.from("cairn-guard\0")] },
    { number: SYSCALLS.setsid, arguments: [] },
    { number: SYSCALLS.read, arguments: [waitFd, Buffer.alloc(8), 1] },
  ];
  const undoing = [...calls.flatMap((one) => (one.onlyIfReadable === undefined ? [one] : [pollCall(one.onlyIfReadable), one])), end];
  const holds = holding === undefined ? [] : [...holding.calls, { number: SYSCALLS.poll, arguments: [0, 0, holding.forMs] }, end];
  const all = [...first, ...undoing, ...holds];
  const code = new Assembler();
  for (let i = 0; i < ELF_HEADER_BYTES; i += 1) code.emit(0);
  const jumps = all.filter(isConditional).length + (holding === undefined ? 0 : 1);
  let data = ELF_HEADER_BYTES + all.length * CALL_BYTES + jumps * SKIP_BYTES;
  data += (8 - (data % 8)) % 8;
  const placed: Uint8Array[] = [];
  for (const [at, call] of all.entries()) {
    if (holding !== undefined && at === first.length) code.emit(0x85, 0xc0).relative([0x0f, 0x8f], "hold"); // test eax, eax; jg hold
    if (holding !== undefined && at === first.length + undoing.length) code.label("hold");
    if (isConditional(call)) code.emit(0x85, 0xc0, 0x0f, 0x8e).half(CALL_BYTES); // test eax, eax; jle behind the call
    LOADS.forEach((load, index) => {
      const argument = call.arguments[index] ?? 0;
      if (typeof argument === "number") {
        code.emit(...load).word(BigInt.asUintN(64, BigInt(argument)));
        return;
      }
      code.emit(...load).word(BASE_ADDRESS + BigInt(data));
      placed.push(argument);
      data += Math.ceil(argument.length / 8) * 8;
    });
    code.syscall(call.number);
  }
  for (const bytes of placed) code.align(8).emit(...bytes);
  const image = code.align(8).assemble();
  writeElfHeader(image, { baseAddress: BASE_ADDRESS, lengthBytes: Math.ceil(image.length / 4096) * 4096 });
  return image;
}

function isConditional(call: GuardCall): boolean {
  return call.onlyIfReadable !== undefined;
}

function pollCall(fd: number): GuardCall {
  const record = Buffer.alloc(8);
  record.writeInt32LE(fd, 0);
  record.writeInt16LE(POLLIN, 4);
  return { number: SYSCALLS.poll, arguments: [record, 1, 0] };
}

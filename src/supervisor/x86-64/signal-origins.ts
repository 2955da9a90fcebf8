/**
 * Who sent a signal: the terminal (a key, through the kernel) or a process. Node's handlers are not told, and passing a Ctrl-C on
 * to a job that the terminal has sent it to as well would deliver it twice.
 *
 * So a few instructions are put in front of libuv's own handler. They count, for each signal, those that the kernel made and those
 * that processes sent, and jump on:
 *
 *     handler(signal, info, context):
 *         counts[2 * signal + (info->si_code == SI_KERNEL ? 0 : 1)] += 1
 *         jump to libuv's handler
 *
 * Invariant: code and counts stay where they are until the process ends; a handler may run at any time.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { SYSCALLS } from "../../kernel/abi/x86-64/syscalls.ts";
import { addressOf } from "../../kernel/memory-ffi.ts";
import { SIGNAL_COUNT, signalNumber } from "../../kernel/signals.ts";
import { systemCall } from "../../kernel/syscall-ffi.ts";
import { Assembler } from "../../tracee/x86-64/assembler.ts";

const SI_KERNEL = 0x80;
const SA_SIGINFO = 4n;
const PROT_READ_EXEC = 5;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const PAGE_BYTES = 4096;
/** struct kernel_sigaction: handler, flags, restorer, mask, a word each. */
const SIGACTION_BYTES = 32;
const CODE_BYTES = 64;

export interface SignalCounts {
  readonly fromKernel: number;
  readonly fromProcesses: number;
}

export class SignalOrigins {
  readonly #counts: Buffer;

  private constructor(counts: Buffer) {
    this.#counts = counts;
  }

  /**
   * Precondition: Node handles each of the signals already. Null where the system allows no code to be made (SELinux without
   * execmem): then all signals go to Node as before.
   */
  static tryInstall(signals: readonly string[]): SignalOrigins | null {
    const counts = Buffer.alloc(8 * (SIGNAL_COUNT + 1));
    const page = systemCall(SYSCALLS.mmap, 0, PAGE_BYTES, PROT_READ_EXEC, MAP_PRIVATE_ANONYMOUS, -1, 0);
    if (page < 0) return null;
    try {
      signals.forEach((name, index) => putInFront(signalNumber(name) ?? 0, page + index * CODE_BYTES, counts));
    } catch {
      return null;
    }
    return new SignalOrigins(counts);
  }

  /** Of all signals of this kind since the installation. */
  countsOf(name: string): SignalCounts {
    const at = 8 * (signalNumber(name) ?? 0);
    return { fromKernel: this.#counts.readUInt32LE(at), fromProcesses: this.#counts.readUInt32LE(at + 4) };
  }
}

function putInFront(signal: number, codeAddress: number, counts: Buffer): void {
  const action = Buffer.alloc(2 * SIGACTION_BYTES);
  if (systemCall(SYSCALLS.rt_sigaction, signal, 0, addressOf(action), 8) < 0) throw new Error(`no signal ${signal}`);
  const code = countingHandler(addressOf(counts), action.readBigUInt64LE(0));
  // Memory that is executable is not writable; this file writes all the same.
  const memory = openSync("/proc/self/mem", "r+");
  try {
    writeSync(memory, code, 0, code.length, codeAddress);
  } finally {
    closeSync(memory);
  }
  action.writeBigUInt64LE(BigInt(codeAddress), 0);
  action.writeBigUInt64LE(action.readBigUInt64LE(8) | SA_SIGINFO, 8);
  systemCall(SYSCALLS.rt_sigaction, signal, addressOf(action), 0, 8);
}

function countingHandler(counts: bigint, next: bigint): Buffer {
  const code = new Assembler();
  code.emit(0x31, 0xc0); // xor eax, eax
  code.emit(0x81, 0x7e, 0x08).half(SI_KERNEL); // cmp dword [rsi + 8], SI_KERNEL
  code.emit(0x0f, 0x95, 0xc0); // setne al
  code.emit(0x89, 0xf9); // mov ecx, edi
  code.emit(0x48, 0x8d, 0x0c, 0x48); // lea rcx, [rax + rcx * 2]
  code.emit(0x49, 0xb8).word(counts); // mov r8, counts
  code.emit(0xf0, 0x41, 0xff, 0x04, 0x88); // lock inc dword [r8 + rcx * 4]
  code.emit(0x48, 0xb8).word(next); // mov rax, next
  code.emit(0xff, 0xe0); // jmp rax
  return code.assemble();
}

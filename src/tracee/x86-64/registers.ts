/**
 * The general registers of an x86-64 thread: struct user_regs_struct, 27 words in the kernel's order
 * (arch/x86/include/uapi/asm/ptrace.h), seen through names.
 */
const NAMES = [
  "r15",
  "r14",
  "r13",
  "r12",
  "rbp",
  "rbx",
  "r11",
  "r10",
  "r9",
  "r8",
  "rax",
  "rcx",
  "rdx",
  "rsi",
  "rdi",
  "orig_rax",
  "rip",
  "cs",
  "eflags",
  "rsp",
  "ss",
  "fs_base",
  "gs_base",
  "ds",
  "es",
  "fs",
  "gs",
] as const;
export type RegisterName = (typeof NAMES)[number];
export const REGISTER_NAMES: readonly RegisterName[] = NAMES;

const OFFSETS = Object.fromEntries(NAMES.map((name, index) => [name, index * 8])) as Record<RegisterName, number>;
export const REGISTERS_BYTES = NAMES.length * 8;

const NO_SYSCALL = 0xffff_ffff_ffff_ffffn;
const CODE_SEGMENT_64 = 0x33n;

/** A thread's registers; a copy, changed freely and set when wanted. */
export class Registers {
  readonly bytes: Buffer;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.alloc(REGISTERS_BYTES);
    this.bytes.set(bytes.subarray(0, REGISTERS_BYTES));
  }

  get(name: RegisterName): bigint {
    return this.bytes.readBigUInt64LE(OFFSETS[name]);
  }

  set(name: RegisterName, value: bigint): void {
    this.bytes.writeBigUInt64LE(BigInt.asUintN(64, value), OFFSETS[name]);
  }

  copy(): Registers {
    return new Registers(this.bytes);
  }

  /** Whether the thread runs 64-bit code: 32-bit tasks have other system calls and other frames. */
  get is64Bit(): boolean {
    return this.get("cs") === CODE_SEGMENT_64;
  }

  /** The number of the system call that the thread was stopped in; -1 when it was stopped elsewhere. */
  get syscall(): number {
    return Number(BigInt.asIntN(64, this.get("orig_rax")));
  }

  get result(): number {
    return Number(BigInt.asIntN(64, this.get("rax")));
  }

  /** Points the thread at a system call instruction at `instruction` with number and arguments loaded. */
  loadSyscall(instruction: bigint, number: number, args: readonly bigint[]): void {
    this.set("rip", instruction);
    this.set("rax", BigInt(number));
    this.set("orig_rax", NO_SYSCALL);
    const names = ["rdi", "rsi", "rdx", "r10", "r8", "r9"] as const;
    names.forEach((name, index) => this.set(name, args[index] ?? 0n));
  }

  /** Undoes an interrupted system call: the instruction (two bytes) is issued again with `number`. */
  reissueSyscall(number: number): void {
    this.set("rax", BigInt(number));
    this.set("rip", this.get("rip") - 2n);
    this.set("orig_rax", NO_SYSCALL);
  }
}

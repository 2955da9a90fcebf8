/**
 * What seccomp filters say to a system call, found out without making it: a filter is a program without side effects, in classic
 * BPF, over the call's number and arguments (linux/seccomp.h, linux/bpf_common.h, net/core/filter.c).
 *
 *     struct seccomp_data, 64 bytes: number (u32), architecture (u32), instruction pointer (u64), six arguments (u64)
 *     struct sock_filter, 8 bytes: code (u16), jt (u8), jf (u8), k (u32)
 */
import {
  SECCOMP_RET_ACTION_FULL,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_RET_KILL_THREAD,
  SECCOMP_RET_LOG,
  SECCOMP_RET_TRACE,
  SECCOMP_RET_USER_NOTIF,
} from "../kernel/abi/constants.ts";

const DATA_BYTES = 64;
const INSTRUCTION_BYTES = 8;
/** AUDIT_ARCH_X86_64. */
const ARCHITECTURE = 0xc000003e;
const SCRATCH_WORDS = 16;

const [LD, LDX, ST, STX, ALU, JMP, RET] = [0, 1, 2, 3, 4, 5, 6];
const [IMM, ABS, MEM, LEN] = [0x00, 0x20, 0x60, 0x80];
const USES_X = 0x08;
const RETURNS_A = 0x10;
const TXA = 0x80;

export interface FilteredCall {
  readonly number: number;
  readonly arguments: readonly bigint[];
  /** Behind the instruction that makes the call. */
  readonly instruction: bigint;
}

/** `allowed`: it is made. `refused`: it is not, and nothing else happens. `fatal`: a signal, or somebody else is asked. */
export type Verdict = "allowed" | "refused" | "fatal";

/** What a thread under these filters meets that nobody traces. */
export function verdictOf(programs: readonly Buffer[], call: FilteredCall): Verdict {
  if (programs.length === 0) return "allowed";
  const data = encode(call);
  let strictest = SECCOMP_RET_ALLOW;
  // Of several answers the one that counts is the smallest, taken as a signed number.
  for (const program of programs) strictest = Math.min(strictest | 0, (run(program, data) & SECCOMP_RET_ACTION_FULL) | 0);
  if (strictest === SECCOMP_RET_ALLOW || strictest === SECCOMP_RET_LOG) return "allowed";
  // SECCOMP_RET_TRACE without a tracer that wants to know is ENOSYS.
  return strictest === SECCOMP_RET_ERRNO || strictest === SECCOMP_RET_TRACE ? "refused" : "fatal";
}

/** Whether the filter may ask another process (SECCOMP_RET_USER_NOTIF), as far as its constants tell. */
export function mayAskListener(program: Buffer): boolean {
  const instructions = Array.from({ length: program.length / INSTRUCTION_BYTES }, (_, index) => ({
    code: program.readUInt16LE(index * INSTRUCTION_BYTES),
    k: program.readUInt32LE(index * INSTRUCTION_BYTES + 4),
  }));
  const computes = instructions.some(({ code }) => (code & 7) === RET && (code & 0x18) === RETURNS_A);
  return instructions.some(
    ({ code, k }) => ((code & 7) === RET || computes) && (k & SECCOMP_RET_ACTION_FULL) >>> 0 === SECCOMP_RET_USER_NOTIF,
  );
}

function encode({ number, arguments: args, instruction }: FilteredCall): Buffer {
  const data = Buffer.alloc(DATA_BYTES);
  data.writeInt32LE(number, 0);
  data.writeUInt32LE(ARCHITECTURE, 4);
  data.writeBigUInt64LE(BigInt.asUintN(64, instruction), 8);
  args.slice(0, 6).forEach((argument, index) => data.writeBigUInt64LE(BigInt.asUintN(64, argument), 16 + 8 * index));
  return data;
}

/** What the program returns. One that the kernel would not have taken is as good as a filter that kills. */
function run(program: Buffer, data: Buffer): number {
  const memory = new Uint32Array(SCRATCH_WORDS);
  let [a, x] = [0, 0];
  // Jumps lead forward only, so this ends.
  for (let at = 0; at + INSTRUCTION_BYTES <= program.length; at += INSTRUCTION_BYTES) {
    const code = program.readUInt16LE(at);
    const k = program.readUInt32LE(at + 4);
    const operand = (code & USES_X) === 0 ? k : x;
    switch (code & 7) {
      case LD:
      case LDX: {
        const value = load(code & 0xe0, k, data, memory);
        if (value === undefined) return SECCOMP_RET_KILL_PROCESS;
        if ((code & 7) === LD) a = value;
        else x = value;
        break;
      }
      case ST:
        memory[k] = a;
        break;
      case STX:
        memory[k] = x;
        break;
      case ALU: {
        const value = calculate(code & 0xf0, a, operand);
        if (value === undefined) return SECCOMP_RET_KILL_THREAD;
        a = value;
        break;
      }
      case JMP:
        at += INSTRUCTION_BYTES * (code & 0xf0 ? program.readUInt8(at + (compare(code & 0xf0, a, operand) ? 2 : 3)) : k);
        break;
      case RET:
        return (code & 0x18) === RETURNS_A ? a : k;
      default:
        if ((code & 0xf8) === TXA) a = x;
        else x = a;
    }
  }
  return SECCOMP_RET_KILL_PROCESS;
}

function load(mode: number, k: number, data: Buffer, memory: Uint32Array): number | undefined {
  switch (mode) {
    case IMM:
      return k;
    case ABS:
      return k % 4 === 0 && k < DATA_BYTES ? data.readUInt32LE(k) : undefined;
    case MEM:
      return memory[k];
    case LEN:
      return DATA_BYTES;
    default:
      return undefined;
  }
}

/** undefined for a division by zero, at which the kernel returns 0 from the filter. */
function calculate(operation: number, a: number, operand: number): number | undefined {
  switch (operation) {
    case 0x00:
      return (a + operand) >>> 0;
    case 0x10:
      return (a - operand) >>> 0;
    case 0x20:
      return Math.imul(a, operand) >>> 0;
    case 0x30:
      return operand === 0 ? undefined : Math.floor(a / operand);
    case 0x40:
      return (a | operand) >>> 0;
    case 0x50:
      return (a & operand) >>> 0;
    case 0x60:
      return (a << operand) >>> 0;
    case 0x70:
      return a >>> operand;
    case 0x80:
      return -a >>> 0;
    case 0xa0:
      return (a ^ operand) >>> 0;
    default:
      return undefined;
  }
}

function compare(operation: number, a: number, operand: number): boolean {
  switch (operation) {
    case 0x10:
      return a === operand;
    case 0x20:
      return a > operand;
    case 0x30:
      return a >= operand;
    default:
      return (a & operand) !== 0;
  }
}

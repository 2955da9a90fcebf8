/**
 * A tape: system calls as an array of records, walked by a few bytes of machine code in the tracee, so that hundreds of
 * calls cost one stop.
 *
 *     record, 64 bytes: number, six arguments, result (filled in)
 *     rbx: next record; r12: records left; at the end: int3, the stop
 *
 * Only for processes that are being made (they die with us): a breakpoint with no tracer would kill a job.
 */
import type { Registers } from "./registers.ts";
import { Assembler } from "./assembler.ts";

export const TAPE_RECORD_BYTES = 64;
const RESULT_AT = 56;

export function tapeProgram(): Buffer {
  const code = new Assembler();
  code.label("next").emit(0x4d, 0x85, 0xe4).relative([0x0f, 0x84], "end"); // test r12, r12; je end
  code.emit(0x48, 0x8b, 0x03, 0x48, 0x8b, 0x7b, 0x08, 0x48, 0x8b, 0x73, 0x10); // mov rax, [rbx]; rdi, [rbx+8]; rsi, [rbx+16]
  code.emit(0x48, 0x8b, 0x53, 0x18, 0x4c, 0x8b, 0x53, 0x20); // rdx, [rbx+24]; r10, [rbx+32]
  code.emit(0x4c, 0x8b, 0x43, 0x28, 0x4c, 0x8b, 0x4b, 0x30); // r8, [rbx+40]; r9, [rbx+48]
  code.emit(0x0f, 0x05, 0x48, 0x89, 0x43, RESULT_AT); // syscall; mov [rbx+56], rax
  code.emit(0x48, 0x83, 0xc3, TAPE_RECORD_BYTES, 0x49, 0xff, 0xcc).relative([0xe9], "next"); // add rbx, 64; dec r12
  code.label("end").emit(0xcc);
  return code.assemble();
}

export interface TapeCall {
  readonly number: number;
  readonly arguments: readonly bigint[];
}

export function encodeTape(calls: readonly TapeCall[]): Buffer {
  const bytes = Buffer.alloc(calls.length * TAPE_RECORD_BYTES);
  calls.forEach((call, index) => {
    const at = index * TAPE_RECORD_BYTES;
    bytes.writeBigUInt64LE(BigInt(call.number), at);
    call.arguments.forEach((argument, i) => bytes.writeBigUInt64LE(BigInt.asUintN(64, argument), at + 8 + i * 8));
  });
  return bytes;
}

export function tapeResults(bytes: Buffer): bigint[] {
  const results: bigint[] = [];
  for (let at = 0; at < bytes.length; at += TAPE_RECORD_BYTES) results.push(bytes.readBigInt64LE(at + RESULT_AT));
  return results;
}

/** Points a stopped thread at a tape. */
export function loadTape(registers: Registers, program: bigint, records: bigint, count: number): void {
  registers.set("rip", program);
  registers.set("rbx", records);
  registers.set("r12", BigInt(count));
  registers.set("orig_rax", 0xffff_ffff_ffff_ffffn);
}

/**
 * A static ELF executable that takes all messages out of a POSIX message queue into shared memory and puts them back in, in their order. It
 * blocks all signals and depends on nobody: once started it comes to its end.
 *
 *     the memory:    number of messages (u64), a negated errno where one could not be put back (s64), then the records
 *     a record:      length (u64), priority (u32), 4 bytes of nothing, the message; `recordBytes` in all
 *     r12: the memory, rbx: a record, r13: messages taken, r14: those to put back
 */
import { SYSCALLS } from "../../kernel/abi/x86-64/syscalls.ts";
import { Assembler } from "./assembler.ts";
import { ELF_HEADER_BYTES, writeElfHeader } from "./keeper-program.ts";

const PR_SET_NAME = 15;
const SIG_SETMASK = 2;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const BASE_ADDRESS = 0x10000n;
export const TURN_HEAD_BYTES = 16;
export const TURN_RECORD_HEAD_BYTES = 16;

export interface TurnOptions {
  readonly queue: number;
  readonly memory: number;
  readonly memoryBytes: number;
  readonly messageBytes: number;
  readonly recordBytes: number;
  readonly mostMessages: number;
}

export function turnProgram({ queue, memory, memoryBytes, messageBytes, recordBytes, mostMessages }: TurnOptions): Buffer {
  const code = new Assembler();
  for (let i = 0; i < ELF_HEADER_BYTES; i += 1) code.emit(0);
  code.emit(0xbf).half(SIG_SETMASK).relative([0x48, 0x8d, 0x35], "all").emit(0x31, 0xd2, 0x41, 0xba).half(8); // lea rsi, [all]; xor edx, edx; mov r10d, 8
  code.syscall(SYSCALLS.rt_sigprocmask);
  code.emit(0xbf).half(PR_SET_NAME).relative([0x48, 0x8d, 0x35], "name").syscall(SYSCALLS.prctl);
  code.syscall(SYSCALLS.setsid);
  code.emit(0x31, 0xff, 0x48, 0xbe).word(BigInt(memoryBytes)).emit(0xba).half(PROT_READ_WRITE); // xor edi, edi; mov rsi, bytes; mov edx
  code.emit(0x41, 0xba).half(MAP_SHARED).emit(0x41, 0xb8).half(memory).emit(0x45, 0x31, 0xc9).syscall(SYSCALLS.mmap); // r10d, r8d; xor r9d, r9d
  code.emit(0x48, 0x85, 0xc0).relative([0x0f, 0x88], "end"); // test rax, rax; js end
  code.emit(0x49, 0x89, 0xc4, 0x48, 0x8d, 0x58, TURN_HEAD_BYTES, 0x45, 0x31, 0xed); // mov r12, rax; lea rbx, [rax + head]; xor r13d, r13d

  code.label("take").emit(0x49, 0x81, 0xfd).half(mostMessages).relative([0x0f, 0x83], "taken"); // cmp r13, most; jae taken
  code.emit(0xbf).half(queue).emit(0x48, 0x8d, 0x73, TURN_RECORD_HEAD_BYTES, 0xba).half(messageBytes); // edi; lea rsi, [rbx + 16]; edx
  // A time limit that is over: what blocks, does not.
  code.emit(0x4c, 0x8d, 0x53, 8).relative([0x4c, 0x8d, 0x05], "never").syscall(SYSCALLS.mq_timedreceive); // lea r10, [rbx + 8]; lea r8, [never]
  code.emit(0x48, 0x85, 0xc0).relative([0x0f, 0x88], "taken"); // test rax, rax; js taken
  code.emit(0x48, 0x89, 0x03, 0x48, 0x81, 0xc3).half(recordBytes).emit(0x49, 0xff, 0xc5).relative([0xe9], "take"); // mov [rbx], rax; add rbx; inc r13

  code.label("taken").emit(0x49, 0x8d, 0x5c, 0x24, TURN_HEAD_BYTES, 0x4d, 0x89, 0xee); // lea rbx, [r12 + head]; mov r14, r13
  code.label("put").emit(0x4d, 0x85, 0xf6).relative([0x0f, 0x84], "done"); // test r14, r14; je done
  code.emit(0xbf).half(queue).emit(0x48, 0x8d, 0x73, TURN_RECORD_HEAD_BYTES, 0x48, 0x8b, 0x13); // edi; lea rsi, [rbx + 16]; mov rdx, [rbx]
  code.emit(0x44, 0x8b, 0x53, 8, 0x45, 0x31, 0xc0).syscall(SYSCALLS.mq_timedsend); // mov r10d, [rbx + 8]; xor r8d, r8d
  code.emit(0x48, 0x85, 0xc0).relative([0x0f, 0x89], "next").emit(0x49, 0x89, 0x44, 0x24, 8); // test rax, rax; jns next; mov [r12 + 8], rax
  code.label("next").emit(0x48, 0x81, 0xc3).half(recordBytes).emit(0x49, 0xff, 0xce).relative([0xe9], "put"); // add rbx; dec r14

  code.label("done").emit(0x4d, 0x89, 0x2c, 0x24); // mov [r12], r13
  code.label("end").emit(0x31, 0xff).syscall(SYSCALLS.exit_group);
  code.align(8).label("all").word(0xffff_ffff_ffff_ffffn);
  code.label("never").word(0n).word(0n);
  code.label("name").emit(...Buffer.from("cairn-guard\0"));
  const image = code.align(8).assemble();
  writeElfHeader(image, { baseAddress: BASE_ADDRESS, lengthBytes: Math.ceil(image.length / 4096) * 4096 });
  return image;
}

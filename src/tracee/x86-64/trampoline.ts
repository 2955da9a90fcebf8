/**
 * The trampoline: a piece of machine code, written into unused bytes at the end of the tracee's vdso, through which
 * a stopped thread makes system calls for us, and which brings the thread back by itself if we are killed.
 *
 *     +0   syscall                     <- every remote call starts here, arguments in registers
 *     +2   what the variant does with the result (see below)
 *          munmap(scratch)             when a scratch mapping exists
 *          rt_sigprocmask(SIG_SETMASK) the thread's own mask, kept at the end of the trampoline
 *          flags, then every general register, loaded with the thread's own values
 *          jmp [rip]                   to where the thread was
 *
 * While we live, the thread is stopped at the exit of its system call (+2) and never gets further; its registers are set
 * back by ptrace. When we are killed, the kernel detaches the thread and it runs on from +0 or +2 to its own place.
 * The stack is not touched: rsp keeps the thread's own value, so even a signal that arrives in between is delivered
 * as anywhere else. An interrupted system call is issued again, which is what the kernel would have done.
 *
 * Why ptrace's syscall stops and neither breakpoints nor single steps: those raise SIGTRAP when no tracer is left.
 */
import { Assembler } from "./assembler.ts";
import type { Registers } from "./registers.ts";
import { REISSUE, reissueOf } from "./restart-codes.ts";

const SYS_MUNMAP = 11;
const SYS_RT_SIGPROCMASK = 14;
const SYS_EXIT = 60;
const SYS_WAIT4 = 61;
const WALL = 0x40000000;
const SIG_SETMASK = 2;

/** No trampoline is longer (asserted by its test). */
export const TRAMPOLINE_BYTES = 384;
/** Where the thread stands after a system call, from the trampoline's start. */
export const AFTER_SYSCALL = 2n;

/**
 * `call`: nothing. `map`: the result is a mapping of `lengthBytes` that is unmapped again. `clone`: in the child,
 * exit; in the parent, reap the child. `exit`: whatever the result, exit (for a snapshot's helper, which must never
 * run the job's code).
 */
export type TrampolineVariant =
  | { readonly kind: "call"; readonly scratch: { readonly address: bigint; readonly lengthBytes: number } | null }
  | { readonly kind: "map"; readonly lengthBytes: number }
  | { readonly kind: "clone"; readonly scratch: { readonly address: bigint; readonly lengthBytes: number } | null }
  | { readonly kind: "exit" };

/** movabs opcodes of the registers that are loaded last, in user_regs_struct's names. */
const LOADS = [
  ["rcx", 0x48, 0xb9],
  ["rdx", 0x48, 0xba],
  ["rbx", 0x48, 0xbb],
  ["rbp", 0x48, 0xbd],
  ["rsi", 0x48, 0xbe],
  ["rdi", 0x48, 0xbf],
  ["r8", 0x49, 0xb8],
  ["r9", 0x49, 0xb9],
  ["r10", 0x49, 0xba],
  ["r11", 0x49, 0xbb],
  ["r12", 0x49, 0xbc],
  ["r13", 0x49, 0xbd],
  ["r14", 0x49, 0xbe],
  ["r15", 0x49, 0xbf],
  ["rax", 0x48, 0xb8],
] as const;

const OVERFLOW = 0x800n;
const DIRECTION = 0x400n;
/** SF, ZF, AF, PF, CF: what `sahf` loads from ah. */
const LOW_FLAGS = 0xd5n;

/** The code that brings a thread with these registers and this signal mask back to where it was. */
export function trampoline(own: Registers, signalMask: bigint, variant: TrampolineVariant): Buffer {
  const code = new Assembler().emit(0x0f, 0x05);
  if (variant.kind === "exit") {
    return code.emit(0x31, 0xff).syscall(SYS_EXIT).assemble(); // xor edi, edi; exit
  }
  if (variant.kind === "clone") {
    code.emit(0x48, 0x85, 0xc0); // test rax, rax
    code.relative([0x0f, 0x84], "child"); // je child
    code.relative([0x0f, 0x88], "waited"); // js waited
    code.emit(0x48, 0x89, 0xc7, 0x31, 0xf6); // mov rdi, rax; xor esi, esi
    code.emit(0xba).half(WALL).emit(0x45, 0x31, 0xd2); // mov edx, __WALL; xor r10d, r10d
    code.syscall(SYS_WAIT4);
    code.label("waited");
  }
  if (variant.kind === "map") {
    code.emit(0x48, 0x89, 0xc7, 0xbe).half(variant.lengthBytes); // mov rdi, rax; mov esi, length
    code.syscall(SYS_MUNMAP);
  } else if (variant.scratch !== null) {
    code.emit(0x48, 0xbf).word(variant.scratch.address).emit(0xbe).half(variant.scratch.lengthBytes);
    code.syscall(SYS_MUNMAP);
  }

  code.emit(0xbf).half(SIG_SETMASK); // mov edi, SIG_SETMASK
  code.relative([0x48, 0x8d, 0x35], "mask"); // lea rsi, [rip + mask]
  code.emit(0x31, 0xd2, 0x41, 0xba).half(8); // xor edx, edx; mov r10d, 8
  code.syscall(SYS_RT_SIGPROCMASK);

  const final = own.copy();
  const reissue = reissueOf(final.syscall, final.result);
  if (reissue !== REISSUE.none) final.reissueSyscall(reissue === REISSUE.same ? final.syscall : reissue);
  const flags = final.get("eflags");
  code.emit(0x48, 0xb8).word(((flags & LOW_FLAGS) << 8n) | ((flags & OVERFLOW) === 0n ? 0n : 1n)); // movabs rax, flags
  code.emit(0x04, 0x7f, 0x9e); // add al, 0x7f (overflows if al is 1); sahf
  code.emit((flags & DIRECTION) === 0n ? 0xfc : 0xfd); // cld or std
  for (const [name, prefix, opcode] of LOADS) code.emit(prefix, opcode).word(final.get(name));
  code.emit(0xff, 0x25).half(0).word(final.get("rip")); // jmp [rip + 0]
  code.label("mask").word(signalMask);
  code.label("child").emit(0x31, 0xff).syscall(SYS_EXIT);
  return code.assemble();
}

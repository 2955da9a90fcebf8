/**
 * The keeper as a program: a static ELF executable of one page, made anew for every use, so that what it needs to know
 * stands in it as constants.
 *
 *     ELF header, one program header (rwx, at `baseAddress`)
 *     start:    name itself, block all signals
 *               launch:  become subreaper, clone (vfork), child: exec the job
 *               restore: die with the restarter until told otherwise; then sleep (the restarter drives it by ptrace)
 *     keep:     wait for any child, for ever; tell of the root's stops and its end; end when no child is left
 *     data:     name, signal masks, one record
 *
 * Registers that hold state in `keep`: r12d, the root's pid (-1: tell of nobody).
 * The record it writes, to both descriptors: u32 kind, u32 pid, u32 wait status or errno, u32 0.
 */
import { SYSCALLS } from "../../kernel/abi/x86-64/syscalls.ts";
import { Assembler } from "./assembler.ts";

export const RECORD_BYTES = 16;
export const RECORD = { started: 1, exited: 2, stopped: 3, continued: 4, launchFailed: 5 } as const;

export const ELF_HEADER_BYTES = 64 + 56;
const PR_SET_NAME = 15;
const PR_SET_PDEATHSIG = 1;
const PR_SET_CHILD_SUBREAPER = 36;
const SIG_SETMASK = 2;
const SIGKILL = 9;
const CLONE_VM_VFORK_SIGCHLD = 0x4111;
const WAIT_ALL_STATES = 0x4000000a; // __WALL | WUNTRACED | WCONTINUED
const RLIMIT_NOFILE = 7;

export interface KeeperProgramOptions {
  /** Page-aligned address at which the program stands. */
  readonly baseAddress: bigint;
  readonly lengthBytes: number;
  /** Where records go; -1 for nowhere. */
  readonly recordFd: number;
  readonly pipeFd: number;
  readonly mode:
    | { readonly kind: "restore" }
    | {
        readonly kind: "launch";
        /** The job gets a session of its own. */
        readonly newSession: boolean;
        /** Bit n-1 stands for signal n: ignored in the job. */
        readonly ignoredSignals: bigint;
        readonly openFilesLimit: { readonly soft: bigint; readonly hard: bigint } | null;
      };
}

export interface KeeperProgram {
  readonly image: Buffer;
  /** Address of the loop that keeps; for a restarter that is done. */
  readonly keepAddress: bigint;
  /** Address of the guard that comes before it; null in launch mode. */
  readonly guardAddress: bigint | null;
}

/** The program's arguments in launch mode: argv[0] a name, argv[1] the path to exec, argv[2...] the job's argv. */
export function keeperProgram(options: KeeperProgramOptions): KeeperProgram {
  const code = new Assembler();
  for (let i = 0; i < ELF_HEADER_BYTES; i += 1) code.emit(0);
  code.emit(0x48, 0x89, 0xe3); // mov rbx, rsp
  code.relative([0x48, 0x8d, 0x35], "name").emit(0xbf).half(PR_SET_NAME).syscall(SYSCALLS.prctl);
  code.relative([0x48, 0x8d, 0x35], "all").relative([0x48, 0x8d, 0x15], "saved");
  code.emit(0xbf).half(SIG_SETMASK).emit(0x41, 0xba).half(8).syscall(SYSCALLS.rt_sigprocmask);
  for (const fd of [options.recordFd, options.pipeFd]) {
    if (fd >= 0) code.emit(0xbf).half(fd).emit(0xbe).half(2).emit(0xba).half(1).syscall(SYSCALLS.fcntl); // F_SETFD, FD_CLOEXEC
  }
  if (options.mode.kind === "restore") {
    code.emit(0xbf).half(PR_SET_PDEATHSIG).emit(0xbe).half(SIGKILL).syscall(SYSCALLS.prctl);
    code.label("sleep").syscall(SYSCALLS.pause).relative([0xe9], "sleep");
  } else {
    emitLaunch(code, options.mode);
  }
  if (options.mode.kind === "restore") emitGuard(code);
  emitKeep(code, options);
  code.align(8);
  code.label("all").word(0xffff_ffff_ffff_ffffn);
  code.label("saved").word(0n);
  code.label("ignore").word(1n).word(0n).word(0n).word(0n); // struct kernel_sigaction with SIG_IGN
  code.label("limit");
  const limit = options.mode.kind === "launch" ? options.mode.openFilesLimit : null;
  code.word(limit?.soft ?? 0n).word(limit?.hard ?? 0n);
  code.label("record").half(0).half(0).half(0).half(0);
  code.label("status").half(0).half(0);
  code.label("failure").half(0).half(0);
  code.label("name").emit(...Buffer.from("cairn-keeper\0"));
  const image = code.assemble();
  writeElfHeader(image, options);
  const addressOf = (label: string): bigint => options.baseAddress + BigInt(code.offsetOf(label));
  return { image, keepAddress: addressOf("keep"), guardAddress: options.mode.kind === "restore" ? addressOf("guard") : null };
}

function emitLaunch(code: Assembler, mode: Extract<KeeperProgramOptions["mode"], { kind: "launch" }>): void {
  code.emit(0xbf).half(PR_SET_CHILD_SUBREAPER).emit(0xbe).half(1).syscall(SYSCALLS.prctl);
  if (mode.newSession) code.syscall(SYSCALLS.setsid);
  code.emit(0xbf).half(CLONE_VM_VFORK_SIGCHLD).emit(0x31, 0xf6, 0x31, 0xd2, 0x45, 0x31, 0xd2, 0x45, 0x31, 0xc0);
  code.syscall(SYSCALLS.clone);
  code.emit(0x85, 0xc0).relative([0x0f, 0x84], "child"); // test eax, eax; je child
  code.emit(0x41, 0x89, 0xc4); // mov r12d, eax
  code.emit(0xb9).half(RECORD.started).emit(0x31, 0xd2); // mov ecx, started; xor edx, edx
  code.emit(0x45, 0x85, 0xe4).relative([0x0f, 0x88], "fork-failed"); // test r12d, r12d; js
  code.relative([0x8b, 0x15], "failure").emit(0x85, 0xd2); // mov edx, [failure]; test edx, edx
  code.relative([0x0f, 0x84], "tell-start");
  code.label("tell-failure").emit(0xb9).half(RECORD.launchFailed);
  code.label("tell-start").relative([0xe8], "tell").relative([0xe9], "keep");
  code.label("fork-failed").emit(0x44, 0x89, 0xe2, 0xf7, 0xda).relative([0xe9], "tell-failure"); // mov edx, r12d; neg edx

  code.label("child");
  for (let signal = 1; signal <= 64; signal += 1) {
    if (((mode.ignoredSignals >> BigInt(signal - 1)) & 1n) === 0n) continue;
    code.emit(0xbf).half(signal).relative([0x48, 0x8d, 0x35], "ignore").emit(0x31, 0xd2, 0x41, 0xba).half(8);
    code.syscall(SYSCALLS.rt_sigaction);
  }
  if (mode.openFilesLimit !== null) {
    code.emit(0x31, 0xff, 0xbe).half(RLIMIT_NOFILE).relative([0x48, 0x8d, 0x15], "limit").emit(0x45, 0x31, 0xd2);
    code.syscall(SYSCALLS.prlimit64);
  }
  code.relative([0x48, 0x8d, 0x35], "saved").emit(0x31, 0xd2, 0xbf).half(SIG_SETMASK).emit(0x41, 0xba).half(8);
  code.syscall(SYSCALLS.rt_sigprocmask);
  code.emit(0x48, 0x8b, 0x7b, 0x10); // mov rdi, [rbx + 16]: argv[1]
  code.emit(0x48, 0x8d, 0x73, 0x18); // lea rsi, [rbx + 24]: &argv[2]
  code.emit(0x48, 0x8b, 0x03, 0x48, 0x8d, 0x54, 0xc3, 0x10); // mov rax, [rbx]; lea rdx, [rbx + 8 * rax + 16]: envp
  code.syscall(SYSCALLS.execve);
  code.emit(0xf7, 0xd8).relative([0x89, 0x05], "failure"); // neg eax; mov [failure], eax
  code.emit(0xbf).half(127).syscall(SYSCALLS.exit_group);
}

/**
 * The guard of a restart that is letting its processes go, one after the other: r13d, a pipe on which the restarter says that all
 * are free; r14, their pids (u32 each), r15d how many. If the restarter dies before it has said so, none may stay.
 */
function emitGuard(code: Assembler): void {
  code.label("guard");
  code.emit(0x44, 0x89, 0xef).relative([0x48, 0x8d, 0x35], "record"); // mov edi, r13d; lea rsi, [record]
  code.emit(0xba).half(1).syscall(SYSCALLS.read).emit(0x89, 0xc5); // mov edx, 1; read; mov ebp, eax
  code.emit(0x44, 0x89, 0xef).syscall(SYSCALLS.close); // mov edi, r13d; close
  code.emit(0x83, 0xfd, 0x01).relative([0x0f, 0x84], "keep"); // cmp ebp, 1; je keep
  code.label("next").emit(0x45, 0x85, 0xff).relative([0x0f, 0x84], "keep"); // test r15d, r15d; je keep
  code.emit(0x41, 0x8b, 0x3e, 0xbe).half(SIGKILL).syscall(SYSCALLS.kill); // mov edi, [r14]; mov esi, SIGKILL; kill
  code.emit(0x49, 0x83, 0xc6, 0x04, 0x41, 0xff, 0xcf).relative([0xe9], "next"); // add r14, 4; dec r15d
}

function emitKeep(code: Assembler, options: KeeperProgramOptions): void {
  code.label("keep");
  code.emit(0xbf).half(0xffffffff).relative([0x48, 0x8d, 0x35], "status").emit(0xba).half(WAIT_ALL_STATES).emit(0x45, 0x31, 0xd2);
  code.emit(0x48, 0x63, 0xff); // movsxd rdi, edi
  code.syscall(SYSCALLS.wait4);
  code.emit(0x83, 0xf8, 0xf6).relative([0x0f, 0x84], "end"); // cmp eax, -ECHILD; je end
  code.emit(0x44, 0x39, 0xe0).relative([0x0f, 0x85], "keep"); // cmp eax, r12d; jne keep
  code.relative([0x8b, 0x15], "status"); // mov edx, [status]
  code.emit(0x81, 0xfa).half(0xffff).emit(0xb9).half(RECORD.continued).relative([0x0f, 0x84], "told");
  code.emit(0x80, 0xfa, 0x7f, 0xb9).half(RECORD.stopped).relative([0x0f, 0x84], "told"); // cmp dl, 0x7f
  code.emit(0xb9).half(RECORD.exited);
  code.relative([0xe8], "tell");
  code.emit(0x41, 0xbc).half(0xffffffff).relative([0xe9], "keep"); // mov r12d, -1
  code.label("told").relative([0xe8], "tell").relative([0xe9], "keep");
  code.label("end").emit(0x31, 0xff).syscall(SYSCALLS.exit_group);

  // tell: ecx kind, edx status, r12d pid
  code.label("tell");
  code.relative([0x89, 0x0d], "record");
  code.relative([0x4c, 0x8d, 0x2d], "record"); // lea r13, [record]
  code.emit(0x45, 0x89, 0x65, 0x04, 0x41, 0x89, 0x55, 0x08); // mov [r13 + 4], r12d; mov [r13 + 8], edx
  for (const fd of [options.recordFd, options.pipeFd]) {
    if (fd < 0) continue;
    code.emit(0xbf).half(fd).emit(0x4c, 0x89, 0xee, 0xba).half(RECORD_BYTES).syscall(SYSCALLS.write); // mov rsi, r13
  }
  code.emit(0xc3);
}

export function writeElfHeader(image: Buffer, options: { readonly baseAddress: bigint; readonly lengthBytes: number }): void {
  const { baseAddress, lengthBytes } = options;
  image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0], 0);
  image.writeUInt16LE(2, 16); // ET_EXEC
  image.writeUInt16LE(62, 18); // EM_X86_64
  image.writeUInt32LE(1, 20);
  image.writeBigUInt64LE(baseAddress + BigInt(ELF_HEADER_BYTES), 24); // entry
  image.writeBigUInt64LE(64n, 32); // program headers follow
  image.writeUInt16LE(64, 52);
  image.writeUInt16LE(56, 54);
  image.writeUInt16LE(1, 56);
  image.writeUInt32LE(1, 64); // PT_LOAD
  image.writeUInt32LE(7, 68); // rwx
  image.writeBigUInt64LE(0n, 72);
  image.writeBigUInt64LE(baseAddress, 80);
  image.writeBigUInt64LE(baseAddress, 88);
  image.writeBigUInt64LE(BigInt(image.length), 96);
  image.writeBigUInt64LE(BigInt(lengthBytes), 104);
  image.writeBigUInt64LE(4096n, 112);
}

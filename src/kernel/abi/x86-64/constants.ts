/** What is x86-64's own: flags of open(2) that other architectures number otherwise, register sets, arch_prctl(2). */

// open(2): linux/fcntl.h
export const O_DIRECT = 0o40000;
export const O_LARGEFILE = 0o100000;
export const O_DIRECTORY = 0o200000;
export const O_NOFOLLOW = 0o400000;
export const O_TMPFILE = 0o20200000;

// mmap(2): linux/mman.h
export const MAP_32BIT = 0x40;
// Newer than the headers of Debian 12.
export const MAP_ABOVE4G = 0x80;

// Register sets: linux/elf.h
export const NT_X86_XSTATE = 0x202;
// Newer than the headers of Debian 12.
export const NT_X86_SHSTK = 0x204;

// arch_prctl(2): asm/prctl.h
export const ARCH_SET_GS = 0x1001;
export const ARCH_SET_FS = 0x1002;
export const ARCH_GET_FS = 0x1003;
export const ARCH_GET_GS = 0x1004;
export const ARCH_GET_CPUID = 0x1011;
export const ARCH_SET_CPUID = 0x1012;
export const ARCH_GET_XCOMP_SUPP = 0x1021;
export const ARCH_GET_XCOMP_PERM = 0x1022;
export const ARCH_REQ_XCOMP_PERM = 0x1023;
export const ARCH_MAP_VDSO_X32 = 0x2001;
export const ARCH_MAP_VDSO_32 = 0x2002;
export const ARCH_MAP_VDSO_64 = 0x2003;
// Newer than the headers of Debian 12.
export const ARCH_SHSTK_ENABLE = 0x5001;
export const ARCH_SHSTK_DISABLE = 0x5002;
export const ARCH_SHSTK_LOCK = 0x5003;
export const ARCH_SHSTK_UNLOCK = 0x5004;
export const ARCH_SHSTK_STATUS = 0x5005;

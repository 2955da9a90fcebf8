/*
 * General, vector, x87 and control registers, held across the cut by threads that make no system call: each loads every
 * register with a value of its own, spins until the go word is set, and compares them all.
 */
#include "fixture.h"
#include <cpuid.h>

#if !defined(__x86_64__)
int main(void) {
  skip("this fixture is written for x86-64");
}
#else

enum { THREADS = 3 };

struct state {
  uint64_t general[16];
  uint64_t flags;
  uint8_t vector[32][64];
  uint64_t masks[8];
  uint32_t mxcsr;
  uint16_t control;
  long double stack[6];
} __attribute__((aligned(64)));

static volatile uint32_t go_word;
static _Atomic int spinning;
static int width;

__attribute__((noinline)) static void general_spin(struct state *in, struct state *out) {
  /* All sixteen, the stack pointer apart; rax and rdx bring the two addresses. The direction flag is set on the way. */
  __asm__ volatile(
      "lea -128(%%rsp), %%rsp\n\t" /* the compiler may keep something below the stack pointer */
      "push %%rbp\n\t"
      "push %%rbx\n\t"
      "push %%rdx\n\t"
      "mov 8(%%rax), %%rbx\n\t"
      "mov 16(%%rax), %%rcx\n\t"
      "mov 24(%%rax), %%rdx\n\t"
      "mov 32(%%rax), %%rsi\n\t"
      "mov 40(%%rax), %%rdi\n\t"
      "mov 48(%%rax), %%rbp\n\t"
      "mov 64(%%rax), %%r8\n\t"
      "mov 72(%%rax), %%r9\n\t"
      "mov 80(%%rax), %%r10\n\t"
      "mov 88(%%rax), %%r11\n\t"
      "mov 96(%%rax), %%r12\n\t"
      "mov 104(%%rax), %%r13\n\t"
      "mov 112(%%rax), %%r14\n\t"
      "mov 120(%%rax), %%r15\n\t"
      "mov (%%rax), %%rax\n\t"
      "std\n\t"
      "1: pause\n\t"
      "cmpl $0x60606060, go_word(%%rip)\n\t"
      "jne 1b\n\t"
      "pushfq\n\t"
      "cld\n\t"
      "push %%rax\n\t"
      "mov 16(%%rsp), %%rax\n\t"
      "mov %%rbx, 8(%%rax)\n\t"
      "mov %%rcx, 16(%%rax)\n\t"
      "mov %%rdx, 24(%%rax)\n\t"
      "mov %%rsi, 32(%%rax)\n\t"
      "mov %%rdi, 40(%%rax)\n\t"
      "mov %%rbp, 48(%%rax)\n\t"
      "mov %%r8, 64(%%rax)\n\t"
      "mov %%r9, 72(%%rax)\n\t"
      "mov %%r10, 80(%%rax)\n\t"
      "mov %%r11, 88(%%rax)\n\t"
      "mov %%r12, 96(%%rax)\n\t"
      "mov %%r13, 104(%%rax)\n\t"
      "mov %%r14, 112(%%rax)\n\t"
      "mov %%r15, 120(%%rax)\n\t"
      "pop %%rcx\n\t"
      "mov %%rcx, (%%rax)\n\t"
      "pop %%rcx\n\t"
      "mov %%rcx, 128(%%rax)\n\t"
      "pop %%rcx\n\t"
      "pop %%rbx\n\t"
      "pop %%rbp\n\t"
      "lea 128(%%rsp), %%rsp\n\t"
      : "+a"(in), "+d"(out)
      :
      : "rcx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
}

#define EACH16(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15)
#define EACH16_HIGH(x) x(16) x(17) x(18) x(19) x(20) x(21) x(22) x(23) x(24) x(25) x(26) x(27) x(28) x(29) x(30) x(31)
#define STR_(x) #x
#define STR(x) STR_(x)
#define LOAD_X(n) "movups " STR(n) "*64(%0), %%xmm" STR(n) "\n\t"
#define SAVE_X(n) "movups %%xmm" STR(n) ", " STR(n) "*64(%1)\n\t"
#define LOAD_Y(n) "vmovups " STR(n) "*64(%0), %%ymm" STR(n) "\n\t"
#define SAVE_Y(n) "vmovups %%ymm" STR(n) ", " STR(n) "*64(%1)\n\t"
#define LOAD_Z(n) "vmovups " STR(n) "*64(%0), %%zmm" STR(n) "\n\t"
#define SAVE_Z(n) "vmovups %%zmm" STR(n) ", " STR(n) "*64(%1)\n\t"
#define SPIN "1: pause\n\tcmpl $0x60606060, go_word(%%rip)\n\tjne 1b\n\t"

static void vector_spin(struct state *in, struct state *out) {
  if (width == 64)
    __asm__ volatile(
        EACH16(LOAD_Z) EACH16_HIGH(LOAD_Z)
        "kmovw 0(%2), %%k0\n\tkmovw 8(%2), %%k1\n\tkmovw 16(%2), %%k2\n\tkmovw 24(%2), %%k3\n\t"
        "kmovw 32(%2), %%k4\n\tkmovw 40(%2), %%k5\n\tkmovw 48(%2), %%k6\n\tkmovw 56(%2), %%k7\n\t" SPIN
        EACH16(SAVE_Z) EACH16_HIGH(SAVE_Z)
        "kmovw %%k0, 0(%3)\n\tkmovw %%k1, 8(%3)\n\tkmovw %%k2, 16(%3)\n\tkmovw %%k3, 24(%3)\n\t"
        "kmovw %%k4, 32(%3)\n\tkmovw %%k5, 40(%3)\n\tkmovw %%k6, 48(%3)\n\tkmovw %%k7, 56(%3)\n\tvzeroupper\n\t"
        : : "r"(in->vector), "r"(out->vector), "r"(in->masks), "r"(out->masks) : "memory", "cc");
  else if (width == 32)
    __asm__ volatile(EACH16(LOAD_Y) SPIN EACH16(SAVE_Y) "vzeroupper\n\t" : : "r"(in->vector), "r"(out->vector) : "memory", "cc");
  else
    __asm__ volatile(EACH16(LOAD_X) SPIN EACH16(SAVE_X) : : "r"(in->vector), "r"(out->vector) : "memory", "cc");
}

static void control_spin(struct state *in, struct state *out) {
  uint32_t mxcsr = 0x1f80, old_mxcsr;
  uint16_t control, old_control;
  __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(old_mxcsr), "=m"(old_control));
  mxcsr = 0x1f80 | 0x6000 | 0x8000 | 0x20; /* round to zero, flush to zero, and the precision flag as if it had happened */
  control = (old_control & ~0x0f00) | 0x0400 | 0x0000; /* round down, single precision */
  in->mxcsr = mxcsr;
  in->control = control;
  for (int i = 0; i < 6; i++) in->stack[i] = 1.0L / (i + 3);
  __asm__ volatile(
      "fldt 0(%0)\n\tfldt 16(%0)\n\tfldt 32(%0)\n\tfldt 48(%0)\n\tfldt 64(%0)\n\tfldt 80(%0)\n\t"
      "fldcw %2\n\tldmxcsr %3\n\t" SPIN
      "fnstcw %4\n\tstmxcsr %5\n\t"
      "fldcw %6\n\tldmxcsr %7\n\t"
      "fstpt 80(%1)\n\tfstpt 64(%1)\n\tfstpt 48(%1)\n\tfstpt 32(%1)\n\tfstpt 16(%1)\n\tfstpt 0(%1)\n\t"
      :
      : "r"(in->stack), "r"(out->stack), "m"(control), "m"(mxcsr), "m"(out->control), "m"(out->mxcsr), "m"(old_control), "m"(old_mxcsr)
      : "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
}

static void *thread(void *argument) {
  int which = (int)(intptr_t)argument;
  struct state in, out;
  memset(&in, 0, sizeof in);
  memset(&out, 0, sizeof out);
  fill(&in, sizeof in, which + 1);
  for (int i = 0; i < 8; i++) in.masks[i] &= 0xffff;
  spinning++;
  if (which == 0) {
    general_spin(&in, &out);
    for (int i = 0; i < 16; i++)
      if (i != 7) CHECK(in.general[i] == out.general[i], "general register %d is %#lx, not %#lx", i, out.general[i], in.general[i]);
    CHECK((out.flags & 0x400) != 0, "the direction flag is lost: flags %#lx", out.flags);
  } else if (which == 1) {
    vector_spin(&in, &out);
    for (int i = 0; i < (width == 64 ? 32 : 16); i++)
      CHECK(memcmp(in.vector[i], out.vector[i], width) == 0, "vector register %d of %d bytes differs", i, width);
    if (width == 64)
      for (int i = 0; i < 8; i++) CHECK((out.masks[i] & 0xffff) == in.masks[i], "mask register %d is %#lx, not %#lx", i, out.masks[i], in.masks[i]);
  } else {
    control_spin(&in, &out);
    CHECK(in.control == out.control, "the x87 control word is %#x, not %#x", out.control, in.control);
    CHECK(in.mxcsr == out.mxcsr, "mxcsr is %#x, not %#x", out.mxcsr, in.mxcsr);
    for (int i = 0; i < 6; i++) CHECK(memcmp(&in.stack[i], &out.stack[i], 10) == 0, "x87 register %d differs", i);
  }
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  __builtin_cpu_init();
  width = __builtin_cpu_supports("avx512f") ? 64 : __builtin_cpu_supports("avx") ? 32 : 16;
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) MUST(pthread_create(&threads[i], NULL, thread, (void *)(intptr_t)i) == 0);
  while (spinning < THREADS) nap(1000);
  nap(20000);
  ready();
  await_go();
  go_word = 0x60606060;
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  return finish();
}
#endif

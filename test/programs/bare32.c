/* A 32-bit program without any library: says "ready", waits for the file that its first argument names, says "ok". */
static long call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
  return result;
}

__attribute__((regparm(0), used)) static void start(long *stack) {
  char **argv = (char **)(stack + 1);
  struct {
    long seconds, nanoseconds;
  } pause = {0, 2000000};
  call(4, 1, (long)"ready\n", 6);
  while (call(33, (long)argv[1], 0, 0) != 0) call(162, (long)&pause, 0, 0);
  call(4, 1, (long)"ok\n", 3);
  call(252, 0, 0, 0);
}

__asm__(".globl _start\n_start: mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call start\n hlt\n");

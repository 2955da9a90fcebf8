/*
 * A program without any library: its own start, system calls by itself, no stack protector, no thread pointer. Computes,
 * sleeps and writes a line for each step.
 */
#if !defined(__x86_64__)
#error "written for x86-64"
#endif

static long call(long number, long a, long b, long c, long d) {
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}

static unsigned char table[1 << 20];
static unsigned long state = 88172645463325252ul;

static unsigned long next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static void line(unsigned long value) {
  char text[18];
  for (int i = 0; i < 16; i++) text[i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
  text[16] = '\n';
  for (long done = 0; done < 17;) {
    long result = call(1, 1, (long)text + done, 17 - done, 0);
    if (result < 0) call(231, 99, 0, 0, 0);
    done += result;
  }
}

void start(void) {
  long end = call(12, 0, 0, 0, 0);
  unsigned char *heap = (unsigned char *)end;
  if (call(12, end + (1 << 20), 0, 0, 0) != end + (1 << 20)) call(231, 98, 0, 0, 0);
  for (int step = 0; step < 300; step++) {
    unsigned long sum = 0;
    for (int i = 0; i < 450000; i++) {
      unsigned long at = next();
      table[at & 0xfffff] += at >> 24;
      heap[at >> 20 & 0xfffff] ^= at >> 40;
      sum += table[at >> 30 & 0xfffff] + heap[at >> 44];
    }
    struct {
      long seconds, nanoseconds;
    } pause = {0, 2000000}, *left = 0;
    /* Nothing but the time's passing may end it. */
    if (call(35, (long)&pause, (long)left, 0, 0) != 0) call(231, 97, 0, 0, 0);
    line(sum ^ state);
  }
  call(231, 11, 0, 0, 0);
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\n and $-16, %rsp\n call start\n hlt\n");

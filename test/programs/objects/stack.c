/* The stack grows on after the cut, up to its limit and not beyond; a thread's guard page still guards; stacks shrink clean. */
#include "fixture.h"

static int deep(int levels) {
  volatile char room[4096];
  memset((void *)room, levels, sizeof room);
  int below = levels > 0 ? deep(levels - 1) : 0;
  return below + room[levels % 4096] % 2;
}

static volatile sig_atomic_t overflow;
static sigjmp_buf out;
static void on_overflow(int signal) {
  overflow = signal;
  siglongjmp(out, 1);
}

static volatile bool enough = false;
static int endless(int n) {
  volatile char room[4096];
  room[n % 4096] = n;
  return (enough ? 0 : endless(n + 1)) + room[(n + 1) % 4096];
}

static _Atomic int started, go;
static void *thread(void *argument) {
  int before = deep(10);
  started++;
  while (!go) nap(1000);
  CHECK(deep(100) >= before, "a thread's stack does not grow");
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  char *alternate = malloc(1 << 16);
  stack_t stack = {.ss_sp = alternate, .ss_size = 1 << 16};
  sigaltstack(&stack, NULL);
  int before = deep(50);
  /* Far from everything: the kernel keeps a gap of a mebibyte under what grows downwards. */
  char *downwards = mmap((void *)0x300000000000, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN, -1, 0);
  MUST(downwards == (void *)0x300000000000);
  fill(downwards, 8192, 1);
  pthread_t handle;
  MUST(pthread_create(&handle, NULL, thread, NULL) == 0);
  while (!started) nap(1000);

  ready();
  await_go();

  CHECK(deep(50) == before, "the stack differs");
  CHECK(deep(1500) > 0, "the stack does not grow by 6 MiB");
  CHECK(has_vm_flag(&before, "gd"), "the stack's mapping does not grow downwards");
  CHECK(is_filled(downwards, 8192, 1) && has_vm_flag(downwards, "gd"), "the other mapping that grows downwards differs");
  CHECK(fault_of(downwards - 4096, true) == 0, "the other mapping does not grow");
  struct sigaction action = {.sa_handler = on_overflow, .sa_flags = SA_ONSTACK};
  sigaction(SIGSEGV, &action, NULL);
  if (sigsetjmp(out, 1) == 0) endless(0);
  CHECK(overflow == SIGSEGV, "the stack has no end");
  go = 1;
  pthread_join(handle, NULL);
  return finish();
}

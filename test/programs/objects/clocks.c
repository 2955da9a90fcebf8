/* Clocks read through the vdso work, agree with the kernel, and never run backwards; processor-time clocks go on. */
#include "fixture.h"
#include <sys/auxv.h>
#include <sys/time.h>

static _Atomic int go;

static void *watch(void *argument) {
  /* Reads without a pause, so that the cut falls into the vdso's code often. */
  int64_t last = now_ns(CLOCK_MONOTONIC), last_boot = now_ns(CLOCK_BOOTTIME), last_real = now_ns(CLOCK_REALTIME);
  while (!go) {
    int64_t now = now_ns(CLOCK_MONOTONIC), boot = now_ns(CLOCK_BOOTTIME), real = now_ns(CLOCK_REALTIME);
    if (now < last || boot < last_boot || real < last_real - 1000000000LL) {
      CHECK(false, "a clock ran backwards: %ld -> %ld, %ld -> %ld, %ld -> %ld", last, now, last_boot, boot, last_real, real);
      break;
    }
    last = now, last_boot = boot, last_real = real;
  }
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  pthread_t threads[2];
  unsigned long vdso = getauxval(AT_SYSINFO_EHDR);
  for (int i = 0; i < 2; i++) MUST(pthread_create(&threads[i], NULL, watch, NULL) == 0);
  int64_t monotonic = now_ns(CLOCK_MONOTONIC), real = now_ns(CLOCK_REALTIME);

  ready();
  await_go();

  go = 1;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  CHECK(now_ns(CLOCK_MONOTONIC) >= monotonic && now_ns(CLOCK_REALTIME) >= real, "a clock is behind");
  struct timespec by_kernel, by_vdso;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &by_kernel);
  clock_gettime(CLOCK_MONOTONIC, &by_vdso);
  double apart = (by_vdso.tv_sec - by_kernel.tv_sec) + (by_vdso.tv_nsec - by_kernel.tv_nsec) / 1e9;
  CHECK(apart >= 0 && apart < 60, "vdso and kernel are %f s apart", apart);
  unsigned cpu = 1 << 20, node;
  CHECK(getcpu(&cpu, &node) == 0 && cpu < 1 << 16, "getcpu says %u", cpu);
  CHECK(time(NULL) > 1600000000, "time() says %ld", time(NULL));
  CHECK(*(const uint32_t *)vdso == 0x464c457f, "there is no ELF header where the auxiliary vector says the vdso is");
  int64_t cpu_time = now_ns(CLOCK_PROCESS_CPUTIME_ID);
  for (volatile int i = 0; i < 3000000; i++);
  CHECK(now_ns(CLOCK_PROCESS_CPUTIME_ID) > cpu_time, "processor time stands still");
  return finish();
}

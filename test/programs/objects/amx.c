/* The tile registers of AMX, and the permission to use them, which a process has to ask for. */
#include "fixture.h"

#if !defined(__x86_64__)
int main(void) {
  skip("this fixture is written for x86-64");
}
#else
enum { ARCH_GET_XCOMP_PERM = 0x1022, ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

static volatile uint32_t go_word;

static void *spin(void *argument) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t columns[16];
    uint8_t rows[16];
  } __attribute__((packed)) config = {.palette = 1}, seen;
  for (int i = 0; i < 8; i++) config.columns[i] = 64, config.rows[i] = 16;
  static uint8_t in[2][1024] __attribute__((aligned(64))), out[2][1024] __attribute__((aligned(64)));
  fill(in, sizeof in, 77);
  long stride = 64;
  __asm__ volatile(
      "ldtilecfg %[config]\n\t"
      "tileloadd (%[in], %[stride], 1), %%tmm0\n\t"
      "tileloadd 1024(%[in], %[stride], 1), %%tmm7\n\t"
      "1: pause\n\tcmpl $0x60606060, go_word(%%rip)\n\tjne 1b\n\t"
      "sttilecfg %[seen]\n\t"
      "tilestored %%tmm0, (%[out], %[stride], 1)\n\t"
      "tilestored %%tmm7, 1024(%[out], %[stride], 1)\n\t"
      "tilerelease\n\t"
      : [seen] "=m"(seen)
      : [config] "m"(config), [in] "r"(in), [out] "r"(out), [stride] "r"(stride)
      : "memory", "cc");
  CHECK(memcmp(&seen, &config, sizeof seen) == 0, "the tile configuration differs");
  CHECK(memcmp(in, out, sizeof in) == 0, "the tiles differ");
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) != 0) skip("this processor or kernel has no AMX");
  uint64_t permissions = 0;
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, spin, NULL) == 0);
  nap(20000);
  ready();
  await_go();
  CHECK(syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &permissions) == 0 && (permissions >> XFEATURE_XTILEDATA & 1), "the permission is lost: %#lx", permissions);
  go_word = 0x60606060;
  pthread_join(thread, NULL);
  return finish();
}
#endif

/*
 * Private memory: content, holes, protection with and without content, guard pages, code, and what MADV_DONTNEED, mremap,
 * munmap and mprotect do to it afterwards: it must still be anonymous memory, wherever its pages came from.
 */
#include "fixture.h"

enum { PAGE = 4096, MIB = 1 << 20 };

static char *map(size_t length, int protection, int flags) {
  char *memory = mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  MUST(memory != MAP_FAILED);
  return memory;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  char *full = map(8 * MIB, PROT_READ | PROT_WRITE, 0);
  fill(full, 8 * MIB, 1);
  /* Every third page written: runs of one page with holes between them. */
  char *sparse = map(8 * MIB, PROT_READ | PROT_WRITE, 0);
  for (int i = 0; i < 8 * MIB / PAGE; i += 3) fill(sparse + i * PAGE, PAGE, i);
  char *zeros = map(MIB, PROT_READ | PROT_WRITE, 0);
  memset(zeros, 0, MIB); /* there, but zero */
  char *untouched = map(1ul << 30, PROT_READ | PROT_WRITE, MAP_NORESERVE);
  char *only_read = map(MIB, PROT_READ | PROT_WRITE, 0);
  fill(only_read, MIB, 2);
  MUST(mprotect(only_read, MIB, PROT_READ) == 0);
  char *hidden = map(MIB, PROT_READ | PROT_WRITE, 0);
  fill(hidden, MIB, 3);
  MUST(mprotect(hidden, MIB, PROT_NONE) == 0);
  char *guarded = map(3 * PAGE, PROT_READ | PROT_WRITE, 0);
  MUST(mprotect(guarded, PAGE, PROT_NONE) == 0 && mprotect(guarded + 2 * PAGE, PAGE, PROT_NONE) == 0);
  fill(guarded + PAGE, PAGE, 4);
  char *reserved = map(64 * MIB, PROT_NONE, MAP_NORESERVE);
  char *dropped = map(MIB, PROT_READ | PROT_WRITE, 0);
  fill(dropped, MIB, 5);
  char *growing = map(MIB, PROT_READ | PROT_WRITE, 0);
  fill(growing, MIB, 6);
  char *freed = map(MIB, PROT_READ | PROT_WRITE, 0);
  fill(freed, MIB, 7);
  char *at_fixed = mmap((void *)0x200000000000, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  MUST(at_fixed != MAP_FAILED);
  fill(at_fixed, MIB, 8);
  char *low = mmap((void *)0x10000, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (low != MAP_FAILED) fill(low, PAGE, 9);
  char *code = map(PAGE, PROT_READ | PROT_WRITE, 0);
#if defined(__x86_64__)
  memcpy(code, "\xb8\x2a\x00\x00\x00\xc3", 6); /* mov $42, %eax; ret */
#endif
  MUST(mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0);
  /* Zero page read but never written. */
  char *only_looked_at = map(MIB, PROT_READ | PROT_WRITE, 0);
  MUST(is_zero(only_looked_at, MIB));

  ready();
  await_go();

  CHECK(is_filled(full, 8 * MIB, 1), "full memory differs");
  for (int i = 0; i < 8 * MIB / PAGE; i++) {
    bool same = i % 3 == 0 ? is_filled(sparse + i * PAGE, PAGE, i) : is_zero(sparse + i * PAGE, PAGE);
    CHECK(same, "page %d of the sparse memory differs", i);
    if (!same) break;
  }
  CHECK(is_zero(zeros, MIB), "zero memory differs");
  CHECK(is_zero(only_looked_at, MIB), "memory that was only read differs");
  for (long i = 0; i < 1l << 30; i += 100 * MIB) CHECK(untouched[i] == 0, "untouched memory is not zero at %ld", i);
  untouched[(1l << 30) - 1] = 1;

  CHECK(is_filled(only_read, MIB, 2), "read-only memory differs");
  CHECK(fault_of(only_read + 100, true) == SIGSEGV, "read-only memory can be written");
  CHECK(mprotect(only_read, MIB, PROT_READ | PROT_WRITE) == 0 && fault_of(only_read + 100, true) == 0, "read-only memory cannot be made writable");
  CHECK(fault_of(hidden, false) == SIGSEGV, "hidden memory can be read");
  CHECK(mprotect(hidden, MIB, PROT_READ) == 0 && is_filled(hidden, MIB, 3), "hidden memory differs");
  CHECK(fault_of(guarded, false) == SIGSEGV && fault_of(guarded + 2 * PAGE, true) == SIGSEGV, "a guard page can be touched");
  CHECK(is_filled(guarded + PAGE, PAGE, 4), "guarded memory differs");
  CHECK(fault_of(reserved + MIB, false) == SIGSEGV, "reserved memory can be read");
  CHECK(mprotect(reserved + MIB, MIB, PROT_READ | PROT_WRITE) == 0 && is_zero(reserved + MIB, MIB), "reserved memory is not zero");
  fill(reserved + MIB, MIB, 10);

  CHECK(madvise(dropped, MIB / 2, MADV_DONTNEED) == 0 && is_zero(dropped, MIB / 2), "memory given back with MADV_DONTNEED is not zero");
  CHECK(is_filled(dropped + MIB / 2, MIB / 2, 5) == false, "(the pattern is position-dependent)");
  fill(dropped, MIB, 11);
  CHECK(is_filled(dropped, MIB, 11), "memory given back cannot be used again");
  CHECK(madvise(dropped, MIB, MADV_DONTNEED) == 0 && is_zero(dropped, MIB), "memory given back twice is not zero");
  CHECK(madvise(freed, MIB, MADV_FREE) == 0, "MADV_FREE fails");
  CHECK(madvise(freed, MIB, MADV_DONTNEED) == 0 && is_zero(freed, MIB), "freed memory is not zero");

  char *grown = mremap(growing, MIB, 4 * MIB, MREMAP_MAYMOVE);
  CHECK(grown != MAP_FAILED && is_filled(grown, MIB, 6) && is_zero(grown + MIB, 3 * MIB), "memory that grew differs");
  char *shrunk = mremap(full, 8 * MIB, MIB, 0);
  CHECK(shrunk == full && is_filled(full, MIB, 1) && fault_of(full + MIB, false) == SIGSEGV, "memory that shrank differs");
  char *moved = mremap(at_fixed, MIB, MIB, MREMAP_MAYMOVE | MREMAP_FIXED, (char *)0x200000000000 + 4 * MIB);
  CHECK(moved != MAP_FAILED && is_filled(moved, MIB, 8), "memory that moved differs");
  if (low != MAP_FAILED) CHECK(is_filled(low, PAGE, 9), "memory at a low address differs");
  /* A hole in the middle: the two ends stay. */
  CHECK(munmap(sparse + 3 * PAGE, 3 * PAGE) == 0 && fault_of(sparse + 4 * PAGE, false) == SIGSEGV && is_filled(sparse, PAGE, 0), "a hole in the middle");
  CHECK(fault_of(code, true) == SIGSEGV, "code can be written");
#if defined(__x86_64__)
  CHECK(((int (*)(void))code)() == 42, "code does not run");
#endif
  char *fresh = map(16 * MIB, PROT_READ | PROT_WRITE, 0);
  CHECK(is_zero(fresh, 16 * MIB), "a new mapping is not zero");
  /* A child sees it all, copy on write. */
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    CHECK(is_filled(hidden, MIB, 3) && is_filled(full, MIB, 1), "a child sees other memory");
    memset(full, 1, MIB);
    child_ends();
  }
  expect_child(child, "a child");
  CHECK(is_filled(full, MIB, 1), "a child wrote into its parent");
  return finish();
}

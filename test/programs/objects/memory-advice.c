/*
 * What a program told the kernel about its memory: huge pages, locks, what a child gets, what a core dump leaves out. And
 * that MADV_DONTFORK and MADV_WIPEONFORK memory has its content: a snapshot by fork would not see it.
 */
#include "fixture.h"
#include <linux/mempolicy.h>
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

enum { PAGE = 4096, MIB = 1 << 20 };

static char *map(size_t length, int flags) {
  char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  MUST(memory != MAP_FAILED);
  return memory;
}

static void expect_flag(const char *what, const char *memory, const char *flag, bool wanted) {
  CHECK(has_vm_flag(memory, flag) == wanted, "%s: flag %s is %s", what, flag, wanted ? "missing" : "there");
}

int main(int argc, char **argv) {
  begin(argc, argv);
  char *not_forked = map(MIB, 0), *wiped = map(MIB, 0), *not_dumped = map(MIB, 0), *huge = map(8 * MIB, 0), *small = map(2 * MIB, 0);
  char *locked = map(256 * 1024, 0), *locked_on_fault = map(256 * 1024, 0), *sequential = map(MIB, 0), *random = map(MIB, 0), *plain = map(MIB, 0);
  char *mergeable = map(MIB, 0);
  fill(not_forked, MIB, 1);
  fill(wiped, MIB, 2);
  fill(not_dumped, MIB, 3);
  fill(locked, 256 * 1024, 5);
  fill(locked_on_fault, PAGE, 6);
  fill(sequential, MIB, 7);
  fill(random, MIB, 8);
  fill(mergeable, MIB, 10);
  bool has_thp = madvise(huge, 8 * MIB, MADV_HUGEPAGE) == 0 && madvise(small, 2 * MIB, MADV_NOHUGEPAGE) == 0;
  fill(huge, 8 * MIB, 4);
  fill(small, 2 * MIB, 9);
  MUST(madvise(not_forked, MIB, MADV_DONTFORK) == 0);
  MUST(madvise(wiped, MIB, MADV_WIPEONFORK) == 0);
  MUST(madvise(not_dumped, MIB, MADV_DONTDUMP) == 0);
  MUST(mlock(locked, 256 * 1024) == 0);
  MUST(mlock2(locked_on_fault, 256 * 1024, MLOCK_ONFAULT) == 0);
  MUST(madvise(sequential, MIB, MADV_SEQUENTIAL) == 0);
  MUST(madvise(random, MIB, MADV_RANDOM) == 0);
  bool has_ksm = madvise(mergeable, MIB, MADV_MERGEABLE) == 0;
  char *huge_tlb = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  if (huge_tlb != MAP_FAILED) fill(huge_tlb, 2 * MIB, 11);
  /* Node 0 may be another than the one that this machine has, or the kernel may know no NUMA. */
  unsigned long node = 1;
  char *bound = map(MIB, 0);
  bool has_numa = syscall(SYS_mbind, bound, MIB, MPOL_BIND, &node, 64, 0) == 0;
  uint64_t locked_kib = proc_number("/proc/self/status", "VmLck:", 10);
  bool named = false;
#ifdef PR_SET_VMA
  named = prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, plain, MIB, "a name of its own") == 0;
#endif

  ready();
  await_go();

  int policy = -1;
  unsigned long nodes[16] = {0};
  if (has_numa) {
    CHECK(syscall(SYS_get_mempolicy, &policy, nodes, 8 * sizeof nodes, bound, MPOL_F_ADDR) == 0 && policy == MPOL_BIND && nodes[0] == 1, "mbind: policy %d, nodes %#lx", policy, nodes[0]);
    CHECK(syscall(SYS_get_mempolicy, &policy, nodes, 8 * sizeof nodes, plain, MPOL_F_ADDR) == 0 && policy == MPOL_DEFAULT, "other memory has policy %d", policy);
  }
  expect_flag("MADV_DONTFORK", not_forked, "dc", true);
  expect_flag("MADV_WIPEONFORK", wiped, "wf", true);
  expect_flag("MADV_DONTDUMP", not_dumped, "dd", true);
  expect_flag("MADV_SEQUENTIAL", sequential, "sr", true);
  expect_flag("MADV_RANDOM", random, "rr", true);
  if (has_thp) {
    expect_flag("MADV_HUGEPAGE", huge, "hg", true);
    expect_flag("MADV_NOHUGEPAGE", small, "nh", true);
  }
  if (has_ksm) expect_flag("MADV_MERGEABLE", mergeable, "mg", true);
  expect_flag("mlock", locked, "lo", true);
  expect_flag("mlock2", locked_on_fault, "lo", true);
  const char *flags[] = {"dc", "wf", "dd", "lo", "hg", "nh", "sr", "rr", "mg"};
  for (int i = 0; i < (int)(sizeof flags / sizeof *flags); i++) expect_flag("plain memory", plain, flags[i], false);
  uint64_t locked_after = proc_number("/proc/self/status", "VmLck:", 10);
  CHECK(locked_after == locked_kib, "%lu KiB are locked, not %lu", locked_after, locked_kib);
  unsigned char resident[64];
  CHECK(mincore(locked, 256 * 1024, resident) == 0, "mincore fails");
  for (int i = 0; i < 64; i++) CHECK(resident[i] & 1, "locked page %d is not in memory", i);
  if (named) {
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    bool found = false;
    while (fgets(line, sizeof line, maps) != NULL) found |= strstr(line, "[anon:a name of its own]") != NULL;
    fclose(maps);
    CHECK(found, "the name of the memory is lost");
  }
  CHECK(is_filled(not_forked, MIB, 1), "MADV_DONTFORK memory lost its content");
  CHECK(is_filled(wiped, MIB, 2), "MADV_WIPEONFORK memory lost its content");
  CHECK(is_filled(not_dumped, MIB, 3), "MADV_DONTDUMP memory lost its content");
  CHECK(is_filled(huge, 8 * MIB, 4) && is_filled(small, 2 * MIB, 9), "memory with advice on huge pages differs");
  CHECK(is_filled(locked, 256 * 1024, 5) && is_filled(locked_on_fault, PAGE, 6) && is_zero(locked_on_fault + PAGE, PAGE), "locked memory differs");
  CHECK(is_filled(sequential, MIB, 7) && is_filled(random, MIB, 8) && is_filled(mergeable, MIB, 10), "memory with advice on access differs");
  if (huge_tlb != MAP_FAILED) {
    CHECK(is_filled(huge_tlb, 2 * MIB, 11), "memory of huge pages differs");
    expect_flag("MAP_HUGETLB", huge_tlb, "ht", true);
  }
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    CHECK(fault_of(not_forked, false) == SIGSEGV, "a child has the MADV_DONTFORK memory");
    CHECK(is_zero(wiped, MIB), "a child's MADV_WIPEONFORK memory is not wiped");
    CHECK(is_filled(not_dumped, MIB, 3), "a child lacks memory");
    child_ends();
  }
  expect_child(child, "a child");
  return finish();
}

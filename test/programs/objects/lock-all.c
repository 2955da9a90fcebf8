/* mlockall for the future: memory that is mapped after the cut is locked as well. */
#include "fixture.h"
#include <sys/resource.h>

int main(int argc, char **argv) {
  begin(argc, argv);
  struct rlimit limit;
  MUST(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
  if (limit.rlim_cur != RLIM_INFINITY && geteuid() != 0) {
    /* What is mapped now may be more than an ordinary user may lock; what comes later is not. */
    if (mlockall(MCL_FUTURE) != 0) skip("this user may not lock memory");
  } else {
    MUST(mlockall(MCL_FUTURE) == 0);
  }
  char *before = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MUST(before != MAP_FAILED && has_vm_flag(before, "lo"));
  ready();
  await_go();
  CHECK(has_vm_flag(before, "lo"), "memory mapped before is not locked");
  char *after = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(after != MAP_FAILED && has_vm_flag(after, "lo"), "memory mapped afterwards is not locked");
  return finish();
}

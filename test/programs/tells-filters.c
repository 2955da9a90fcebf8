/* Says under how many seccomp filters it is: at the start and at the end. */
#include "fixture.h"

int main(int argc, char **argv) {
  begin(argc, argv);
  say("filters %d\n", (int)proc_number("/proc/self/status", "Seccomp_filters:", 10));
  await_go();
  say("filters %d\n", (int)proc_number("/proc/self/status", "Seccomp_filters:", 10));
  return 0;
}

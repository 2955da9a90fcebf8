/* A process that forbade core dumps, and with them tracing by its own user: as root it comes through, still forbidding. */
#include "fixture.h"

int main(int argc, char **argv) {
  begin(argc, argv);
  MUST(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
  ready();
  await_go();
  int now = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
  CHECK(now == 0, "dumpable is %d", now);
  return finish();
}

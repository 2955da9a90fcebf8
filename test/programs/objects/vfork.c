/* A vfork in progress: the parent sleeps in the kernel until the child, which runs on the parent's memory, lets go of it. */
#include "fixture.h"

static volatile int written_by_child;

int main(int argc, char **argv) {
  begin(argc, argv);
  pid_t parent = getpid();
  pid_t pid = vfork();
  if (pid == 0) {
    ready();
    while (access(go_path, F_OK) != 0) {
      struct timespec pause = {0, 2000000};
      nanosleep(&pause, NULL);
    }
    written_by_child = getppid() == parent ? 1 : 2;
    _exit(12);
  }
  MUST(pid != -1);
  CHECK(is_go(), "the parent went on before the child let go");
  CHECK(written_by_child == 1, "the child and the parent share no memory any more, or the parent changed: %d", written_by_child);
  int status = -1;
  CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 12, "wait status %#x", status);
  return finish();
}

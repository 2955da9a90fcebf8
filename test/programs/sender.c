/*
 * Sends numbered signals to a process, and plain ones between them, until it is ended by SIGTERM or has sent all. Arguments:
 * pid, how many, microseconds of pause after each ten.
 */
#include "fixture.h"

static volatile sig_atomic_t enough;
static void on_enough(int signal) { enough = 1; }

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  pid_t pid = atoi(argv[1]);
  int count = atoi(argv[2]);
  long pause = atol(argv[3]);
  signal(SIGTERM, on_enough);
  int i = 0;
  for (; i < count && !enough; i++) {
    union sigval value = {.sival_int = i};
    while (sigqueue(pid, SIGRTMIN + 1, value) != 0) {
      if (errno != EAGAIN) return 1;
      nap(1000);
    }
    if (i % 7 == 0) kill(pid, SIGUSR1);
    if (i % 10 == 9) nap(pause);
  }
  say("sent %d\n", i);
  return 0;
}

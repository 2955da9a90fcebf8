/* Who is told by signal that a descriptor is ready: owner, signal and O_ASYNC of a descriptor. */
#include "fixture.h"

static volatile sig_atomic_t hits, code, on_fd;
static void on_signal(int signal, siginfo_t *info, void *context) {
  hits++;
  code = info->si_code;
  on_fd = info->si_fd;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGRTMIN + 3, &action, NULL);
  /* A group of its own: one led from outside is another one after a restart. */
  MUST(setpgid(0, 0) == 0);
  int first[2], second[2];
  MUST(pipe(first) == 0 && pipe2(second, O_NONBLOCK) == 0);
  MUST(fcntl(first[0], F_SETOWN, getpid()) == 0 && fcntl(first[0], F_SETSIG, SIGRTMIN + 3) == 0);
  MUST(fcntl(first[0], F_SETFL, O_ASYNC) == 0);
  struct f_owner_ex thread = {F_OWNER_TID, gettid()}, group = {F_OWNER_PGRP, getpgrp()}, seen;
  MUST(fcntl(second[0], F_SETOWN_EX, &thread) == 0 && fcntl(second[1], F_SETOWN_EX, &group) == 0);

  ready();
  await_go();

  CHECK(fcntl(first[0], F_GETOWN) == getpid() && fcntl(first[0], F_GETSIG) == SIGRTMIN + 3, "owner %d, signal %d", fcntl(first[0], F_GETOWN), fcntl(first[0], F_GETSIG));
  CHECK(fcntl(first[0], F_GETFL) & O_ASYNC, "O_ASYNC is lost");
  CHECK(fcntl(second[0], F_GETOWN_EX, &seen) == 0 && seen.type == F_OWNER_TID && seen.pid == thread.pid, "owner of type %d, %d", seen.type, seen.pid);
  CHECK(fcntl(second[1], F_GETOWN_EX, &seen) == 0 && seen.type == F_OWNER_PGRP && seen.pid == getpgrp(), "owner of type %d, %d", seen.type, seen.pid);
  CHECK(hits == 0, "a signal came too early");
  MUST(write(first[1], "x", 1) == 1);
  for (int i = 0; i < 5000 && hits == 0; i++) nap(1000);
  CHECK(hits == 1 && code == POLL_IN && on_fd == first[0], "%d signals, code %d, descriptor %d", hits, code, on_fd);
  return finish();
}

/* Processes that wait for a signal, in all the ways there are; the one that comes after the cut ends the wait, and nothing else. */
#include "fixture.h"

enum { PAUSE, SUSPEND, READ, NAP, WAIT, SLEEP_SHORT, KINDS };

static volatile sig_atomic_t hits;
static void on_signal(int signal) { hits++; }

static int wait_once(int kind, int pipe_end) {
  sigset_t none;
  struct timespec day = {86400, 0}, left = {0, 0};
  char byte;
  int result;
  sigfillset(&none);
  sigdelset(&none, SIGUSR1);
  switch (kind) {
    case PAUSE:
      return pause() == -1 && errno == EINTR;
    case SUSPEND:
      return sigsuspend(&none) == -1 && errno == EINTR;
    case READ:
      return read(pipe_end, &byte, 1) == -1 && errno == EINTR;
    case NAP:
      result = nanosleep(&day, &left);
      /* What is left of a day: more than an hour less than all of it would be wrong. */
      return result == -1 && errno == EINTR && left.tv_sec > 86400 - 3600 && left.tv_sec <= 86400;
    case WAIT:
      return waitpid(-1, NULL, 0) == -1 && errno == EINTR;
    default:
      result = sleep(86400);
      return result > 86400 - 3600 && result <= 86400;
  }
}

int main(int argc, char **argv) {
  begin(argc, argv);
  _Atomic int *started = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int never[2];
  MUST(pipe(never) == 0);
  struct sigaction action = {.sa_handler = on_signal};
  pid_t pids[KINDS];
  sigset_t mask;
  for (int i = 0; i < KINDS; i++) {
    pids[i] = fork();
    MUST(pids[i] != -1);
    if (pids[i] != 0) continue;
    sigaction(SIGUSR1, &action, NULL);
    pid_t grandchild = 0;
    if (i == WAIT && (grandchild = fork()) == 0)
      for (;;) pause();
    if (i == SUSPEND) {
      sigemptyset(&mask);
      sigaddset(&mask, SIGUSR1);
      sigaddset(&mask, SIGUSR2);
      sigprocmask(SIG_BLOCK, &mask, NULL);
    }
    (*started)++;
    int as_wanted = wait_once(i, never[0]);
    int error = errno;
    CHECK(is_go(), "wait %d ended before the signal", i);
    errno = error;
    CHECK(as_wanted, "wait %d ended otherwise than by the signal", i);
    CHECK(hits == 1, "wait %d: %d signals", i, hits);
    if (i == SUSPEND) {
      sigset_t now;
      sigprocmask(SIG_BLOCK, NULL, &now);
      CHECK(memcmp(&now, &mask, 8) == 0, "the mask before sigsuspend does not come back: %#lx", *(long *)&now);
    }
    if (grandchild > 0) kill(grandchild, SIGKILL), waitpid(grandchild, NULL, 0);
    child_ends();
  }
  while (*started < KINDS) nap(1000);
  nap(50000);

  ready();
  await_go();

  nap(20000);
  for (int i = 0; i < KINDS; i++) CHECK(kill(pids[i], SIGUSR1) == 0, "process %d is gone", i);
  for (int i = 0; i < KINDS; i++) expect_child(pids[i], "a waiting process");
  return finish();
}

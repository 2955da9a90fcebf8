/*
 * Counts signals that carry numbers, in a handler, while other threads sleep in the kernel; told by the go-file how it ends, it says
 * how many came and whether any was lost, doubled or out of order. "alive N" tells every thousand.
 */
#include "fixture.h"
#include <sys/resource.h>

/* What waits here counts against all of the user's processes: other tests want to send signals and make timers, too. */
enum { SLEEPERS = 12, MOST_PENDING = 8192 };

static _Atomic long next_number, standard;
static _Atomic int harmed;

static void on_numbered(int signal, siginfo_t *info, void *context) {
  int seen = info->si_value.sival_int, wanted = (int)next_number++;
  if (seen != wanted && !harmed) {
    harmed = 1;
    say("differs: number %d came, not %d\n", seen, wanted);
  }
}
static void on_standard(int signal) { standard++; }

static void *sleep_in_the_kernel(void *fd) {
  char byte;
  sigset_t mask;
  sigfillset(&mask);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  ssize_t got = read((int)(intptr_t)fd, &byte, 1);
  CHECK(got == 1, "a read that no signal reached gave %zd, errno %d", got, errno);
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  struct rlimit pending = {MOST_PENDING, MOST_PENDING};
  MUST(setrlimit(RLIMIT_SIGPENDING, &pending) == 0);
  struct sigaction numbered = {.sa_sigaction = on_numbered, .sa_flags = SA_SIGINFO}, plain = {.sa_handler = on_standard};
  sigaction(SIGRTMIN + 1, &numbered, NULL);
  sigaction(SIGUSR1, &plain, NULL);
  int never[2];
  MUST(pipe(never) == 0);
  pthread_t threads[SLEEPERS];
  for (int i = 0; i < SLEEPERS; i++) MUST(pthread_create(&threads[i], NULL, sleep_in_the_kernel, (void *)(intptr_t)never[0]) == 0);
  ready();
  long told = 0;
  while (!is_go()) {
    nap(1000);
    while (next_number >= told + 1000) say("alive %ld\n", told += 1000);
  }
  for (int i = 0; i < SLEEPERS; i++) MUST(write(never[1], "x", 1) == 1);
  for (int i = 0; i < SLEEPERS; i++) pthread_join(threads[i], NULL);
  say("numbered %ld\n", next_number);
  CHECK(!harmed, "the numbers are not in order");
  return finish();
}

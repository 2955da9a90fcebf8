/* The three interval timers: what is left of a long one, that short ones go on, on all three clocks. */
#include "fixture.h"
#include <sys/time.h>

static volatile sig_atomic_t alarms, virtuals, profiles;
static void on_alarm(int signal) { alarms++; }
static void on_virtual(int signal) { virtuals++; }
static void on_profile(int signal) { profiles++; }

static void burn_until(volatile sig_atomic_t *counter, int value) {
  volatile double x = 1;
  while (*counter < value)
    for (int i = 0; i < 10000; i++) x = x * 1.0000001 + 0.5;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  action.sa_handler = on_virtual;
  sigaction(SIGVTALRM, &action, NULL);
  action.sa_handler = on_profile;
  sigaction(SIGPROF, &action, NULL);

  /* A child has the same timers, long ones: its own clocks must not be mixed with its parent's. */
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    struct itimerval long_ones[3] = {{{7, 250000}, {100000, 0}}, {{0, 0}, {200000, 0}}, {{3, 0}, {300000, 0}}};
    for (int i = 0; i < 3; i++) MUST(setitimer(i, &long_ones[i], NULL) == 0);
    await_go();
    for (int i = 0; i < 3; i++) {
      struct itimerval left;
      CHECK(getitimer(i, &left) == 0, "cannot look at timer %d", i);
      CHECK(left.it_interval.tv_sec == long_ones[i].it_interval.tv_sec && labs(left.it_interval.tv_usec - long_ones[i].it_interval.tv_usec) < 10000, "timer %d: interval %ld.%06ld", i, left.it_interval.tv_sec, left.it_interval.tv_usec);
      /* Time that passed between checkpoint and restart may count or not: an hour is far more than either. */
      CHECK(left.it_value.tv_sec <= long_ones[i].it_value.tv_sec && left.it_value.tv_sec > long_ones[i].it_value.tv_sec - 3600, "timer %d: %ld s are left", i, left.it_value.tv_sec);
    }
    child_ends();
  }
  struct itimerval real = {{0, 10000}, {0, 10000}}, of_processor = {{0, 5000}, {0, 5000}}, left;
  MUST(setitimer(ITIMER_REAL, &real, NULL) == 0 && setitimer(ITIMER_VIRTUAL, &of_processor, NULL) == 0 && setitimer(ITIMER_PROF, &of_processor, NULL) == 0);
  burn_until(&profiles, 2);

  ready();
  await_go();

  CHECK(getitimer(ITIMER_REAL, &left) == 0 && left.it_interval.tv_usec == 10000, "the interval is %ld us", left.it_interval.tv_usec);
  int before = alarms;
  while (alarms < before + 5) nap(1000);
  burn_until(&virtuals, virtuals + 3);
  burn_until(&profiles, profiles + 3);
  struct itimerval off = {{0, 0}, {0, 0}};
  for (int i = 0; i < 3; i++) CHECK(setitimer(i, &off, &left) == 0, "cannot stop timer %d", i);
  expect_child(child, "the child with long timers");
  return finish();
}

/*
 * Deadlines on the monotonic clocks that lie a while ahead: a thread that sleeps until one, a timer descriptor, a condition. They come when
 * they would have come, whatever the machine's clocks say after the restart.
 */
#include "fixture.h"
#include <poll.h>
#include <sys/timerfd.h>

#define MS 1000000LL
#define SECOND (1000 * MS)
/* After this the fixture is checked; until then it is saved. */
#define AHEAD (2 * SECOND)
#define LONGEST (3600 * SECOND)

static struct timespec at(int64_t ns) { return (struct timespec){.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND}; }

static int64_t deadlines[2];
static const clockid_t clocks[2] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME};

static void *sleeper(void *argument) {
  int which = *(int *)argument;
  struct timespec until = at(deadlines[which]);
  while (clock_nanosleep(clocks[which], TIMER_ABSTIME, &until, NULL) == EINTR);
  CHECK(now_ns(clocks[which]) >= deadlines[which], "clock %d: woken too early", clocks[which]);
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  int64_t begun[2] = {now_ns(CLOCK_MONOTONIC), now_ns(CLOCK_BOOTTIME)};
  pthread_t threads[2];
  int numbers[2] = {0, 1};
  struct pollfd timers[2];
  for (int i = 0; i < 2; i++) {
    deadlines[i] = begun[i] + AHEAD;
    MUST(pthread_create(&threads[i], NULL, sleeper, &numbers[i]) == 0);
    timers[i] = (struct pollfd){.fd = timerfd_create(clocks[i], 0), .events = POLLIN};
    struct itimerspec once = {.it_value = at(deadlines[i])};
    MUST(timers[i].fd >= 0 && timerfd_settime(timers[i].fd, TFD_TIMER_ABSTIME, &once, NULL) == 0);
  }
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_condattr_t attributes;
  pthread_cond_t never;
  MUST(pthread_condattr_init(&attributes) == 0 && pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
  MUST(pthread_cond_init(&never, &attributes) == 0);

  ready();
  struct timespec until = at(deadlines[0]);
  pthread_mutex_lock(&mutex);
  int result = pthread_cond_timedwait(&never, &mutex, &until);
  CHECK(result == ETIMEDOUT && now_ns(CLOCK_MONOTONIC) >= deadlines[0], "the condition's wait gave %d", result);
  for (int i = 0; i < 2; i++) {
    pthread_join(threads[i], NULL);
    CHECK(poll(&timers[i], 1, -1) == 1, "the timer descriptor on clock %d", clocks[i]);
    CHECK(now_ns(clocks[i]) >= deadlines[i], "clock %d: its timer came too early", clocks[i]);
  }
  await_go();
  for (int i = 0; i < 2; i++) {
    int64_t since = now_ns(clocks[i]) - begun[i];
    CHECK(since >= AHEAD && since < LONGEST, "clock %d went on by %ld ns", clocks[i], since);
  }
  return finish();
}

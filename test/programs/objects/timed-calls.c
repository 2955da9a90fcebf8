/*
 * System calls with a time limit, over and over while the cut comes. None returns before its time, none says EINTR,
 * none fails; that a thread was away for a while may only make it later.
 */
#include "fixture.h"
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>

enum { LIMIT_MS = 150, KINDS = 12 };

static _Atomic int go, rounds[KINDS];
static int never[2];
static sem_t semaphore;

static struct timespec after_ms(clockid_t clock, int ms) {
  struct timespec at;
  clock_gettime(clock, &at);
  at.tv_nsec += ms * 1000000L;
  at.tv_sec += at.tv_nsec / 1000000000;
  at.tv_nsec %= 1000000000;
  return at;
}

/* 0 when the call ran into its limit as it should; else an errno or -1. */
static int once(int kind) {
  struct timespec relative = {LIMIT_MS / 1000, LIMIT_MS % 1000 * 1000000L};
  struct pollfd poller = {never[0], POLLIN, 0};
  struct timeval as_timeval = {LIMIT_MS / 1000, LIMIT_MS % 1000 * 1000};
  struct epoll_event event = {EPOLLIN, {.fd = 0}};
  static __thread int epoll = -1;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  sigset_t set;
  uint32_t word = 1;
  int result;
  switch (kind) {
    case 0:
      return nanosleep(&relative, NULL) == 0 ? 0 : errno;
    case 1:
      return clock_nanosleep(CLOCK_REALTIME, 0, &relative, NULL);
    case 2:
      relative = after_ms(CLOCK_MONOTONIC, LIMIT_MS);
      return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &relative, NULL);
    case 3:
      result = poll(&poller, 1, LIMIT_MS);
      return result == 0 ? 0 : result == -1 ? errno : -1;
    case 4:
      sigemptyset(&set);
      result = ppoll(&poller, 1, &relative, &set);
      return result == 0 ? 0 : result == -1 ? errno : -1;
    case 5:
      result = select(0, NULL, NULL, NULL, &as_timeval);
      return result == 0 ? 0 : result == -1 ? errno : -1;
    case 6:
      if (epoll == -1) epoll = epoll_create1(0), epoll_ctl(epoll, EPOLL_CTL_ADD, never[0], &event);
      result = epoll_wait(epoll, &event, 1, LIMIT_MS);
      return result == 0 ? 0 : result == -1 ? errno : -1;
    case 7:
      result = syscall(SYS_futex, &word, FUTEX_WAIT, 1, &relative, NULL, 0);
      return result == -1 && errno == ETIMEDOUT ? 0 : result == -1 ? errno : -1;
    case 8: {
      struct timespec at = after_ms(CLOCK_REALTIME, LIMIT_MS);
      pthread_mutex_lock(&mutex);
      do result = pthread_cond_timedwait(&condition, &mutex, &at); /* may wake for nothing: POSIX allows it */
      while (result == 0);
      pthread_mutex_unlock(&mutex);
      return result == ETIMEDOUT ? 0 : result;
    }
    case 9:
      relative = after_ms(CLOCK_REALTIME, LIMIT_MS);
      result = sem_timedwait(&semaphore, &relative);
      return result == -1 && errno == ETIMEDOUT ? 0 : result == -1 ? errno : -1;
    case 10:
      sigemptyset(&set);
      sigaddset(&set, SIGUSR1);
      result = sigtimedwait(&set, NULL, &relative);
      return result == -1 && errno == EAGAIN ? 0 : result == -1 ? errno : -1;
    default:
      usleep(LIMIT_MS * 1000);
      return 0;
  }
}

static void *thread(void *argument) {
  int kind = (int)(intptr_t)argument;
  while (!go) {
    /* A time of day comes when it comes; the other clocks stand still while the program is away. */
    clockid_t clock = kind == 8 || kind == 9 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    int64_t before = now_ns(clock);
    int error = once(kind);
    int64_t elapsed_ms = (now_ns(clock) - before) / 1000000;
    errno = error;
    CHECK(error == 0, "call %d failed in round %d", kind, rounds[kind]);
    CHECK(elapsed_ms >= LIMIT_MS - 2, "call %d returned after %ld of %d ms", kind, elapsed_ms, LIMIT_MS);
    rounds[kind]++;
    if (error != 0) return NULL;
  }
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
  MUST(pipe(never) == 0);
  sem_init(&semaphore, 0, 0);
  pthread_t threads[KINDS];
  for (int i = 0; i < KINDS; i++) MUST(pthread_create(&threads[i], NULL, thread, (void *)(intptr_t)i) == 0);
  for (int i = 0; i < KINDS; i++)
    while (rounds[i] == 0) nap(1000);

  ready();
  await_go();

  /* Every call that the cut interrupted comes back. */
  int before[KINDS];
  for (int i = 0; i < KINDS; i++) before[i] = rounds[i];
  for (int i = 0; i < KINDS; i++)
    for (int j = 0; j < 20000 && rounds[i] == before[i] && differences == 0; j++) nap(1000);
  for (int i = 0; i < KINDS; i++) CHECK(rounds[i] > before[i], "call %d does not come back", i);
  go = 1;
  for (int i = 0; i < KINDS; i++) pthread_join(threads[i], NULL);
  return finish();
}

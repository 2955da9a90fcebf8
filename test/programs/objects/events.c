/* eventfd, signalfd and timerfd: counts, semaphores, masks, what has expired and what is to come. */
#include "fixture.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static bool is_readable(int fd) {
  struct pollfd poller = {fd, POLLIN, 0};
  return poll(&poller, 1, 0) == 1 && (poller.revents & POLLIN);
}

static struct itimerspec spec(double value, double interval) {
  struct itimerspec result = {{(long)interval, (long)((interval - (long)interval) * 1e9)}, {(long)value, (long)((value - (long)value) * 1e9)}};
  return result;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  uint64_t count = 5;
  int counter = eventfd(7, EFD_NONBLOCK | EFD_CLOEXEC), semaphore = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK), zero = eventfd(0, 0), huge = eventfd(0, EFD_NONBLOCK), shared = eventfd(0, 0);
  MUST(write(counter, &count, 8) == 8);
  count = 0xfffffffffffffffe;
  MUST(write(huge, &count, 8) == 8);

  sigset_t mask, all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  sigaddset(&mask, SIGRTMIN + 2);
  int signals = signalfd(-1, &mask, SFD_NONBLOCK);
  union sigval value = {.sival_int = 77};
  MUST(sigqueue(getpid(), SIGRTMIN + 2, value) == 0 && kill(getpid(), SIGUSR2) == 0);

  int once = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), periodic = timerfd_create(CLOCK_MONOTONIC, 0), expired = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  int absolute = timerfd_create(CLOCK_REALTIME, 0), unset = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK), counted = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), soon = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec setting = spec(50000.5, 0), left;
  MUST(timerfd_settime(once, 0, &setting, NULL) == 0);
  setting = spec(0.02, 0.02);
  MUST(timerfd_settime(periodic, 0, &setting, NULL) == 0);
  setting = spec(0.001, 0);
  MUST(timerfd_settime(expired, 0, &setting, NULL) == 0);
  setting = spec(now_ns(CLOCK_REALTIME) / 1e9 + 70000, 9.5);
  MUST(timerfd_settime(absolute, TFD_TIMER_ABSTIME, &setting, NULL) == 0);
  /* Five times before the cut, then not for a day. */
  setting = spec(0.001, 0.001);
  MUST(timerfd_settime(counted, 0, &setting, NULL) == 0);
  nap(20000);
  setting = spec(0.3, 0);
  MUST(timerfd_settime(soon, 0, &setting, NULL) == 0);
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    MUST(read(shared, &count, 8) == 8);
    CHECK(count == 41, "the child got %lu", count);
    count = 0;
    CHECK(read(soon, &count, 8) == 8 && count == 1, "the child's timer gave %lu", count);
    child_ends();
  }
  int flags[] = {fcntl(counter, F_GETFL), fcntl(signals, F_GETFL), fcntl(expired, F_GETFL)};

  ready();
  await_go();

  CHECK(fcntl(counter, F_GETFL) == flags[0] && fcntl(signals, F_GETFL) == flags[1] && fcntl(expired, F_GETFL) == flags[2], "flags differ");
  CHECK(fcntl(counter, F_GETFD) == FD_CLOEXEC && fcntl(semaphore, F_GETFD) == 0 && fcntl(expired, F_GETFD) == FD_CLOEXEC, "close-on-exec differs");
  CHECK(read(counter, &count, 8) == 8 && count == 12 && read(counter, &count, 8) == -1 && errno == EAGAIN, "the counter gave %lu", count);
  for (int i = 0; i < 3; i++) CHECK(read(semaphore, &count, 8) == 8 && count == 1, "the semaphore gave %lu the %dth time", count, i);
  CHECK(read(semaphore, &count, 8) == -1 && errno == EAGAIN, "the semaphore gave %lu once more", count);
  CHECK(!is_readable(zero), "the empty eventfd is readable");
  count = 1;
  CHECK(write(huge, &count, 8) == -1 && errno == EAGAIN && read(huge, &count, 8) == 8 && count == 0xfffffffffffffffe, "the full eventfd held %#lx", count);

  struct signalfd_siginfo info;
  CHECK(read(signals, &info, sizeof info) == sizeof info && info.ssi_signo == (unsigned)SIGRTMIN + 2 && info.ssi_int == 77, "signalfd gave signal %u, value %d", info.ssi_signo, info.ssi_int);
  CHECK(read(signals, &info, sizeof info) == -1 && errno == EAGAIN, "signalfd gave signal %u, which is not in its mask", info.ssi_signo);
  MUST(kill(getpid(), SIGUSR1) == 0);
  CHECK(read(signals, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1, "signalfd does not go on");

  CHECK(timerfd_gettime(once, &left) == 0 && left.it_value.tv_sec > 46000 && left.it_value.tv_sec <= 50000 && left.it_interval.tv_sec == 0, "the one-shot timer has %ld s left", left.it_value.tv_sec);
  CHECK(timerfd_gettime(absolute, &left) == 0 && left.it_value.tv_sec > 66000 && left.it_value.tv_sec <= 70000 && left.it_interval.tv_sec == 9 && left.it_interval.tv_nsec == 500000000, "the absolute timer has %ld s left, interval %ld", left.it_value.tv_sec, left.it_interval.tv_sec);
  CHECK(timerfd_gettime(periodic, &left) == 0 && left.it_interval.tv_nsec == 20000000, "the periodic timer's interval is %ld ns", left.it_interval.tv_nsec);
  for (int i = 0; i < 3; i++) CHECK(read(periodic, &count, 8) == 8 && count >= 1, "the periodic timer gave %lu", count);
  CHECK(read(expired, &count, 8) == 8 && count == 1 && read(expired, &count, 8) == -1 && errno == EAGAIN, "the expired timer gave %lu", count);
  CHECK(timerfd_gettime(unset, &left) == 0 && left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0 && !is_readable(unset), "the timer that was never set has %ld s left", left.it_value.tv_sec);
  CHECK(read(counted, &count, 8) == 8 && count >= 15, "the fast timer gave %lu", count);
  count = 41;
  MUST(write(shared, &count, 8) == 8);
  expect_child(child, "the child");
  return finish();
}

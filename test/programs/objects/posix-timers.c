/* POSIX timers: ids with gaps among them, all ways of notifying, overruns, absolute and relative, on several clocks. */
#include "fixture.h"

struct kernel_sigevent {
  union sigval value;
  int signal, notify, tid;
  char rest[64 - 20];
};

static int make(clockid_t clock, int notify, int signal, uint64_t value, int tid) {
  struct kernel_sigevent event = {.value.sival_ptr = (void *)value, .signal = signal, .notify = notify, .tid = tid};
  int id = -1;
  MUST(syscall(SYS_timer_create, clock, &event, &id) == 0);
  return id;
}

static void set(int id, int flags, double value, double interval) {
  struct itimerspec spec = {{(long)interval, (long)((interval - (long)interval) * 1e9)}, {(long)value, (long)((value - (long)value) * 1e9)}};
  MUST(syscall(SYS_timer_settime, id, flags, &spec, NULL) == 0);
}

static double left_of(int id, double *interval) {
  struct itimerspec spec;
  if (syscall(SYS_timer_gettime, id, &spec) != 0) return -1;
  if (interval != NULL) *interval = spec.it_interval.tv_sec + spec.it_interval.tv_nsec / 1e9;
  return spec.it_value.tv_sec + spec.it_value.tv_nsec / 1e9;
}

static bool is_about(double seen, double wanted) { return seen > wanted - 3600 && seen <= wanted + 0.001; }

static bool take(int signal, siginfo_t *info, int seconds) {
  sigset_t set;
  struct timespec limit = {seconds, 0};
  sigemptyset(&set);
  sigaddset(&set, signal);
  int got;
  do got = sigtimedwait(&set, info, &limit);
  while (got == -1 && errno == EINTR);
  return got == signal;
}

static _Atomic pid_t target;
static _Atomic int go;
static int threads_timer;
static _Atomic int library_hits;
static void on_library_timer(union sigval value) { library_hits += value.sival_int == 5 ? 1 : 1000; }

static void *receiver(void *argument) {
  target = gettid();
  while (!go) nap(1000);
  siginfo_t info;
  CHECK(take(SIGRTMIN + 5, &info, 20), "the thread's timer does not fire");
  CHECK(info.si_code == SI_TIMER && info.si_timerid == threads_timer && info.si_value.sival_int == 0x55, "the thread's timer: code %d, timer %d, value %#x", info.si_code, info.si_timerid, info.si_value.sival_int);
  return NULL;
}

static int orphan;
static void *leave_a_timer(void *unused) {
  (void)unused;
  orphan = make(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 9, 0x99, gettid());
  set(orphan, 0, 30000, 0);
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, receiver, NULL) == 0);
  while (target == 0) nap(1000);

  int ids[8];
  ids[0] = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 1, 0xabcdef0123456789, 0);
  int gap1 = make(CLOCK_REALTIME, SIGEV_NONE, 0, 0, 0);
  ids[1] = make(CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN + 2, 2, 0);
  int gap2 = make(CLOCK_REALTIME, SIGEV_NONE, 0, 0, 0), gap3 = make(CLOCK_REALTIME, SIGEV_NONE, 0, 0, 0);
  ids[2] = make(CLOCK_BOOTTIME, SIGEV_NONE, 0, 0, 0);
  ids[3] = threads_timer = make(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 5, 0x55, target);
  ids[4] = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 4, 4, 0);
  ids[5] = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 7, 7, 0); /* never armed */
  ids[6] = make(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, SIGRTMIN + 8, 8, 0);
  MUST(syscall(SYS_timer_delete, gap1) == 0 && syscall(SYS_timer_delete, gap2) == 0 && syscall(SYS_timer_delete, gap3) == 0);
  set(ids[0], 0, 50000.5, 12.25);
  double hour = now_ns(CLOCK_REALTIME) / 1e9 + 100000;
  set(ids[1], TIMER_ABSTIME, hour, 0);
  set(ids[2], 0, 70000, 1);
  /* Fires a thousand times before the cut and waits with its overruns counted. */
  set(ids[4], 0, 0.0005, 0.0005);
  set(ids[6], 0, 40000, 0);
  timer_t by_library;
  struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_library_timer, .sigev_value.sival_int = 5};
  MUST(timer_create(CLOCK_MONOTONIC, &event, &by_library) == 0);
  struct itimerspec every = {{0, 5000000}, {0, 5000000}};
  MUST(timer_settime(by_library, 0, &every, NULL) == 0);
  nap(60000);
  pthread_t leaver;
  MUST(pthread_create(&leaver, NULL, leave_a_timer, NULL) == 0 && pthread_join(leaver, NULL) == 0);

  ready();
  await_go();

  double interval = 0;
  CHECK(is_about(left_of(ids[0], &interval), 50000.5) && interval == 12.25, "timer 0: %f s left, interval %f", left_of(ids[0], NULL), interval);
  CHECK(is_about(left_of(ids[1], &interval), 100000) && interval == 0, "timer 1: %f s left", left_of(ids[1], NULL));
  CHECK(is_about(left_of(ids[2], &interval), 70000) && interval == 1, "timer 2: %f s left", left_of(ids[2], NULL));
  CHECK(left_of(ids[5], &interval) == 0 && interval == 0, "the timer that was never armed has %f s left", left_of(ids[5], NULL));
  CHECK(is_about(left_of(ids[6], &interval), 40000), "the processor-time timer has %f s left", left_of(ids[6], NULL));
  CHECK(is_about(left_of(orphan, &interval), 30000), "the timer of a thread that has ended has %f s left", left_of(orphan, NULL));
  CHECK(left_of(gap1, NULL) == -1 && left_of(gap2, NULL) == -1 && left_of(gap3, NULL) == -1, "a deleted timer came back");

  siginfo_t info;
  CHECK(take(SIGRTMIN + 4, &info, 20), "the fast timer's signal is lost");
  CHECK(info.si_code == SI_TIMER && info.si_timerid == ids[4] && info.si_value.sival_int == 4, "the fast timer: code %d, timer %d, value %d", info.si_code, info.si_timerid, info.si_value.sival_int);
  /* How many there were before the cut nobody can know without taking the signal; those since then are counted. */
  CHECK(info.si_overrun >= 1, "the fast timer's overruns: %d", info.si_overrun);
  CHECK(take(SIGRTMIN + 4, &info, 20), "the fast timer does not go on");
  set(ids[4], 0, 0, 0);
  int before = library_hits;
  for (int i = 0; i < 20000 && library_hits < before + 3; i++) nap(1000);
  CHECK(library_hits >= before + 3 && library_hits < 1000000, "the library's timer does not go on: %d", library_hits);
  CHECK(timer_delete(by_library) == 0, "cannot delete the library's timer");
  set(ids[3], 0, 0.01, 0);
  go = 1;
  pthread_join(thread, NULL);
  set(ids[5], 0, 0.01, 0);
  CHECK(take(SIGRTMIN + 7, &info, 20) && info.si_timerid == ids[5] && info.si_value.sival_int == 7, "the timer armed after the cut: timer %d, value %d", info.si_timerid, info.si_value.sival_int);
  CHECK(!take(SIGRTMIN + 1, &info, 0) && !take(SIGRTMIN + 2, &info, 0), "a long timer fired");
  int fresh = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
  for (int i = 0; i < 7; i++) CHECK(fresh != ids[i], "a new timer has the id of timer %d", i);
  for (int i = 0; i < 7; i++) CHECK(syscall(SYS_timer_delete, ids[i]) == 0, "cannot delete timer %d", i);
  return finish();
}

/* Signals that wait: queued with values, for the process and for one thread, in their order and with their senders. */
#include "fixture.h"

enum { QUEUED = 20, THREADS = 3 };

static _Atomic int started, go;
static pthread_t threads[THREADS];
static _Atomic pid_t tids[THREADS];

static void block_all(void) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
}

/* Takes the next of `signal`, or says that there is none. By the system call: the C library hides SI_TKILL. */
static bool take(int signal, siginfo_t *info) {
  sigset_t set;
  struct timespec at_once = {0, 0};
  sigemptyset(&set);
  sigaddset(&set, signal);
  return syscall(SYS_rt_sigtimedwait, &set, info, &at_once, 8) == signal;
}

static void *thread(void *argument) {
  int index = (int)(intptr_t)argument;
  siginfo_t info;
  tids[index] = gettid();
  started++;
  while (!go) nap(1000);
  for (int i = 0; i < QUEUED; i++) {
    CHECK(take(SIGRTMIN + 6, &info), "thread %d: its signal %d is missing", index, i);
    CHECK(info.si_value.sival_int == index * 1000 + i, "thread %d: signal %d has value %d", index, i, info.si_value.sival_int);
    CHECK(info.si_code == SI_QUEUE && info.si_pid == getpid() && info.si_uid == getuid(), "thread %d: signal %d has code %d, pid %d, uid %d", index, i, info.si_code, info.si_pid, info.si_uid);
  }
  CHECK(!take(SIGRTMIN + 6, &info), "thread %d has a signal too many", index);
  if (index == 1) {
    CHECK(take(SIGTERM, &info) && info.si_code == SI_TKILL && info.si_pid == getpid(), "thread 1: tgkill's signal has code %d", info.si_code);
    CHECK(!take(SIGTERM, &info), "thread 1: tgkill's signal came twice");
  } else {
    CHECK(!take(SIGTERM, &info), "thread %d has another thread's signal", index);
  }
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  block_all();
  for (int i = 0; i < THREADS; i++) MUST(pthread_create(&threads[i], NULL, thread, (void *)(intptr_t)i) == 0);
  while (started < THREADS) nap(1000);

  pid_t self = getpid();
  union sigval value;
  for (int i = 0; i < QUEUED; i++) {
    value.sival_ptr = (void *)(0x1122334455660000 + i);
    MUST(sigqueue(self, SIGRTMIN + 2, value) == 0);
    value.sival_int = -i;
    MUST(sigqueue(self, SIGRTMIN + 1, value) == 0);
  }
  for (int i = 0; i < QUEUED; i++)
    for (int j = 0; j < THREADS; j++) {
      value.sival_int = j * 1000 + i;
      MUST(pthread_sigqueue(threads[j], SIGRTMIN + 6, value) == 0);
    }
  MUST(syscall(SYS_tgkill, self, tids[1], SIGTERM) == 0);
  /* From another process, by plain kill; twice, but a standard signal is pending once. */
  pid_t sender = fork();
  MUST(sender != -1);
  if (sender == 0) {
    kill(self, SIGUSR2);
    kill(self, SIGUSR2);
    _exit(0);
  }
  expect_child(sender, "the sender");
  MUST(kill(self, SIGHUP) == 0);
  sigset_t pending_before, pending;
  sigpending(&pending_before);
  uint64_t shared_before = proc_number("/proc/self/status", "ShdPnd:", 16), queued_before = proc_number("/proc/self/status", "SigQ:", 10);

  ready();
  await_go();

  sigpending(&pending);
  CHECK(memcmp(&pending, &pending_before, 8) == 0, "pending %#lx, not %#lx", *(long *)&pending, *(long *)&pending_before);
  uint64_t shared_after = proc_number("/proc/self/status", "ShdPnd:", 16);
  CHECK(shared_after == shared_before, "pending for the process %#lx, not %#lx", shared_after, shared_before);
  (void)queued_before;
  siginfo_t info;
  for (int i = 0; i < QUEUED; i++) {
    CHECK(take(SIGRTMIN + 2, &info) && info.si_value.sival_ptr == (void *)(0x1122334455660000 + i), "queued signal %d has value %p", i, info.si_value.sival_ptr);
    CHECK(info.si_code == SI_QUEUE && info.si_pid == self && info.si_uid == getuid(), "queued signal %d has code %d, pid %d", i, info.si_code, info.si_pid);
    CHECK(take(SIGRTMIN + 1, &info) && info.si_value.sival_int == -i, "queued signal %d has value %d", i, info.si_value.sival_int);
  }
  CHECK(!take(SIGRTMIN + 2, &info) && !take(SIGRTMIN + 1, &info), "there is a queued signal too many");
  CHECK(take(SIGUSR2, &info) && info.si_code == SI_USER && info.si_pid == sender, "the other process's signal has code %d, pid %d, not %d", info.si_code, info.si_pid, sender);
  CHECK(!take(SIGUSR2, &info), "the other process's signal came twice");
  CHECK(take(SIGHUP, &info) && info.si_code == SI_USER && info.si_pid == self, "SIGHUP has code %d, pid %d", info.si_code, info.si_pid);
  CHECK(take(SIGCHLD, &info) && info.si_code == CLD_EXITED && info.si_pid == sender && info.si_status == 0, "SIGCHLD has code %d, pid %d", info.si_code, info.si_pid);
  CHECK(!take(SIGTERM, &info), "a thread's own signal reached the process");
  go = 1;
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  sigpending(&pending);
  CHECK(*(long *)&pending == 0, "still pending: %#lx", *(long *)&pending);
  return finish();
}

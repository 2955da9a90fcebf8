/* A child subreaper adopts, a parent-death signal fires, a raw clone's own exit signal comes, exec works: all after the cut. */
#include "fixture.h"
#include <linux/sched.h>

static volatile sig_atomic_t got_usr1, got_usr2;
static volatile pid_t usr2_from;
static void on_usr1(int signal) { got_usr1++; }
static void on_usr2(int signal, siginfo_t *info, void *context) {
  got_usr2++;
  usr2_from = info->si_pid;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  struct shared {
    _Atomic pid_t orphan, middle;
    _Atomic int started, release_middle, death_signal, release_raw;
  } *all = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(all != MAP_FAILED);
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
  struct sigaction action = {.sa_sigaction = on_usr2, .sa_flags = SA_SIGINFO | SA_RESTART};
  MUST(sigaction(SIGUSR2, &action, NULL) == 0);

  pid_t middle = fork();
  MUST(middle != -1);
  if (middle == 0) {
    pid_t pid = fork();
    MUST(pid != -1);
    if (pid == 0) {
      signal(SIGUSR1, on_usr1);
      MUST(prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0) == 0);
      all->orphan = getpid();
      all->started++;
      int wanted = 0;
      await_go();
      CHECK(prctl(PR_GET_PDEATHSIG, &wanted, 0, 0, 0) == 0 && wanted == SIGUSR1, "the parent-death signal is %d", wanted);
      while (!got_usr1) nap(1000);
      all->death_signal = got_usr1;
      _exit(33);
    }
    all->started++;
    while (!all->release_middle) nap(1000);
    _exit(0);
  }
  /* A child whose end is told by SIGUSR2 instead of SIGCHLD. */
  pid_t raw = syscall(SYS_clone, SIGUSR2, 0, 0, 0, 0);
  MUST(raw != -1);
  if (raw == 0) {
    all->started++;
    while (!all->release_raw) nap(1000);
    _exit(44);
  }
  /* And one whose end is not told at all. */
  pid_t silent = syscall(SYS_clone, 0, 0, 0, 0, 0);
  MUST(silent != -1);
  if (silent == 0) {
    all->started++;
    while (!all->release_raw) nap(1000);
    _exit(55);
  }
  while (all->started < 4) nap(1000);

  ready();
  await_go();

  int value = 0;
  CHECK(prctl(PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0) == 0 && value == 1, "the subreaper is %d", value);
  all->release_middle = 1;
  expect_child(middle, "the middle process");
  int status = -1;
  pid_t got = waitpid(all->orphan, &status, 0);
  CHECK(got == all->orphan && WIFEXITED(status) && WEXITSTATUS(status) == 33, "the orphan: waitpid %d, status %#x", got, status);
  CHECK(all->death_signal == 1, "%d parent-death signals came", all->death_signal);

  CHECK(waitpid(raw, NULL, WNOHANG) == -1 && errno == ECHILD, "a clone child is seen as a fork child");
  CHECK(got_usr2 == 0, "an exit signal came too early");
  all->release_raw = 1;
  got = waitpid(raw, &status, __WCLONE);
  CHECK(got == raw && WIFEXITED(status) && WEXITSTATUS(status) == 44, "the raw clone: waitpid %d, status %#x", got, status);
  got = waitpid(silent, &status, __WALL);
  CHECK(got == silent && WEXITSTATUS(status) == 55, "the silent clone: waitpid %d, status %#x", got, status);
  CHECK(got_usr2 == 1 && usr2_from == raw, "%d exit signals, from %d and not %d", got_usr2, usr2_from, raw);

  pid_t pid = fork();
  MUST(pid != -1);
  if (pid == 0) {
    execl("/bin/sh", "sh", "-c", "exit 21", (char *)NULL);
    _exit(99);
  }
  CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 21, "exec after the cut: status %#x", status);
  return finish();
}

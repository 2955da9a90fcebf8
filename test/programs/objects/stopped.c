/*
 * A child that is stopped stays stopped; SIGCONT lets it go on, and its parent hears of it. What the parent has heard already it
 * does not hear again, what it has not heard it hears: of a stop, and of a child that goes on.
 */
#include "fixture.h"

static char state_of(pid_t pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length <= 0) return '?';
  text[length] = 0;
  return strrchr(text, ')')[2];
}

enum { THREAD = 5 };

static void *tick_too(void *argument) {
  _Atomic long *ticks = argument;
  while (ticks[10] == 0) {
    ticks[THREAD]++;
    nap(500);
  }
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  _Atomic long *ticks = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(ticks != MAP_FAILED);
  enum { UNHEARD = 2, GOES_ON = 3, CHILDREN = 4 };
  const int by[] = {SIGSTOP, SIGTSTP, SIGSTOP, SIGSTOP};
  pid_t pids[CHILDREN];
  for (int i = 0; i < CHILDREN; i++) {
    pids[i] = fork();
    MUST(pids[i] != -1);
    if (pids[i] == 0) {
      setpgid(0, 0);
      signal(SIGTSTP, SIG_DFL);
      pthread_t other;
      if (i == 0) MUST(pthread_create(&other, NULL, tick_too, (void *)ticks) == 0);
      while (ticks[10] == 0) {
        ticks[i]++;
        nap(500);
      }
      _exit(0);
    }
    while (ticks[i] == 0 || (i == 0 && ticks[THREAD] == 0)) nap(500);
  }
  for (int i = 0; i < CHILDREN; i++) {
    /* SIGTSTP does nothing to an orphaned group; this one has a parent in the session. */
    MUST(kill(pids[i], by[i]) == 0);
    int status = 0;
    siginfo_t stop;
    if (i == UNHEARD) MUST(waitid(P_PID, pids[i], &stop, WSTOPPED | WNOWAIT) == 0);
    else MUST(waitpid(pids[i], &status, WUNTRACED) == pids[i] && WIFSTOPPED(status) && WSTOPSIG(status) == by[i]);
  }
  long heard = ticks[GOES_ON];
  MUST(kill(pids[GOES_ON], SIGCONT) == 0);
  while (ticks[GOES_ON] == heard) nap(500);
  long by_thread = ticks[THREAD];
  long before[] = {ticks[0], ticks[1], ticks[UNHEARD]};

  ready();
  await_go();

  nap(50000);
  for (int i = 0; i < CHILDREN; i++) {
    siginfo_t report = {0};
    CHECK(waitid(P_PID, pids[i], &report, WSTOPPED | WCONTINUED | WNOHANG) == 0, "waitid on child %d fails", i);
    int wanted = i == UNHEARD ? CLD_STOPPED : i == GOES_ON ? CLD_CONTINUED : 0;
    CHECK(report.si_code == wanted, "child %d: the parent hears %d, not %d", i, report.si_code, wanted);
    CHECK(waitid(P_PID, pids[i], &report, WSTOPPED | WCONTINUED | WNOHANG) == 0 && report.si_pid == 0, "child %d: the parent hears of it twice", i);
    if (i == GOES_ON) continue;
    CHECK(ticks[i] == before[i], "stopped child %d ran", i);
    CHECK(state_of(pids[i]) == 'T', "stopped child %d is in state %c", i, state_of(pids[i]));
  }
  CHECK(by_thread > 0 && ticks[THREAD] == by_thread, "the other thread of a stopped child ran");
  ticks[10] = 1;
  for (int i = 0; i < CHILDREN; i++) {
    int status = 0;
    if (i == GOES_ON) {
      CHECK(waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status), "child %d ends with %#x", i, status);
      continue;
    }
    CHECK(kill(pids[i], SIGCONT) == 0, "cannot continue child %d", i);
    pid_t got = waitpid(pids[i], &status, WCONTINUED);
    CHECK(got == pids[i] && (WIFCONTINUED(status) || WIFEXITED(status)), "child %d: waitpid %d, status %#x", i, got, status);
    if (WIFCONTINUED(status)) CHECK(waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status), "child %d ends with %#x", i, status);
  }
  return finish();
}

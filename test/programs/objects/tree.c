/* Children, grandchildren, an orphan, zombies with their statuses: the tree and the pids stay, every status is reaped once. */
#include "fixture.h"
#include <sys/resource.h>

#define CHILDREN 6

struct shared {
  pid_t pid[CHILDREN], grandchild[CHILDREN], parent_of_grandchild[CHILDREN];
  pid_t orphan;
  _Atomic int started, orphan_verdict;
};

static struct shared *all;

static void grandchild(int index, pid_t self, pid_t parent) {
  all->started++;
  await_go();
  CHECK(getpid() == self, "grandchild %d has pid %d, not %d", index, getpid(), self);
  CHECK(getppid() == parent, "grandchild %d has parent %d, not %d", index, getppid(), parent);
  child_ends();
}

static void child(int index) {
  pid_t self = getpid(), parent = getppid();
  pid_t below = fork();
  MUST(below != -1);
  if (below == 0) grandchild(index, getpid(), self);
  all->pid[index] = self;
  all->grandchild[index] = below;
  all->started++;
  await_go();
  CHECK(getpid() == self, "child %d has pid %d, not %d", index, getpid(), self);
  CHECK(syscall(SYS_gettid) == self, "child %d has tid %ld", index, syscall(SYS_gettid));
  CHECK(getppid() == parent, "child %d has parent %d, not %d", index, getppid(), parent);
  expect_child(below, "a grandchild");
  child_ends();
}

static void orphan(void) {
  /* Waits until it is one: the parent below exits at once. */
  pid_t before = getppid();
  all->orphan = getpid();
  (void)before;
  all->started++;
  await_go();
  all->orphan_verdict = getpid() == all->orphan ? 1 : 2;
  _exit(0);
}

static pid_t zombie(int how) {
  pid_t pid = fork();
  MUST(pid != -1);
  if (pid == 0) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    if (how < 256) _exit(how);
    kill(getpid(), how - 256);
    for (;;) pause();
  }
  siginfo_t info;
  MUST(waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0);
  return pid;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(all != MAP_FAILED);
  pid_t self = getpid(), pids[CHILDREN];
  for (int i = 0; i < CHILDREN; i++) {
    pids[i] = fork();
    MUST(pids[i] != -1);
    if (pids[i] == 0) child(i);
  }
  pid_t middle = fork();
  MUST(middle != -1);
  if (middle == 0) {
    pid_t last = fork();
    if (last == 0) orphan();
    _exit(last == -1 ? 1 : 0);
  }
  expect_child(middle, "the orphan's parent");
  while (all->started < CHILDREN * 2 + 1) nap(1000);
  int how[] = {0, 7, 255, 256 + SIGKILL, 256 + SIGTERM, 256 + SIGSEGV};
  enum { ZOMBIES = sizeof how / sizeof how[0] };
  pid_t zombies[ZOMBIES];
  for (int i = 0; i < ZOMBIES; i++) zombies[i] = zombie(how[i]);

  ready();
  await_go();

  CHECK(getpid() == self, "pid %d, not %d", getpid(), self);
  CHECK(syscall(SYS_gettid) == self, "tid %ld, not %d", syscall(SYS_gettid), self);
  for (int i = ZOMBIES - 1; i >= 0; i--) {
    siginfo_t info = {0};
    char path[64], name[32] = {0}, own[32] = {0};
    snprintf(path, sizeof path, "/proc/%d/comm", zombies[i]);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(file != -1 && read(file, name, sizeof name - 1) > 0, "zombie %d shows no name", i);
    close(file);
    prctl(PR_GET_NAME, own);
    CHECK(strncmp(name, own, strlen(own)) == 0 && name[strlen(own)] == '\n', "zombie %d is called %s", i, name);
    CHECK(waitid(P_PID, zombies[i], &info, WEXITED | WNOWAIT | WNOHANG) == 0, "waitid on zombie %d fails", i);
    CHECK(info.si_pid == zombies[i], "zombie %d is not there", i);
    CHECK(info.si_code == (how[i] < 256 ? CLD_EXITED : CLD_KILLED), "zombie %d has code %d", i, info.si_code);
    CHECK(info.si_status == how[i] % 256, "zombie %d has status %d", i, info.si_status);
    int status = -1;
    pid_t got = waitpid(zombies[i], &status, WNOHANG);
    CHECK(got == zombies[i], "zombie %d is not reaped: %d", i, got);
    if (how[i] < 256) CHECK(WIFEXITED(status) && WEXITSTATUS(status) == how[i], "zombie %d has wait status %#x", i, status);
    else CHECK(WIFSIGNALED(status) && WTERMSIG(status) == how[i] - 256 && !WCOREDUMP(status), "zombie %d has wait status %#x", i, status);
    CHECK(waitpid(zombies[i], &status, WNOHANG) == -1 && errno == ECHILD, "zombie %d is reaped twice", i);
  }
  for (int i = 0; i < CHILDREN; i++) {
    CHECK(all->pid[i] == pids[i], "child %d was %d", i, all->pid[i]);
    expect_child(pids[i], "a child");
  }
  CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "there is a child too many");
  while (all->orphan_verdict == 0) nap(1000);
  CHECK(all->orphan_verdict == 1, "the orphan has another pid");

  /* New processes can be made, and none gets a pid that is taken. */
  for (int i = 0; i < 50; i++) {
    pid_t pid = fork();
    MUST(pid != -1);
    if (pid == 0) _exit(getppid() == self ? i : 200);
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == i, "new child %d has wait status %#x", i, status);
  }
  return finish();
}

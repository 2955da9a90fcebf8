/*
 * Who notices a snapshot that was cloned in a job: the job's own children, its parent's wait(2), its subreaper. The processes:
 * a subreaper, under it a parent, under it the job, which makes the snapshot.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SNAPSHOT_STATUS = 42 };

static long clone_raw(unsigned long flags) { return syscall(SYS_clone, flags, 0, 0, 0, 0); }

static void job(int way) {
  if (way == 0 && clone_raw(0) == 0) _exit(SNAPSHOT_STATUS);
  if (way == 1 && clone_raw(CLONE_PARENT) == 0) _exit(SNAPSHOT_STATUS);
  if (way == 2) {
    pid_t helper = clone_raw(0);
    if (helper == 0) {
      if (clone_raw(0) == 0) _exit(SNAPSHOT_STATUS);
      _exit(0);
    }
    waitpid(helper, NULL, __WALL);
  }
  usleep(20000);
  char path[60], text[100] = "";
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", getpid(), getpid());
  FILE *file = fopen(path, "r");
  int has = file != NULL && fgets(text, sizeof text, file) != NULL;
  printf("  the job:        %s\n", has ? "has a child in /proc that it never made, a zombie" : "has no child");
  fflush(stdout);
  _exit(0);
}

static void parent(int way) {
  int status, strangers = 0;
  pid_t own = fork();
  if (own == 0) job(way);
  for (pid_t pid; (pid = wait(&status)) > 0;) strangers += pid != own;
  printf("  its parent:     wait(2) gives %s\n", strangers ? "a process that it never made" : "the job alone");
  fflush(stdout);
  _exit(0);
}

int main(void) {
  const char *ways[] = {"clone, no exit signal", "clone with CLONE_PARENT, no exit signal", "a clone of a clone, the one between reaped in the job"};
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (int way = 0; way < 3; way++) {
    int status, snapshots = 0;
    printf("%s\n", ways[way]);
    fflush(stdout);
    if (fork() == 0) parent(way);
    while (wait(&status) > 0) snapshots += WEXITSTATUS(status) == SNAPSHOT_STATUS;
    printf("  the subreaper:  %s\n", snapshots ? "reaps the snapshot" : "sees nothing of it");
  }
  return 0;
}

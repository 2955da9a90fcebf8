/*
 * What /proc shows of the job itself: directories, O_PATH descriptors, files of a child, of a zombie and of a thread, the
 * current directory, watched and inherited ones. Nothing of it exists before the processes and threads do.
 */
#include "fixture.h"
#include <sys/epoll.h>

static volatile pid_t thread_id;

static void *wait_along(void *unused) {
  (void)unused;
  prctl(PR_SET_NAME, "companion");
  thread_id = syscall(SYS_gettid);
  for (;;) nap(10000);
  return NULL;
}

static int open_of(const char *format, int number, int flags) {
  char path[64];
  snprintf(path, sizeof path, format, number);
  int fd = open(path, flags);
  MUST(fd != -1);
  return fd;
}

static int number_in(int directory, const char *name) {
  char text[64] = {0};
  int fd = directory == -1 ? -1 : openat(directory, name, O_RDONLY);
  if (fd == -1) return -1;
  int got = read(fd, text, sizeof text - 1);
  close(fd);
  return got > 0 ? atoi(text) : -1;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, wait_along, NULL) == 0);
  while (thread_id == 0) nap(1000);
  int descriptors = open("/proc/self/fd", O_RDONLY | O_DIRECTORY), own = open("/proc/self", O_PATH), all = open("/proc", O_RDONLY | O_DIRECTORY);
  int link_itself = open("/proc/self/exe", O_PATH | O_NOFOLLOW);
  int mounts = open("/proc/self/mounts", O_RDONLY), epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLPRI, .data.u64 = 7};
  MUST(descriptors != -1 && own != -1 && all != -1 && link_itself != -1 && mounts != -1 && epoll_ctl(epoll, EPOLL_CTL_ADD, mounts, &event) == 0);
  pid_t parent = getpid(), child = fork();
  MUST(child != -1);
  if (child == 0) {
    await_go();
    CHECK(number_in(own, "stat") == parent, "what the child inherited is of process %d", number_in(own, "stat"));
    child_ends();
  }
  pid_t zombie = fork();
  if (zombie == 0) _exit(7);
  siginfo_t info;
  MUST(waitid(P_PID, zombie, &info, WEXITED | WNOWAIT) == 0);
  int of_child = open_of("/proc/%d", child, O_RDONLY | O_DIRECTORY), of_zombie = open_of("/proc/%d/stat", zombie, O_RDONLY);
  int of_thread = open_of("/proc/self/task/%d/comm", thread_id, O_RDONLY), thread_folder = open_of("/proc/self/task/%d", thread_id, O_PATH);
  MUST(lseek(of_thread, 4, SEEK_SET) == 4 && chdir("/proc/self/task") == 0);

  ready();
  await_go();

  char text[64] = {0}, expected[64];
  CHECK(faccessat(descriptors, "0", F_OK, AT_SYMLINK_NOFOLLOW) == 0, "the directory of descriptors leads elsewhere");
  CHECK(number_in(own, "stat") == parent && parent == getpid(), "/proc/self is of process %d", number_in(own, "stat"));
  snprintf(expected, sizeof expected, "%d/stat", parent);
  CHECK(number_in(all, expected) == parent, "/proc itself leads elsewhere");
  struct stat status;
  CHECK(fstat(link_itself, &status) == 0 && S_ISLNK(status.st_mode), "the descriptor of a link became one of its target");
  CHECK(number_in(of_child, "stat") == child, "the child's directory is of process %d", number_in(of_child, "stat"));
  CHECK(read(of_zombie, text, 60) > 0 && atoi(text) == zombie && strstr(text, ") Z ") != NULL, "the zombie's file says: %s", text);
  memset(text, 0, sizeof text);
  CHECK(read(of_thread, text, 60) == 6 && strcmp(text, "anion\n") == 0, "the thread's file goes on with: %s", text);
  CHECK(number_in(thread_folder, "stat") == thread_id, "the thread's directory is of thread %d", number_in(thread_folder, "stat"));
  snprintf(expected, sizeof expected, "/proc/%d/task", parent);
  CHECK(getcwd(text, sizeof text) != NULL && strcmp(text, expected) == 0, "the current directory is %s", text);
  CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, mounts, NULL) == 0, "the watch is gone");
  int how = -1;
  CHECK(waitpid(zombie, &how, 0) == zombie && WEXITSTATUS(how) == 7, "the zombie ended with %#x", how);
  CHECK(lseek(of_zombie, 0, SEEK_SET) == 0 && read(of_zombie, text, 1) == -1 && errno == ESRCH, "the file of the zombie outlives it");
  expect_child(child, "the child");
  return finish();
}

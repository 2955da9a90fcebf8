/*
 * Pidfds: of a living child, of a zombie, of the process itself, of a grandchild, of a thread; made by pidfd_open and by clone;
 * shared by fork, watched by epoll; of a process that was reaped.
 */
#include "fixture.h"
#include <linux/sched.h>
#include <poll.h>
#include <sys/epoll.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define THREAD O_EXCL /* PIDFD_THREAD */

static int open_pidfd(pid_t pid, unsigned flags) { return syscall(SYS_pidfd_open, pid, flags); }

static int send_signal(int fd, int signal) { return syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0); }

static short events_of(int fd) {
  struct pollfd poller = {fd, POLLIN, 0};
  poll(&poller, 1, 0);
  return poller.revents;
}

static long pid_of(int fd) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  return (long)proc_number(path, "Pid:", 10);
}

static pid_t start_child(int *pidfd) {
  struct clone_args arguments = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)pidfd, .exit_signal = SIGCHLD};
  return syscall(SYS_clone3, &arguments, sizeof arguments);
}

static _Atomic pid_t thread_tid;
static int thread_goes[2];

static void *thread_main(void *argument) {
  char byte;
  thread_tid = gettid();
  if (read(thread_goes[0], &byte, 1) != 1) _exit(4);
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  int living_goes[2], child_fd = -1, status;
  MUST(pipe(living_goes) == 0 && pipe(thread_goes) == 0);

  /* Opened before the child exists, so that it is inherited: of this process itself. */
  int self = open_pidfd(getpid(), 0);
  if (self == -1) skip("no pidfds on this machine");
  pid_t living = start_child(&child_fd);
  MUST(living != -1);
  if (living == 0) {
    /* Its parent is named by a descriptor that it has inherited: the same open file description. */
    char byte;
    if (read(living_goes[0], &byte, 1) != 1) _exit(4);
    CHECK(pid_of(self) == getppid(), "the inherited pidfd is of %ld, not of %d", pid_of(self), getppid());
    CHECK((fcntl(self, F_GETFL) & O_NONBLOCK) != 0, "the inherited pidfd is not the same open file description");
    _exit(differences > 0 ? 1 : 7);
  }
  pid_t dead = fork();
  MUST(dead != -1);
  if (dead == 0) _exit(9);
  int zombie = open_pidfd(dead, O_NONBLOCK);
  MUST(zombie != -1);
  siginfo_t info;
  MUST(waitid(P_PIDFD, zombie, &info, WEXITED | WNOWAIT) == 0 || errno == EAGAIN);
  while (!(events_of(zombie) & POLLIN)) nap(1000);

  pid_t gone = fork();
  MUST(gone != -1);
  if (gone == 0) _exit(3);
  int reaped = open_pidfd(gone, 0), reaped_too = open_pidfd(gone, O_NONBLOCK);
  MUST(reaped != -1 && reaped_too != -1 && waitpid(gone, &status, 0) == gone);
  struct stat before[2], after[2];
  MUST(fstat(reaped, &before[0]) == 0 && fstat(reaped_too, &before[1]) == 0);
  short reaped_events = events_of(reaped);

  int twice = open_pidfd(living, 0), duplicate = dup(twice);
  MUST(twice != -1 && fcntl(twice, F_SETFD, FD_CLOEXEC) == 0);
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, thread_main, NULL) == 0);
  while (thread_tid == 0) nap(1000);
  int of_thread = open_pidfd(thread_tid, THREAD); /* Linux 6.9 */
  pid_t tid = thread_tid;

  int epoll = epoll_create1(0);
  struct epoll_event event = {EPOLLIN, {.u64 = 11}}, got[4];
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, twice, &event) == 0);
  event.data.u64 = 12;
  MUST(of_thread == -1 || epoll_ctl(epoll, EPOLL_CTL_ADD, of_thread, &event) == 0);
  MUST(fcntl(self, F_SETFL, fcntl(self, F_GETFL) | O_NONBLOCK) == 0);
  int flags[] = {fcntl(self, F_GETFL), fcntl(zombie, F_GETFL), fcntl(twice, F_GETFL)};

  ready();
  await_go();

  CHECK(fcntl(self, F_GETFL) == flags[0] && fcntl(zombie, F_GETFL) == flags[1] && fcntl(twice, F_GETFL) == flags[2], "flags differ");
  CHECK(fcntl(twice, F_GETFD) == FD_CLOEXEC && fcntl(duplicate, F_GETFD) == 0 && fcntl(child_fd, F_GETFD) == FD_CLOEXEC, "close-on-exec differs");
  CHECK(syscall(SYS_kcmp, getpid(), getpid(), 0, twice, duplicate) == 0 && syscall(SYS_kcmp, getpid(), getpid(), 0, twice, child_fd) != 0, "descriptions are shared otherwise");
  CHECK(pid_of(self) == getpid() && send_signal(self, 0) == 0, "the pidfd of this process is of %ld", pid_of(self));
  CHECK(pid_of(child_fd) == living && pid_of(twice) == living && send_signal(child_fd, 0) == 0, "the pidfds of the child are of %ld and %ld", pid_of(child_fd), pid_of(twice));
  CHECK(events_of(child_fd) == 0 && events_of(self) == 0, "the living have ended");
  CHECK(pid_of(reaped) == -1 && send_signal(reaped, 0) == -1 && errno == ESRCH, "the reaped process is %ld", pid_of(reaped));
  CHECK(events_of(reaped) == reaped_events && (reaped_events & POLLIN), "the reaped process has events %#x, not %#x", events_of(reaped), reaped_events);
  CHECK(waitid(P_PIDFD, reaped, &info, WEXITED) == -1 && errno == ECHILD, "the reaped process can be waited for");
  MUST(fstat(reaped, &after[0]) == 0 && fstat(reaped_too, &after[1]) == 0);
  CHECK((before[0].st_ino == before[1].st_ino) == (after[0].st_ino == after[1].st_ino), "the pidfds of one process are of two");
  CHECK((events_of(zombie) & POLLIN) && pid_of(zombie) == dead, "the zombie is %ld", pid_of(zombie));
  CHECK(waitid(P_PIDFD, zombie, &info, WEXITED) == 0 && info.si_pid == dead && info.si_status == 9, "the zombie gave %d", info.si_status);

  CHECK(epoll_wait(epoll, got, 4, 0) == 0, "the epoll sees an end too early");
  if (of_thread != -1) {
    CHECK(pid_of(of_thread) == tid, "the thread's pidfd is of %ld", pid_of(of_thread));
    MUST(write(thread_goes[1], "x", 1) == 1 && pthread_join(thread, NULL) == 0);
    CHECK(epoll_wait(epoll, got, 4, 5000) == 1 && got[0].data.u64 == 12, "the epoll does not see the thread's end");
    epoll_ctl(epoll, EPOLL_CTL_DEL, of_thread, NULL);
  }
  MUST(write(living_goes[1], "x", 1) == 1);
  CHECK(epoll_wait(epoll, got, 4, 5000) == 1 && got[0].data.u64 == 11, "the epoll does not see the child's end");
  CHECK(waitid(P_PIDFD, duplicate, &info, WEXITED) == 0 && info.si_pid == living && info.si_status == 7, "the child gave %d", info.si_status);
  CHECK(pid_of(child_fd) == -1, "the reaped child is %ld", pid_of(child_fd));
  return finish();
}

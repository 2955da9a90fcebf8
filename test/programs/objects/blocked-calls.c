/*
 * Threads in system calls that block for as long as nobody ends them. The cut interrupts every one; none may return
 * because of it: no EINTR that no signal explains, no short count, no spurious wake.
 */
#include "fixture.h"
#include <dirent.h>
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static _Atomic int started, go, returned;
static int data[16][2];
static int full[2];
static pid_t child;
static uint32_t word;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, for_condition = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static bool signalled;
static sem_t semaphore;
static int locked_file, event, timer, signal_fd;
static pthread_t sleeper;

/* Between these two a thread is in its call; whatever returns before the go is wrong. */
static void enter(void) { started++; }
static void leave(const char *call, long result, long wanted) {
  int error = errno;
  returned++;
  if (!go) CHECK(false, "%s returned %ld before it could (errno %d)", call, result, error);
  errno = error;
  CHECK(result == wanted, "%s returned %ld, not %ld", call, result, wanted);
}

/* The mask of calls that bring one of their own: the signals that others wait for stay blocked, or they would come here. */
static sigset_t while_waiting(void) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  sigdelset(&mask, SIGUSR1);
  return mask;
}

static void *in_read(void *unused) {
  char byte;
  enter();
  leave("read", read(data[0][0], &byte, 1), 1);
  return NULL;
}
static void *in_readv(void *unused) {
  char a, b;
  struct iovec vector[] = {{&a, 1}, {&b, 1}};
  enter();
  leave("readv", readv(data[1][0], vector, 2), 1);
  return NULL;
}
static void *in_write(void *unused) {
  static char bytes[5000];
  enter();
  leave("write", write(full[1], bytes, 5000), 5000);
  return NULL;
}
static void *in_poll(void *unused) {
  struct pollfd poller = {data[2][0], POLLIN, 0};
  enter();
  leave("poll", poll(&poller, 1, -1), 1);
  return NULL;
}
static void *in_ppoll(void *unused) {
  struct pollfd poller = {data[3][0], POLLIN, 0};
  sigset_t none = while_waiting();
  enter();
  leave("ppoll", ppoll(&poller, 1, NULL, &none), 1);
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, NULL, &now);
  CHECK(sigismember(&now, SIGUSR1) == 1, "ppoll's mask stayed");
  return NULL;
}
static void *in_select(void *unused) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(data[4][0], &set);
  enter();
  leave("select", select(data[4][0] + 1, &set, NULL, NULL, NULL), 1);
  return NULL;
}
static void *in_pselect(void *unused) {
  fd_set set;
  sigset_t none = while_waiting();
  FD_ZERO(&set);
  FD_SET(data[5][0], &set);
  enter();
  leave("pselect", pselect(data[5][0] + 1, &set, NULL, NULL, NULL, &none), 1);
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, NULL, &now);
  CHECK(sigismember(&now, SIGUSR1) == 1, "pselect's mask stayed");
  return NULL;
}
static void *in_epoll_wait(void *unused) {
  int epoll = epoll_create1(0);
  struct epoll_event event = {EPOLLIN, {.fd = 1}};
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, data[6][0], &event) == 0);
  enter();
  leave("epoll_wait", epoll_wait(epoll, &event, 1, -1), 1);
  return NULL;
}
static void *in_epoll_pwait(void *unused) {
  int epoll = epoll_create1(0);
  struct epoll_event event = {EPOLLIN, {.fd = 1}};
  sigset_t none = while_waiting();
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, data[7][0], &event) == 0);
  enter();
  leave("epoll_pwait", epoll_pwait(epoll, &event, 1, -1, &none), 1);
  return NULL;
}
static void *in_futex(void *unused) {
  word = 5;
  enter();
  leave("futex", syscall(SYS_futex, &word, FUTEX_WAIT, 5, NULL, NULL, 0), 0);
  return NULL;
}
static void *in_mutex(void *unused) {
  enter();
  leave("pthread_mutex_lock", pthread_mutex_lock(&mutex), 0);
  pthread_mutex_unlock(&mutex);
  return NULL;
}
static void *in_condition(void *unused) {
  pthread_mutex_lock(&for_condition);
  enter();
  while (!signalled) CHECK(pthread_cond_wait(&condition, &for_condition) == 0, "pthread_cond_wait fails");
  leave("pthread_cond_wait", 0, 0);
  pthread_mutex_unlock(&for_condition);
  return NULL;
}
static void *in_semaphore(void *unused) {
  enter();
  leave("sem_wait", sem_wait(&semaphore), 0);
  return NULL;
}
static void *in_join(void *unused) {
  enter();
  leave("pthread_join", pthread_join(sleeper, NULL), 0);
  return NULL;
}
static void *in_wait4(void *unused) {
  int status = 0;
  enter();
  leave("wait4", waitpid(child, &status, 0), child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 17, "wait4 gave status %#x", status);
  return NULL;
}
static void *in_sigwaitinfo(void *unused) {
  sigset_t set;
  siginfo_t info;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 1);
  enter();
  leave("rt_sigtimedwait", syscall(SYS_rt_sigtimedwait, &set, &info, NULL, 8), SIGRTMIN + 1);
  return NULL;
}
static void *in_flock(void *unused) {
  int fd = open("locked", O_RDWR);
  enter();
  leave("flock", flock(fd, LOCK_EX), 0);
  return NULL;
}
static void *in_eventfd(void *unused) {
  uint64_t count;
  enter();
  leave("read of an eventfd", read(event, &count, 8), 8);
  return NULL;
}
static void *in_timerfd(void *unused) {
  uint64_t count;
  enter();
  leave("read of a timerfd", read(timer, &count, 8), 8);
  return NULL;
}
static void *in_signalfd(void *unused) {
  struct signalfd_siginfo info;
  enter();
  leave("read of a signalfd", read(signal_fd, &info, sizeof info), sizeof info);
  return NULL;
}
static void *in_fifo_open(void *unused) {
  enter();
  int fd = open("waiting", O_RDONLY);
  leave("open of a fifo", fd >= 0, 1);
  return NULL;
}
static void *in_splice(void *unused) {
  enter();
  leave("splice", splice(data[8][0], NULL, data[9][1], NULL, 1, 0), 1);
  return NULL;
}
static void *in_lock_wait(void *unused) {
  int fd = open("record-locked", O_RDWR);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  enter();
  leave("fcntl(F_OFD_SETLKW)", fcntl(fd, F_OFD_SETLKW, &lock), 0);
  return NULL;
}
static void *sleeps(void *unused) {
  while (!go) nap(1000);
  return NULL;
}

static void *(*const calls[])(void *) = {in_read, in_readv, in_write, in_poll, in_ppoll, in_select, in_pselect, in_epoll_wait, in_epoll_pwait, in_futex, in_mutex, in_condition, in_semaphore, in_join, in_wait4, in_sigwaitinfo, in_flock, in_eventfd, in_timerfd, in_signalfd, in_fifo_open, in_splice, in_lock_wait};
enum { CALLS = sizeof calls / sizeof *calls };

/* How many threads of this process sleep in the kernel. */
static int sleeping_threads(void) {
  char path[300];
  int count = 0;
  DIR *tasks = opendir("/proc/self/task");
  for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
    snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
    FILE *file = fopen(path, "re");
    char state = 0;
    if (file == NULL) continue;
    if (fscanf(file, "%*d %*[^)]) %c", &state) == 1 && state == 'S') count++;
    fclose(file);
  }
  closedir(tasks);
  return count;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigaddset(&blocked, SIGUSR2);
  sigaddset(&blocked, SIGRTMIN + 1);
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
  for (int i = 0; i < 16; i++) MUST(pipe(data[i]) == 0);
  MUST(pipe(full) == 0 && fcntl(full[1], F_SETPIPE_SZ, 4096) == 4096);
  static char page[4096];
  MUST(write(full[1], page, 4096) == 4096);
  sem_init(&semaphore, 0, 0);
  pthread_mutex_lock(&mutex);
  locked_file = open("locked", O_RDWR | O_CREAT, 0600);
  MUST(flock(locked_file, LOCK_EX) == 0 && mkfifo("waiting", 0600) == 0);
  int record_locked = open("record-locked", O_RDWR | O_CREAT, 0600);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  MUST(fcntl(record_locked, F_SETLK, &lock) == 0);
  event = eventfd(0, 0);
  timer = timerfd_create(CLOCK_MONOTONIC, 0);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  signal_fd = signalfd(-1, &set, 0);
  child = fork();
  MUST(child != -1);
  if (child == 0) {
    char byte;
    _exit(read(data[10][0], &byte, 1) == 1 ? 17 : 18);
  }
  pthread_t threads[CALLS];
  MUST(pthread_create(&sleeper, NULL, sleeps, NULL) == 0);
  for (int i = 0; i < CALLS; i++) MUST(pthread_create(&threads[i], NULL, calls[i], NULL) == 0);
  while (started < CALLS) nap(1000);
  for (int i = 0; i < 1000 && sleeping_threads() < CALLS; i++) nap(1000);

  ready();
  await_go();

  nap(20000);
  CHECK(returned == 0, "%d calls returned by themselves", returned);
  go = 1;
  for (int i = 0; i < 11; i++) MUST(write(data[i][1], "x", 1) == 1);
  static char drained[9096];
  MUST(read_fully(full[0], drained, 9096) == 0);
  word = 6;
  syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
  pthread_mutex_unlock(&mutex);
  pthread_mutex_lock(&for_condition);
  signalled = true;
  pthread_cond_signal(&condition);
  pthread_mutex_unlock(&for_condition);
  sem_post(&semaphore);
  kill(getpid(), SIGRTMIN + 1);
  kill(getpid(), SIGUSR2);
  flock(locked_file, LOCK_UN);
  lock.l_type = F_UNLCK;
  fcntl(record_locked, F_SETLK, &lock);
  uint64_t one = 1;
  MUST(write(event, &one, 8) == 8);
  struct itimerspec at_once = {{0, 0}, {0, 1}};
  MUST(timerfd_settime(timer, 0, &at_once, NULL) == 0);
  int writer = open("waiting", O_WRONLY);
  CHECK(writer != -1, "nobody waits at the fifo");
  for (int i = 0; i < CALLS; i++) CHECK(pthread_join(threads[i], NULL) == 0, "thread %d does not end", i);
  return finish();
}

/*
 * A program whose first thread has ended while others live: the process is a zombie to look at and well alive, with descriptors,
 * a child, a lock, memory and a sleeping thread.
 */
#include "fixture.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

static pid_t tid_before;
static pthread_t first;
static int to_thread[2], to_child[2];
static _Atomic int answer;

static void *sleeper(void *argument) {
  char byte = 0;
  if (read(to_thread[0], &byte, 1) != 1) _exit(4);
  answer = byte;
  return NULL;
}

static char state_of_first(void) {
  char path[64], text[64] = {0}, state = '?';
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
  int fd = open(path, O_RDONLY);
  MUST(fd != -1 && read(fd, text, sizeof text - 1) > 0);
  close(fd);
  sscanf(text, "%*d (%*[^)]) %c", &state);
  return state;
}

static void *other(void *argument) {
  pthread_join(first, NULL);
  while (state_of_first() != 'Z') nap(1000);
  tid_before = gettid();
  int file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600), epoll = epoll_create1(EPOLL_CLOEXEC), counter = eventfd(3, EFD_NONBLOCK);
  struct epoll_event event = {EPOLLIN, {.u64 = 5}}, got = {0};
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 4};
  MUST(file != -1 && write(file, "0123456789", 10) == 10 && fcntl(file, F_SETLK, &lock) == 0);
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, counter, &event) == 0 && pipe(to_thread) == 0 && pipe(to_child) == 0);
  char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(memory != MAP_FAILED && shared != MAP_FAILED);
  fill(memory, 1 << 20, 3);
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    char byte;
    if (read(to_child[0], &byte, 1) != 1) _exit(4);
    CHECK(lseek(file, 0, SEEK_CUR) == 12, "the child is at %ld", (long)lseek(file, 0, SEEK_CUR));
    CHECK(getppid() != 1 && fcntl(file, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK && lock.l_pid == getppid(), "the lock is of %d", lock.l_pid);
    shared[0] = 9;
    child_ends();
  }
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, sleeper, NULL) == 0);
  pid_t pid_before = getpid();

  ready();
  await_go();

  CHECK(gettid() == tid_before && getpid() == pid_before, "tid %d, not %d; pid %d, not %d", gettid(), tid_before, getpid(), pid_before);
  CHECK(getpid() != gettid(), "the other thread became the leader");
  /* After a restart it ends as soon as it runs. */
  while (state_of_first() != 'Z') nap(1000);
  CHECK(is_filled(memory, 1 << 20, 3), "the memory differs");
  CHECK(lseek(file, 0, SEEK_CUR) == 10 && write(file, "ab", 2) == 2, "the position differs");
  uint64_t count = 0;
  CHECK(epoll_wait(epoll, &got, 1, 0) == 1 && got.data.u64 == 5 && read(counter, &count, 8) == 8 && count == 3, "the epoll or the eventfd differs");
  MUST(write(to_thread[1], "x", 1) == 1 && pthread_join(thread, NULL) == 0);
  CHECK(answer == 'x', "the thread read %d", answer);
  MUST(write(to_child[1], "x", 1) == 1);
  expect_child(child, "the child");
  CHECK(shared[0] == 9, "shared memory is not shared");
  exit(finish());
}

int main(int argc, char **argv) {
  begin(argc, argv);
  pthread_t thread;
  first = pthread_self();
  MUST(pthread_create(&thread, NULL, other, NULL) == 0);
  pthread_exit(NULL);
}

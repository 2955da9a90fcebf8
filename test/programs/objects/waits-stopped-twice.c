/* Threads that wait with a time limit while several checkpoints are taken: none of them is told of an interruption. */
#include "fixture.h"
#include <linux/futex.h>
#include <poll.h>

static int pipe_[2];
static _Atomic uint32_t word;
static _Atomic int sleepers_done;
static _Atomic bool is_gone;

static void *polls_for_ever(void *unused) {
  struct pollfd one = {pipe_[0], POLLIN, 0};
  int result = poll(&one, 1, -1);
  CHECK(result == 1 && is_gone, "poll without a limit gives %d", result);
  return NULL;
}

static void *polls_long(void *unused) {
  struct pollfd one = {pipe_[0], POLLIN, 0};
  int result = poll(&one, 1, 10 * 60 * 1000);
  CHECK(result == 1 && is_gone, "poll with a limit gives %d", result);
  return NULL;
}

static void *waits_for_a_word(void *unused) {
  struct timespec limit = {600, 0};
  long result = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &limit, NULL, 0);
  CHECK(result == 0 || (result == -1 && errno == EAGAIN && is_gone), "futex gives %ld", result);
  return NULL;
}

static void *sleeps(void *unused) {
  /* As long as several checkpoints take, again and again. */
  while (!is_gone) {
    struct timespec time = {2, 500000000};
    CHECK(nanosleep(&time, NULL) == 0, "nanosleep fails");
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL) == 0, "clock_nanosleep fails");
  }
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  void *(*const kinds[])(void *) = {polls_for_ever, polls_long, waits_for_a_word, sleeps};
  pthread_t threads[4];
  MUST(pipe(pipe_) == 0);
  for (int i = 0; i < 4; i++) MUST(pthread_create(&threads[i], NULL, kinds[i], NULL) == 0);
  nap(100000);
  ready();
  await_go();
  nap(100000);
  is_gone = true;
  word = 1;
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
  MUST(write(pipe_[1], "x", 1) == 1);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  return finish();
}

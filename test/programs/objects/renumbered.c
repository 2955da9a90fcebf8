/*
 * What goes on though processes and threads get other numbers: signals to threads, recursive locks taken afterwards, timers that signal one
 * thread, children that are waited for whoever they are, and groups.
 */
#include "fixture.h"

enum { THREADS = 4 };
static _Atomic int caught[THREADS], turns[THREADS];
static _Atomic int over;
static __thread int self = -1;

static void on_signal(int signal) {
  if (self >= 0) caught[self]++;
}

static void *thread(void *argument) {
  self = (int)(intptr_t)argument;
  while (!over) {
    turns[self]++;
    nap(1000);
  }
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  MUST(sigaction(SIGUSR1, &action, NULL) == 0);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) MUST(pthread_create(&threads[i], NULL, thread, (void *)(intptr_t)i) == 0);
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    MUST(setpgid(0, 0) == 0);
    await_go();
    CHECK(getpgrp() == getpid() && getppid() > 1, "the child leads group %d as %d", getpgrp(), getpid());
    _exit(differences == 0 ? 7 : 1);
  }
  ready();
  await_go();

  CHECK(getpid() == (pid_t)syscall(SYS_gettid), "the first thread is not the process");
  for (int i = 0; i < THREADS; i++) {
    int before = turns[i];
    for (int j = 0; j < 20000 && turns[i] == before; j++) nap(1000);
    CHECK(pthread_kill(threads[i], SIGUSR1) == 0, "thread %d cannot be signalled", i);
    for (int j = 0; j < 20000 && caught[i] == 0; j++) nap(1000);
    CHECK(caught[i] == 1, "thread %d caught %d signals", i, caught[i]);
  }
  pthread_mutexattr_t recursive;
  pthread_mutex_t mutex;
  pthread_mutexattr_init(&recursive);
  pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutexattr_setprotocol(&recursive, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&mutex, &recursive);
  CHECK(pthread_mutex_lock(&mutex) == 0 && pthread_mutex_lock(&mutex) == 0, "a recursive lock is not taken twice");
  CHECK(pthread_mutex_unlock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0, "a recursive lock is not given back");
  over = 1;
  for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0, "thread %d is not joined", i);
  int status = 0;
  CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 7, "the child ended with wait status %#x", status);
  return finish();
}

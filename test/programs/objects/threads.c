/* Threads by the hundred: tids, names, thread-local storage, masks, joins, and a mutex, conditions and a barrier among them. */
#include "fixture.h"
#include <semaphore.h>

enum { THREADS = 300 };

static pthread_t handles[THREADS];
static _Atomic pid_t tids[THREADS];
static __thread uint64_t own[64];
static __thread int last_in_block = 4711;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static pthread_key_t key;
static _Atomic int started, destroyed, woken;
static bool released;

static void destroy(void *value) { destroyed++; }

static void *thread(void *argument) {
  int index = (int)(intptr_t)argument;
  char name[16], seen[16];
  snprintf(name, sizeof name, "thread %d", index);
  prctl(PR_SET_NAME, name);
  fill(own, sizeof own, index);
  last_in_block += index;
  pthread_setspecific(key, &own[index % 64]);
  sigset_t mask, seen_mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGRTMIN + index % 20);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  pthread_t self = pthread_self();
  pid_t tid = gettid();
  tids[index] = tid;
  started++;
  /* A third waits for each of three things; all of them sleep in a futex when the cut comes. */
  if (index % 3 == 0) {
    pthread_mutex_lock(&mutex);
    while (!released) pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
  } else if (index % 3 == 1) {
    while (sem_wait(&semaphore) == -1) CHECK(errno != EINTR, "thread %d: sem_wait was interrupted", index);
  } else {
    pthread_rwlock_rdlock(&rwlock);
    pthread_rwlock_unlock(&rwlock);
  }
  woken++;
  CHECK(gettid() == tid, "thread %d has tid %d, not %d", index, gettid(), tid);
  CHECK(pthread_equal(pthread_self(), self), "thread %d is another thread", index);
  CHECK(is_filled(own, sizeof own, index) && last_in_block == 4711 + index, "thread %d: its own storage differs", index);
  CHECK(pthread_getspecific(key) == &own[index % 64], "thread %d: its specific value differs", index);
  prctl(PR_GET_NAME, seen);
  CHECK(strcmp(seen, name) == 0, "thread %d is called %s", index, seen);
  pthread_sigmask(SIG_SETMASK, NULL, &seen_mask);
  CHECK(memcmp(&seen_mask, &mask, 8) == 0, "thread %d has another mask", index);
  pthread_barrier_wait(&barrier);
  return (void *)(intptr_t)(index * 3);
}

int main(int argc, char **argv) {
  begin(argc, argv);
  pthread_barrier_init(&barrier, NULL, THREADS);
  sem_init(&semaphore, 0, 0);
  pthread_key_create(&key, destroy);
  pthread_rwlock_wrlock(&rwlock);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 128 * 1024);
  for (int i = 0; i < THREADS; i++) MUST(pthread_create(&handles[i], &attributes, thread, (void *)(intptr_t)i) == 0);
  while (started < THREADS) nap(1000);

  ready();
  await_go();

  CHECK(woken == 0, "%d threads went on by themselves", woken);
  pthread_mutex_lock(&mutex);
  released = true;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
  pthread_rwlock_unlock(&rwlock);
  for (int i = 0; i < THREADS; i++) sem_post(&semaphore);
  for (int i = 0; i < THREADS; i++) {
    void *result = NULL;
    CHECK(pthread_join(handles[i], &result) == 0 && result == (void *)(intptr_t)(i * 3), "thread %d ends with %p", i, result);
  }
  CHECK(destroyed == THREADS, "%d destructors of thread-specific values ran", destroyed);
  return finish();
}

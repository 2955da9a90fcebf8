/*
 * Threads that compute in rounds: vectors wide enough for the widest registers, a sum in thread-local storage, a queue
 * guarded by a mutex and two conditions, a barrier at the end of each round. Each round's checksum is printed.
 * Arguments: rounds, work per round.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 4, LENGTH = 4096, QUEUE = 8 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static int queue[QUEUE], head, tail;
static double fields[WORKERS][LENGTH];
static uint64_t sums[WORKERS], total;
static int rounds, work;
static __thread uint64_t own_sum;
static __thread uint32_t own_state;

__attribute__((target_clones("avx512f", "avx2", "default"))) static double relax(double *field, int times) {
  double sum = 0;
  for (int t = 0; t < times; t++)
    for (int i = 1; i < LENGTH - 1; i++) field[i] = field[i] * 0.999 + 0.5 / (1.0 + field[i] * field[i]);
  for (int i = 0; i < LENGTH; i++) sum += field[i];
  return sum;
}

static int take(void) {
  pthread_mutex_lock(&mutex);
  while (head == tail) pthread_cond_wait(&not_empty, &mutex);
  int item = queue[tail++ % QUEUE];
  pthread_cond_signal(&not_full);
  pthread_mutex_unlock(&mutex);
  return item;
}

static void put(int item) {
  pthread_mutex_lock(&mutex);
  while (head - tail == QUEUE) pthread_cond_wait(&not_full, &mutex);
  queue[head++ % QUEUE] = item;
  pthread_cond_signal(&not_empty);
  pthread_mutex_unlock(&mutex);
}

static void *worker(void *argument) {
  int self = (int)(intptr_t)argument;
  own_state = self + 1;
  for (int round = 0; round < rounds; round++) {
    double value = relax(fields[self], work);
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 1000; i++) {
      own_state = own_state * 1664525 + 1013904223;
      own_sum += own_state ^ bits;
    }
    /* What a worker takes from the queue is anybody's; what all of them take together is not. */
    uint64_t taken = 0;
    for (int i = 0; i < 20; i++) taken += take();
    sums[self] = own_sum;
    __atomic_fetch_add(&total, taken, __ATOMIC_SEQ_CST);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
  }
  return (void *)(uintptr_t)own_sum;
}

int main(int argc, char **argv) {
  rounds = argc > 1 ? atoi(argv[1]) : 200;
  work = argc > 2 ? atoi(argv[2]) : 100;
  pthread_barrier_init(&barrier, NULL, WORKERS + 1);
  pthread_t threads[WORKERS];
  for (int i = 0; i < WORKERS; i++) {
    for (int j = 0; j < LENGTH; j++) fields[i][j] = (i + 1) * 0.01 * j;
    if (pthread_create(&threads[i], NULL, worker, (void *)(intptr_t)i) != 0) return 1;
  }
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < WORKERS * 20; i++) put(round * 1000 + i);
    pthread_barrier_wait(&barrier);
    uint64_t checksum = total;
    for (int i = 0; i < WORKERS; i++) checksum = checksum * 31 + sums[i];
    printf("round %d checksum %016lx\n", round, (unsigned long)checksum);
    fflush(stdout);
    pthread_barrier_wait(&barrier);
  }
  uint64_t result = 0;
  for (int i = 0; i < WORKERS; i++) {
    void *sum;
    pthread_join(threads[i], &sum);
    result ^= (uintptr_t)sum;
  }
  printf("result %016lx\n", (unsigned long)result);
  return 3;
}

/*
 * OpenMP in most of its forms: loops that are dealt out by turns and on demand, a reduction, tasks that wait for tasks, a
 * critical section, variables of each thread's own, a team inside a team. Whole numbers where the order of a sum is anybody's.
 * Arguments: rounds.
 */
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LENGTH = 20000, THREADS = 4 };

static double field[LENGTH], next[LENGTH];
static uint64_t own;
#pragma omp threadprivate(own)

static uint64_t leaves(uint64_t seed, int depth) {
  if (depth == 0) {
    for (int i = 0; i < 500; i++) seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed;
  }
  uint64_t left, right;
#pragma omp task shared(left)
  left = leaves(seed * 2 + 1, depth - 1);
#pragma omp task shared(right)
  right = leaves(seed * 3 + 2, depth - 1);
#pragma omp taskwait
  return left * 31 + right;
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 300;
  uint64_t chain = 1;
  omp_set_max_active_levels(2);
  for (int i = 0; i < LENGTH; i++) field[i] = i % 1009;
#pragma omp parallel num_threads(THREADS)
  own = (uint64_t)omp_get_thread_num() + 1;
  for (int round = 0; round < rounds; round++) {
    uint64_t sum = 0, tree = 0, mixed = 0, inner = 0;
#pragma omp parallel num_threads(THREADS)
    {
#pragma omp for schedule(static)
      for (int i = 0; i < LENGTH; i++) next[i] = 0.5 * field[i] + 0.5 * field[(i * 7) % LENGTH] + 1.0 / (1 + i + round);
#pragma omp for schedule(dynamic, 64) reduction(+ : sum)
      for (int i = 0; i < LENGTH; i++) {
        field[i] = next[i] + next[LENGTH - 1 - i] * 0.25;
        sum += (uint64_t)(field[i] * 1e6);
      }
      own = own * 6364136223846793005u + 1442695040888963407u;
#pragma omp critical
      mixed ^= own;
#pragma omp barrier
#pragma omp single
      tree = leaves(chain, 5);
    }
    if (round % 10 == 0) {
#pragma omp parallel num_threads(2) reduction(+ : inner)
      {
        uint64_t mine = 0;
#pragma omp parallel for num_threads(2) reduction(+ : mine)
        for (int i = 0; i < 1000; i++) mine += (uint64_t)i * (uint64_t)round;
        inner += mine;
      }
    }
    chain = chain * 31 + (sum ^ tree ^ mixed ^ inner);
    printf("round %d chain %016lx\n", round, (unsigned long)chain);
    fflush(stdout);
    nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
  }
  return 9;
}

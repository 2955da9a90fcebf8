/*
 * Which pages of a System V segment hold anything? Reading a segment through a mapping answers, and makes every page that was
 * not there. mincore(2) answers without, unless pages are in swap.
 *
 * A segment of the size given (in MiB, 1024 if none), one page in every 256 touched; both ways, with what the segment takes after.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static unsigned long resident_mib(void) {
  struct { int used; unsigned long total, resident, swapped, attempts, successes; } info;
  shmctl(0, 14, (struct shmid_ds *)&info); /* SHM_INFO */
  return info.resident / 256;
}

int main(int argc, char **argv) {
  size_t bytes = (size_t)(argc > 1 ? atol(argv[1]) : 1024) << 20, pages = bytes / 4096;
  int id = shmget(IPC_PRIVATE, bytes, 0600);
  char *writer = shmat(id, NULL, 0);
  shmctl(id, IPC_RMID, NULL);
  for (size_t page = 0; page < pages; page += 256) writer[page * 4096] = 1;
  unsigned long before = resident_mib();
  char *reader = shmat(id, NULL, SHM_RDONLY);
  unsigned char *states = malloc(pages);
  double start = now();
  mincore(reader, bytes, states);
  size_t found = 0;
  for (size_t page = 0; page < pages; page++) found += states[page] & 1;
  printf("mincore: %.1f ms, %zu of %zu pages, %lu MiB more than before\n", now() - start, found, pages, resident_mib() - before);
  start = now();
  for (size_t page = 0; page < pages; page++) (void)*(volatile char *)(reader + page * 4096);
  printf("reading: %.1f ms, %lu MiB more than before\n", now() - start, resident_mib() - before);
  return 0;
}

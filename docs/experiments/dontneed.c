/*
 * What MADV_DONTNEED leaves in private memory that is mapped from a file, as against anonymous memory; and what it costs to
 * fill anonymous memory from a file. Arguments: a scratch file, its size in MiB.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static void after_dontneed(const char *what, char *memory) {
  memory[0] = 'n'; // what the program has made of it since the restart
  madvise(memory, 4096, MADV_DONTNEED);
  printf("%-28s reads %s after MADV_DONTNEED\n", what, memory[0] == 0 ? "zero" : "the checkpoint's byte");
}

int main(int argc, char **argv) {
  size_t bytes = (argc > 2 ? strtoul(argv[2], NULL, 10) : 1024) << 20;
  int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
  char *block = malloc(1 << 20);
  memset(block, 'c', 1 << 20);
  for (size_t done = 0; done < bytes; done += 1 << 20)
    if (write(fd, block, 1 << 20) != 1 << 20) return perror("write"), 1;
  after_dontneed("MAP_PRIVATE of the file", mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
  for (int run = 0; run < 5; run++) {
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    double start = now();
    for (size_t done = 0; done < bytes;) {
      ssize_t count = pread(fd, memory + done, bytes - done, done);
      if (count <= 0) return perror("pread"), 1;
      done += count;
    }
    double read_ms = now() - start;
    if (run == 0) after_dontneed("anonymous, filled by pread", memory);
    munmap(memory, bytes);
    start = now();
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    double map_ms = now() - start;
    start = now();
    for (size_t at = 0; at < bytes; at += 4096) memory[at] = 'x';
    double touch_ms = now() - start;
    munmap(memory, bytes);
    printf("%zu MiB: pread %.0f ms; mmap %.3f ms, and %.0f ms of faults when every page is written\n", bytes >> 20, read_ms, map_ms, touch_ms);
  }
  return unlink(argv[1]);
}

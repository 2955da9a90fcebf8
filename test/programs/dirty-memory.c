/*
 * Writes all of its memory over and over, and checks at each round that the round before is there. Arguments: the go-file, how many
 * MiB, and, if it is to live in a cgroup from before its first page on, that cgroup's file of processes.
 */
#include "fixture.h"

int main(int argc, char **argv) {
  begin(argc, argv);
  if (argc < 3) return 2;
  if (argc > 3) {
    int fd = open(argv[3], O_WRONLY);
    if (fd == -1 || dprintf(fd, "%d", getpid()) < 0) skip("this user may not enter the cgroup");
    close(fd);
  }
  size_t words = ((size_t)atoi(argv[2]) << 20) / sizeof(uint32_t);
  uint32_t *memory = mmap(NULL, words * sizeof *memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MUST(memory != MAP_FAILED);
  for (size_t i = 0; i < words; i++) memory[i] = i;
  ready();
  for (uint32_t round = 1; !is_go(); round++)
    for (size_t i = 0; i < words; i++) {
      if (memory[i] != (uint32_t)i + round - 1) {
        CHECK(false, "the memory at word %zu, in round %u", i, round);
        return finish();
      }
      memory[i] = (uint32_t)i + round;
    }
  return finish();
}

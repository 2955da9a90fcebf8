/*
 * Files that are mapped shared, changed, and made read-only or inaccessible: they may be changed through the mapping again, so
 * their content at the checkpoint counts. A mapping of a file that was opened to be read can never be made writable.
 */
#include "fixture.h"

enum { PAGE = 4096 };

static char *map_closed(const char *name, int flags, int protection) {
  int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
  MUST(fd != -1 && ftruncate(fd, PAGE) == 0 && pwrite(fd, "before", 7, 0) == 7);
  close(fd);
  fd = open(name, flags);
  char *memory = mmap(NULL, PAGE, protection, MAP_SHARED, fd, 0);
  MUST(memory != MAP_FAILED);
  close(fd);
  return memory;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  char *read_only = map_closed("read-only", O_RDWR, PROT_READ | PROT_WRITE), *hidden = map_closed("hidden", O_RDWR, PROT_READ | PROT_WRITE);
  char *of_reader = map_closed("reader", O_RDONLY, PROT_READ);
  /* The page is dirty at the checkpoint: writing to it again need not change the file's time. */
  char *dirty = map_closed("dirty", O_RDWR, PROT_READ | PROT_WRITE);
  strcpy(dirty, "dirty");
  MUST(mprotect(read_only, PAGE, PROT_READ) == 0 && mprotect(hidden, PAGE, PROT_NONE) == 0);

  ready();
  await_go();

  CHECK(strcmp(read_only, "before") == 0, "the read-only mapping shows: %s", read_only);
  CHECK(mprotect(hidden, PAGE, PROT_READ | PROT_WRITE) == 0 && strcmp(hidden, "before") == 0, "the hidden mapping shows: %s", hidden);
  CHECK(mprotect(read_only, PAGE, PROT_READ | PROT_WRITE) == 0, "the read-only mapping cannot be made writable");
  CHECK(mprotect(of_reader, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES, "a reader's mapping can be made writable");
  CHECK(strcmp(of_reader, "before") == 0, "a reader's mapping shows: %s", of_reader);
  CHECK(strcmp(dirty, "dirty") == 0, "the dirty page shows: %s", dirty);
  if (differences > 0) return finish();
  /* After the cut: the next restart must not find it. */
  strcpy(read_only, "after");
  strcpy(hidden, "after");
  strcpy(dirty, "after");
  return finish();
}

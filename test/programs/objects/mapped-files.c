/*
 * Mapped files: private with and without modified pages, shared, beyond the end, with an offset, deleted; the descriptor
 * closed. Modified private pages that are read-only now, as the linker leaves them, are modified still.
 */
#include "fixture.h"
#include <sys/statfs.h>

enum { PAGE = 4096, PAGES = 64 };

static int make_file(const char *name, int pages, uint64_t seed) {
  int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
  MUST(fd != -1);
  static char page[PAGE];
  for (int i = 0; i < pages; i++) {
    fill(page, PAGE, seed + i);
    MUST(write(fd, page, PAGE) == PAGE);
  }
  return fd;
}

static char *map(int fd, int pages, int protection, int flags, int first) {
  char *memory = mmap(NULL, pages * PAGE, protection, flags, fd, first * PAGE);
  MUST(memory != MAP_FAILED);
  return memory;
}

static bool page_is(const char *memory, int page, uint64_t seed) { return is_filled(memory + page * PAGE, PAGE, seed); }

int main(int argc, char **argv) {
  begin(argc, argv);
  int fd = make_file("mapped", PAGES, 1000);
  char *clean = map(fd, PAGES, PROT_READ, MAP_PRIVATE, 0);
  char *changed = map(fd, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
  for (int i = 0; i < PAGES; i += 5) fill(changed + i * PAGE, PAGE, 2000 + i);
  char *sealed = map(fd, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
  fill(sealed + 3 * PAGE, PAGE, 3000);
  MUST(mprotect(sealed, PAGES * PAGE, PROT_READ) == 0);
  char *in_the_middle = map(fd, 10, PROT_READ, MAP_PRIVATE, 20);
  close(fd);
  /* What is mapped to be written is an output file: it changes after the cut, and the next restart must live with that. */
  fd = make_file("written", PAGES, 1000);
  char *shared = map(fd, PAGES, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
  char *shared_to_read = map(fd, PAGES, PROT_READ, MAP_SHARED, 0);
  fill(shared + 40 * PAGE, PAGE, 4000);
  close(fd);
  int to_read = open("mapped", O_RDONLY);
  char *of_reader = map(to_read, 4, PROT_READ, MAP_SHARED, 0);
  close(to_read);

  fd = make_file("short", 1, 5000);
  MUST(ftruncate(fd, PAGE + 100) == 0);
  char *beyond = map(fd, 4, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
  char *shared_beyond = map(fd, 4, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
  close(fd);

  fd = make_file("deleted", 8, 6000);
  char *deleted = map(fd, 8, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
  char *deleted_shared = map(fd, 8, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
  fill(deleted + 2 * PAGE, PAGE, 6100);
  fill(deleted_shared + 3 * PAGE, PAGE, 6200);
  close(fd);
  MUST(unlink("deleted") == 0);
  char *exec = map(to_read = open("/proc/self/exe", O_RDONLY), 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0);
  close(to_read);

  ready();
  await_go();

  for (int i = 0; i < PAGES; i++) {
    uint64_t in_file = 1000 + i, in_written = i == 40 ? 4000 : 1000 + i;
    CHECK(page_is(clean, i, in_file), "page %d of the clean private mapping differs", i);
    CHECK(page_is(changed, i, i % 5 == 0 ? (uint64_t)2000 + i : in_file), "page %d of the changed private mapping differs", i);
    CHECK(page_is(sealed, i, i == 3 ? 3000 : in_file), "page %d of the sealed private mapping differs", i);
    CHECK(page_is(shared, i, in_written) && page_is(shared_to_read, i, in_written), "page %d of the shared mapping differs", i);
    if (i < 10) CHECK(page_is(in_the_middle, i, 1020 + i), "page %d of the mapping from the middle differs", i);
    if (i < 4) CHECK(page_is(of_reader, i, 1000 + i), "page %d of the reader's mapping differs", i);
  }
  CHECK(fault_of(sealed, true) == SIGSEGV && fault_of(clean, true) == SIGSEGV && fault_of(shared_to_read, true) == SIGSEGV, "what may only be read can be written");
  /* What is written through the shared mapping is in the file and in every other view of it. */
  fill(shared + 7 * PAGE, PAGE, 7000);
  CHECK(page_is(shared_to_read, 7, 7000), "another view does not see what was written");
  static char page[PAGE];
  fd = open("written", O_RDWR);
  CHECK(pread(fd, page, PAGE, 7 * PAGE) == PAGE && is_filled(page, PAGE, 7000), "what was written is not in the file");
  fill(page, PAGE, 7100);
  CHECK(pwrite(fd, page, PAGE, 9 * PAGE) == PAGE && page_is(shared, 9, 7100), "what the file got is not in the mapping");
  /* The fixture runs several times over one file: it is put back. */
  fill(shared + 7 * PAGE, PAGE, 1007);
  fill(shared + 9 * PAGE, PAGE, 1009);
  close(fd);
  /* A private page that is given back becomes the file's again. */
  CHECK(madvise(changed, PAGE, MADV_DONTNEED) == 0 && page_is(changed, 0, 1000), "a private page given back is not the file's");
  fill(changed + PAGE, PAGE, 7200);
  CHECK(page_is(clean, 1, 1001), "a private page reached the file");

  CHECK(page_is(beyond, 0, 5000) && is_zero(beyond + PAGE + 100, PAGE - 100), "the short file's mapping differs");
  CHECK(fault_of(beyond + 3 * PAGE, false) == SIGBUS && fault_of(shared_beyond + 3 * PAGE, true) == SIGBUS, "beyond the end there is no SIGBUS");
  for (int i = 0; i < 8; i++) {
    CHECK(page_is(deleted, i, i == 2 ? 6100 : i == 3 ? 6200 : 6000 + i), "page %d of the deleted file's private mapping differs", i);
    CHECK(page_is(deleted_shared, i, i == 3 ? 6200 : 6000 + i), "page %d of the deleted file's shared mapping differs", i);
  }
  fill(deleted_shared + 4 * PAGE, PAGE, 6300);
  CHECK(page_is(deleted, 4, 6300), "the deleted file's two mappings are of two files now");
  CHECK(memcmp(exec, "\177ELF", 4) == 0, "the program's own file is mapped no more");
  return finish();
}

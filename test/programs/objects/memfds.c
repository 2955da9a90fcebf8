/* memfd: content, size, position, seals, mapped as well, shared by processes; holes stay holes. */
#include "fixture.h"

enum { PAGE = 4096, PAGES = 100 };

int main(int argc, char **argv) {
  begin(argc, argv);
  int fd = memfd_create("a memory file", MFD_ALLOW_SEALING | MFD_CLOEXEC), plain = memfd_create("plain", 0), sparse = memfd_create("sparse", 0), mapped_only = memfd_create("mapped only", 0);
  MUST(fd != -1 && plain != -1 && sparse != -1 && ftruncate(fd, PAGES * PAGE) == 0);
  char *mapped = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  char *private_copy = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  MUST(mapped != MAP_FAILED && private_copy != MAP_FAILED);
  for (int i = 0; i < PAGES; i += 2) fill(mapped + i * PAGE, PAGE, i);
  fill(private_copy + 4 * PAGE, PAGE, 4444);
  MUST(lseek(fd, 1234, SEEK_SET) == 1234);
  MUST(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
  MUST(write(plain, "plain content", 13) == 13 && fchmod(plain, 0640) == 0);
  MUST(pwrite(sparse, "far", 3, 200 << 20) == 3);
  MUST(ftruncate(mapped_only, 10 * PAGE) == 0);
  char *of_closed = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mapped_only, 2 * PAGE);
  MUST(of_closed != MAP_FAILED);
  fill(of_closed, 8 * PAGE, 55);
  close(mapped_only);
  /* Mapped to be read, and sealed against writing for ever: the mapping can never be made writable (Linux 6.7). */
  int forever = memfd_create("forever", MFD_ALLOW_SEALING);
  MUST(write(forever, "for ever", 8) == 8 && fcntl(forever, F_ADD_SEALS, F_SEAL_WRITE) == 0);
  char *sealed = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, forever, 0);
  char reader_path[64];
  int viewed = memfd_create("viewed", 0);
  MUST(write(viewed, "viewed", 6) == 6);
  snprintf(reader_path, sizeof reader_path, "/proc/self/fd/%d", viewed);
  int reader = open(reader_path, O_RDONLY);
  char *view = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, reader, 0);
  MUST(view != MAP_FAILED && close(reader) == 0);
  int again = open("/proc/self/fd/3", O_RDONLY);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", plain);
  close(again);
  again = open(path, O_RDONLY); /* another open file description of the same file */
  MUST(again != -1 && lseek(again, 6, SEEK_SET) == 6);
  int talk[2];
  MUST(pipe(talk) == 0);
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    munmap(mapped, 50 * PAGE);
    char word;
    MUST(read(talk[0], &word, 1) == 1);
    CHECK(is_filled(mapped + 60 * PAGE, PAGE, 6000), "the child does not see what the parent wrote");
    fill(mapped + 62 * PAGE, PAGE, 6200);
    CHECK(pwrite(plain, "PLAIN", 5, 0) == 5, "the child cannot write");
    fill(of_closed + PAGE, PAGE, 5600);
    child_ends();
  }

  ready();
  await_go();

  struct stat status;
  CHECK(fstat(fd, &status) == 0 && status.st_size == PAGES * PAGE && status.st_blocks <= (PAGES / 2 + 2) * 8 + 64, "%ld bytes in %ld blocks", status.st_size, status.st_blocks);
  for (int i = 0; i < PAGES; i++) {
    bool same = i % 2 ? is_zero(mapped + i * PAGE, PAGE) : is_filled(mapped + i * PAGE, PAGE, i);
    CHECK(same, "page %d differs", i);
    bool same_copy = i == 4 ? is_filled(private_copy + i * PAGE, PAGE, 4444) : i % 2 ? is_zero(private_copy + i * PAGE, PAGE) : is_filled(private_copy + i * PAGE, PAGE, i);
    CHECK(same_copy, "page %d of the private mapping differs", i);
  }
  CHECK(lseek(fd, 0, SEEK_CUR) == 1234 && fcntl(fd, F_GETFD) == FD_CLOEXEC, "position %ld", lseek(fd, 0, SEEK_CUR));
  CHECK(fcntl(fd, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW), "seals %#x", fcntl(fd, F_GET_SEALS));
  CHECK(ftruncate(fd, PAGE) == -1 && errno == EPERM, "the seals do not hold");
  CHECK(fcntl(plain, F_GET_SEALS) == F_SEAL_SEAL, "the plain one has seals %#x", fcntl(plain, F_GET_SEALS));
  CHECK(fcntl(forever, F_GET_SEALS) == F_SEAL_WRITE && write(forever, "x", 1) == -1 && errno == EPERM, "the one that is sealed for ever has seals %#x", fcntl(forever, F_GET_SEALS));
  if (sealed != MAP_FAILED) CHECK(strcmp(sealed, "for ever") == 0 && mprotect(sealed, PAGE, PROT_READ | PROT_WRITE) == -1, "the mapping of the one that is sealed: %s", sealed);
  CHECK(strcmp(view, "viewed") == 0 && mprotect(view, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES, "the mapping to be read: %s", view);
  CHECK(pwrite(viewed, "V", 1, 0) == 1 && view[0] == 'V' && pwrite(viewed, "v", 1, 0) == 1, "what is written is not seen");
  char name[128] = {0}, text[32] = {0};
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  CHECK(readlink(path, name, sizeof name - 1) > 0 && strcmp(name, "/memfd:a memory file (deleted)") == 0, "the name is %s", name);
  CHECK(read(again, text, 31) == 7 && strcmp(text, "content") == 0, "the second open gave %s", text);
  CHECK(lseek(plain, 0, SEEK_CUR) == 13 && fstat(plain, &status) == 0 && status.st_size == 13 && (status.st_mode & 0777) == 0640, "the plain one: position %ld, mode %o", lseek(plain, 0, SEEK_CUR), status.st_mode);
  fill(mapped + 60 * PAGE, PAGE, 6000);
  static char page[PAGE];
  CHECK(pread(fd, page, PAGE, 60 * PAGE) == PAGE && is_filled(page, PAGE, 6000), "what was written to memory is not in the file");
  MUST(write(talk[1], "!", 1) == 1);
  expect_child(child, "the child");
  CHECK(is_filled(mapped + 62 * PAGE, PAGE, 6200) && is_filled(of_closed + PAGE, PAGE, 5600), "what the child wrote is not seen");
  CHECK(is_filled(of_closed, PAGE, 55), "the mapping of a closed memfd differs");
  memset(text, 0, sizeof text);
  CHECK(pread(again, text, 5, 0) == 5 && strcmp(text, "PLAIN") == 0, "the second open is of another file: %s", text);
  CHECK(fstat(sparse, &status) == 0 && status.st_size == (200 << 20) + 3 && status.st_blocks < 5000, "the sparse one: %ld bytes in %ld blocks", status.st_size, status.st_blocks);
  memset(text, 0, sizeof text);
  CHECK(pread(sparse, text, 3, 200 << 20) == 3 && strcmp(text, "far") == 0, "the sparse one's end is %s", text);
  return finish();
}

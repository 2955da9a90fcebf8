/* Open files that have no name any more: their content comes along, and who shared one shares it still. */
#include "fixture.h"

enum { BIG = 3 << 20 };

static char *bytes;

static void expect_content(int fd, const char *what, uint64_t seed) {
  CHECK(pread(fd, bytes, BIG, 0) == BIG && is_filled(bytes, BIG, seed), "%s: the content differs", what);
}

int main(int argc, char **argv) {
  begin(argc, argv);
  bytes = malloc(BIG);
  int first = open("deleted", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0640);
  MUST(first != -1);
  fill(bytes, BIG, 1);
  MUST(write(first, bytes, BIG) == BIG && lseek(first, 1000, SEEK_SET) == 1000);
  int second = open("deleted", O_RDONLY);
  MUST(lseek(second, 2000, SEEK_SET) == 2000);
  int duplicate = dup(first);
  MUST(unlink("deleted") == 0);
  int unnamed = open(".", O_TMPFILE | O_RDWR, 0600);
  bool has_unnamed = unnamed != -1;
  if (has_unnamed) {
    fill(bytes, BIG, 2);
    MUST(write(unnamed, bytes, BIG) == BIG);
  }
  int sparse = open("sparse", O_RDWR | O_CREAT | O_EXCL, 0600);
  MUST(pwrite(sparse, "middle", 6, 50 << 20) == 6 && ftruncate(sparse, 100 << 20) == 0 && unlink("sparse") == 0);
  /* The name is taken again by another file, which must be left alone. */
  int other = open("reused", O_RDWR | O_CREAT | O_TRUNC, 0600);
  MUST(write(other, "old", 3) == 3 && unlink("reused") == 0);
  int successor = open("reused", O_RDWR | O_CREAT | O_EXCL, 0600);
  MUST(write(successor, "new", 3) == 3);
  /* And one that had two names, of which the other stays. */
  unlink("kept-name");
  int linked = open("lost-name", O_RDWR | O_CREAT | O_TRUNC, 0600);
  MUST(write(linked, "linked", 6) == 6 && link("lost-name", "kept-name") == 0 && unlink("lost-name") == 0);
  unlink("given-name");
  int made = open(".", O_TMPFILE | O_RDWR, 0600), mapped_fd = open("mapped-first", O_RDWR | O_CREAT | O_TRUNC, 0600);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", made);
  bool is_given = made != -1 && linkat(AT_FDCWD, path, AT_FDCWD, "given-name", AT_SYMLINK_FOLLOW) == 0;
  unlink("mapped-second");
  MUST(write(mapped_fd, "mapped", 6) == 6 && link("mapped-first", "mapped-second") == 0 && unlink("mapped-first") == 0);
  char *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped_fd, 0);
  MUST(mapped != MAP_FAILED && close(mapped_fd) == 0);
  int empty = open("empty", O_RDWR | O_CREAT | O_EXCL, 0600);
  MUST(unlink("empty") == 0);
  pid_t child = fork();
  MUST(child != -1);
  int talk[2];
  (void)talk;
  if (child == 0) {
    await_go();
    while (lseek(first, 0, SEEK_CUR) != 1005) nap(1000);
    CHECK(pwrite(first, "by the child", 12, 500) == 12, "the child cannot write");
    child_ends();
  }

  ready();
  await_go();

  expect_content(first, "the deleted file", 1);
  expect_content(second, "the deleted file opened twice", 1);
  CHECK(lseek(first, 0, SEEK_CUR) == 1000 && lseek(second, 0, SEEK_CUR) == 2000, "positions %ld and %ld", lseek(first, 0, SEEK_CUR), lseek(second, 0, SEEK_CUR));
  CHECK(write(duplicate, "12345", 5) == 5 && lseek(first, 0, SEEK_CUR) == 1005, "the duplicate has a position of its own");
  char text[64] = {0};
  CHECK(pread(second, text, 5, 1000) == 5 && strcmp(text, "12345") == 0, "the two opens are of two files now");
  expect_child(child, "the child");
  CHECK(pread(second, text, 12, 500) == 12 && memcmp(text, "by the child", 12) == 0, "what the child wrote is not seen");
  CHECK(write(second, "x", 1) == -1 && errno == EBADF, "what was opened to read can be written");
  struct stat status;
  CHECK(fstat(first, &status) == 0 && status.st_nlink == 0 && (status.st_mode & 0777) == 0640, "the deleted file has %lu names and mode %o", (unsigned long)status.st_nlink, status.st_mode);
  CHECK(access("deleted", F_OK) == -1, "the deleted file has its name again");
  if (has_unnamed) expect_content(unnamed, "the file without a name", 2);
  memset(text, 0, sizeof text);
  CHECK(fstat(sparse, &status) == 0 && status.st_size == 100 << 20 && status.st_blocks < 10000, "the sparse file has %ld bytes in %ld blocks", status.st_size, status.st_blocks);
  CHECK(pread(sparse, text, 6, 50 << 20) == 6 && strcmp(text, "middle") == 0, "the sparse file's middle is: %s", text);
  memset(text, 0, sizeof text);
  CHECK(pread(other, text, 10, 0) == 3 && strcmp(text, "old") == 0, "the file that lost its name to another: %s", text);
  CHECK(pread(successor, text, 10, 0) == 3 && strcmp(text, "new") == 0, "the file that took the name: %s", text);
  int by_name = open("reused", O_RDONLY);
  CHECK(pread(by_name, text, 10, 0) == 3 && strcmp(text, "new") == 0, "by its name: %s", text);
  memset(text, 0, sizeof text);
  CHECK(pread(linked, text, 10, 0) == 6 && strcmp(text, "linked") == 0, "the file that lost one of two names: %s", text);
  struct stat by_other_name;
  CHECK(fstat(linked, &status) == 0 && stat("kept-name", &by_other_name) == 0 && status.st_ino == by_other_name.st_ino, "the file that lost one of two names is not the other");
  if (is_given) CHECK(fstat(made, &status) == 0 && stat("given-name", &by_other_name) == 0 && status.st_ino == by_other_name.st_ino, "the file that was given a name has none");
  memset(text, 0, sizeof text);
  mapped[0] = 'M';
  int by_second = open("mapped-second", O_RDONLY);
  CHECK(by_second != -1 && pread(by_second, text, 6, 0) == 6 && strcmp(text, "Mapped") == 0, "under its second name the mapped file holds: %s", text);
  mapped[0] = 'm';
  close(by_second);
  CHECK(fstat(empty, &status) == 0 && status.st_size == 0 && write(empty, "full", 4) == 4, "the empty deleted file");
  return finish();
}

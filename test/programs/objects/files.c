/*
 * Regular files: position and flags of each open file description, offsets shared through dup and fork and not shared
 * otherwise, append mode, close-on-exec, holes, high descriptor numbers, many descriptors.
 */
#include "fixture.h"
#include <sys/resource.h>

enum { MANY = 200 };

static int flags_of(int fd) { return fcntl(fd, F_GETFL); }
static off_t position_of(int fd) { return lseek(fd, 0, SEEK_CUR); }

static int open_it(const char *name, int flags) {
  int fd = open(name, flags, 0644);
  MUST(fd != -1);
  return fd;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  /* A fixture run again over the same folder starts from nothing; a restarted one finds what it left. */
  int input = open_it("input", O_RDWR | O_CREAT | O_TRUNC);
  static char text[100000];
  for (int i = 0; i < (int)sizeof text; i++) text[i] = 'a' + i % 26;
  MUST(write(input, text, sizeof text) == sizeof text);
  close(input);
  input = open_it("input", O_RDONLY);
  MUST(lseek(input, 12345, SEEK_SET) == 12345);
  int again = open_it("input", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  int output = open_it("output", O_WRONLY | O_CREAT | O_TRUNC);
  MUST(write(output, "first ", 6) == 6);
  int appended = open_it("appended", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
  MUST(write(appended, "one ", 4) == 4);
  int synced = open_it("synced", O_RDWR | O_CREAT | O_TRUNC | O_SYNC);
  int direct = open("input", O_RDONLY | O_DIRECT);
  int unaccessed = open("input", O_RDONLY | O_NOATIME);
  int duplicate = dup(input);
  int high = fcntl(input, F_DUPFD_CLOEXEC, 800);
  int past = open_it("past", O_RDWR | O_CREAT | O_TRUNC);
  MUST(lseek(past, 5000000, SEEK_SET) == 5000000);
  int holes = open_it("holes", O_RDWR | O_CREAT | O_TRUNC);
  MUST(pwrite(holes, "x", 1, 3000000) == 1 && lseek(holes, 10, SEEK_SET) == 10);
  MUST(duplicate != -1 && high >= 800);
  int many[MANY];
  for (int i = 0; i < MANY; i++) {
    many[i] = open_it("input", O_RDONLY);
    lseek(many[i], i * 7, SEEK_SET);
  }
  int talk[2];
  MUST(pipe(talk) == 0);

  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    int own = open_it("input", O_RDONLY);
    lseek(own, 99, SEEK_SET);
    close(synced);
    await_go();
    char one;
    MUST(read(talk[0], &one, 1) == 1);
    CHECK(position_of(input) == 12345 + 10, "the child is at %ld in what it shares", position_of(input));
    CHECK(position_of(own) == 99, "the child is at %ld in its own", position_of(own));
    CHECK(lseek(input, 5, SEEK_CUR) == 12360, "the child cannot move");
    CHECK(write(output, "third ", 6) == 6 && write(appended, "three ", 6) == 6, "the child cannot write");
    CHECK(fcntl(synced, F_GETFD) == -1, "a descriptor that the child closed is open");
    child_ends();
  }
  close(many[50]); /* and a gap */
  int flags[] = {flags_of(input), flags_of(again), flags_of(output), flags_of(appended), flags_of(synced), flags_of(direct), flags_of(unaccessed)};
  int descriptors[] = {input, again, output, appended, synced, direct, unaccessed};

  ready();
  await_go();

  CHECK(fcntl(many[50], F_GETFD) == -1, "a closed descriptor is open");
  for (int i = 0; i < 7; i++)
    if (descriptors[i] != -1) CHECK(flags_of(descriptors[i]) == flags[i], "descriptor %d has flags %#o, not %#o", descriptors[i], flags_of(descriptors[i]), flags[i]);
  CHECK(fcntl(again, F_GETFD) == FD_CLOEXEC && fcntl(high, F_GETFD) == FD_CLOEXEC && fcntl(input, F_GETFD) == 0 && fcntl(duplicate, F_GETFD) == 0, "close-on-exec differs");
  CHECK(position_of(input) == 12345, "position %ld, not 12345", position_of(input));
  char got[16] = {0};
  CHECK(read(duplicate, got, 4) == 4 && memcmp(got, text + 12345, 4) == 0, "reading goes on with %.4s", got);
  CHECK(read(high, got, 6) == 6 && memcmp(got, text + 12349, 6) == 0, "reading through another descriptor goes on with %.6s", got);
  CHECK(position_of(input) == 12355, "the duplicates have positions of their own: %ld", position_of(input));
  CHECK(position_of(again) == 0, "a separate open file has moved: %ld", position_of(again));
  CHECK(write(output, "second ", 7) == 7 && write(appended, "two ", 4) == 4, "cannot write");
  MUST(write(talk[1], "!", 1) == 1);
  expect_child(child, "the child");
  CHECK(position_of(input) == 12360, "the child's move is not seen: %ld", position_of(input));
  CHECK(write(output, "fourth", 6) == 6, "cannot write");
  CHECK(lseek(appended, 0, SEEK_SET) == 0 && write(appended, "four", 4) == 4, "cannot append");
  char line[64] = {0};
  int fd = open_it("output", O_RDONLY);
  CHECK(read(fd, line, 63) == 25 && strcmp(line, "first second third fourth") == 0, "the output is: %s", line);
  close(fd);
  memset(line, 0, sizeof line);
  fd = open_it("appended", O_RDONLY);
  CHECK(read(fd, line, 63) == 18 && strcmp(line, "one two three four") == 0, "what was appended is: %s", line);
  close(fd);
  for (int i = 0; i < MANY; i++)
    if (i != 50) CHECK(position_of(many[i]) == i * 7, "descriptor %d is at %ld, not %d", many[i], position_of(many[i]), i * 7);
  struct stat status;
  CHECK(position_of(past) == 5000000 && fstat(past, &status) == 0 && status.st_size == 0, "beyond the end: position %ld, size %ld", position_of(past), status.st_size);
  CHECK(position_of(holes) == 10 && fstat(holes, &status) == 0 && status.st_size == 3000001 && status.st_blocks < 1000, "the file with holes has %ld bytes in %ld blocks", status.st_size, status.st_blocks);
  /* What is closed on exec is closed, and nothing else. */
  pid_t shell = fork();
  if (shell == 0) {
    char script[256];
    snprintf(script, sizeof script, "test -e /proc/self/fd/%d && ! test -e /proc/self/fd/%d && ! test -e /proc/self/fd/%d", input, again, high);
    execl("/bin/sh", "sh", "-c", script, (char *)NULL);
    _exit(9);
  }
  expect_child(shell, "the shell");
  return finish();
}

/* Pipes: the bytes in them, full ones, packets, capacity, O_NONBLOCK, closed ends, ends in several processes. */
#include "fixture.h"
#include <sys/ioctl.h>

static int bytes_in(int fd) {
  int count = -1;
  ioctl(fd, FIONREAD, &count);
  return count;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  static char pattern[1 << 20], got[1 << 20];
  fill(pattern, sizeof pattern, 1);
  int simple[2], full[2], packets[2], large[2], small[2], no_reader[2], no_writer[2], offspring[2], empty[2], relay[2];
  MUST(pipe(simple) == 0 && pipe2(full, O_NONBLOCK) == 0 && pipe2(packets, O_DIRECT | O_NONBLOCK) == 0 && pipe2(large, O_CLOEXEC) == 0);
  MUST(pipe(small) == 0 && pipe(no_reader) == 0 && pipe(no_writer) == 0 && pipe(offspring) == 0 && pipe2(empty, O_NONBLOCK) == 0 && pipe(relay) == 0);
  MUST(write(simple[1], "some bytes", 10) == 10);
  MUST(read(simple[0], got, 5) == 5);
  size_t in_full = 0;
  /* Odd sizes: the kernel's buffers are filled in part, so the bytes do not add up to the capacity. */
  for (ssize_t step; (step = write(full[1], pattern + in_full, 1777)) > 0;) in_full += step;
  MUST(errno == EAGAIN);
  const int sizes[] = {1, 4096, 17, 0, 3000, 4096, 2};
  enum { PACKETS = 7 };
  for (int i = 0, at = 0; i < PACKETS; at += sizes[i++])
    if (sizes[i] > 0) MUST(write(packets[1], pattern + at, sizes[i]) == sizes[i]);
  /* Packets stay packets when the mode is left, and what is written afterwards is none. */
  int mixed[2];
  MUST(pipe2(mixed, O_NONBLOCK) == 0 && fcntl(mixed[1], F_SETFL, O_DIRECT | O_NONBLOCK) == 0);
  MUST(write(mixed[1], "one", 3) == 3 && write(mixed[1], "three", 5) == 5 && fcntl(mixed[1], F_SETFL, O_NONBLOCK) == 0);
  MUST(write(mixed[1], "the ", 4) == 4 && write(mixed[1], "end", 3) == 3);
  int capacity = fcntl(large[1], F_SETPIPE_SZ, 1 << 20);
  bool is_large = capacity == 1 << 20;
  if (!is_large) capacity = fcntl(large[1], F_GETPIPE_SZ);
  size_t in_large = is_large ? 700000 : 30000;
  MUST(write(large[1], pattern, in_large) == (ssize_t)in_large);
  MUST(fcntl(small[0], F_SETPIPE_SZ, 4096) == 4096);
  MUST(write(small[1], pattern, 4096) == 4096);
  close(no_reader[0]);
  MUST(write(no_writer[1], "last words", 10) == 10);
  close(no_writer[1]);
  /* A pipe both of whose ends are with one child only, and one that is passed from a child to a child. */
  pid_t children[2];
  for (int i = 0; i < 2; i++) {
    children[i] = fork();
    MUST(children[i] != -1);
    if (children[i] != 0) continue;
    if (i == 0) {
      MUST(write(offspring[1], "mine alone", 10) == 10);
      close(relay[0]);
      MUST(write(relay[1], "from one to the other", 21) == 21);
      close(simple[0]);
      await_go();
      CHECK(read(offspring[0], got, 100) == 10 && memcmp(got, "mine alone", 10) == 0, "the child's own pipe differs");
      CHECK(write(relay[1], "!", 1) == 1 && write(simple[1], "+child", 6) == 6, "the child cannot write");
    } else {
      close(offspring[0]);
      close(offspring[1]);
      close(relay[1]);
      await_go();
      CHECK(read_fully(relay[0], got, 22) == 0 && memcmp(got, "from one to the other!", 22) == 0, "the relay gave %.22s", got);
      CHECK(read(relay[0], got, 1) == 0, "the relay does not end");
    }
    child_ends();
  }
  close(offspring[0]);
  close(offspring[1]);
  close(relay[0]);
  close(relay[1]);
  int flags[] = {fcntl(full[0], F_GETFL), fcntl(packets[1], F_GETFL), fcntl(simple[1], F_GETFL)};

  ready();
  await_go();

  CHECK(fcntl(full[0], F_GETFL) == flags[0] && fcntl(packets[1], F_GETFL) == flags[1] && fcntl(simple[1], F_GETFL) == flags[2], "flags differ");
  CHECK(fcntl(large[0], F_GETFD) == FD_CLOEXEC && fcntl(simple[0], F_GETFD) == 0, "close-on-exec differs");
  CHECK(fcntl(large[0], F_GETPIPE_SZ) == capacity && fcntl(small[0], F_GETPIPE_SZ) == 4096 && fcntl(simple[0], F_GETPIPE_SZ) == 65536, "capacities %d, %d, %d", fcntl(large[0], F_GETPIPE_SZ), fcntl(small[0], F_GETPIPE_SZ), fcntl(simple[0], F_GETPIPE_SZ));
  for (int i = 0; i < 2; i++) expect_child(children[i], "a child");
  CHECK(read_fully(simple[0], got, 11) == 0 && memcmp(got, "bytes+child", 11) == 0, "the simple pipe held %.11s", got);
  CHECK(bytes_in(full[0]) == (int)in_full, "the full pipe holds %d bytes, not %zu", bytes_in(full[0]), in_full);
  CHECK(write(full[1], pattern, 4096) == -1 && errno == EAGAIN, "the full pipe takes more");
  CHECK(read_fully(full[0], got, in_full) == 0 && memcmp(got, pattern, in_full) == 0, "the full pipe's bytes differ");
  CHECK(read(full[0], got, 1) == -1 && errno == EAGAIN, "the full pipe is not empty, or blocks");
  for (int i = 0, at = 0; i < PACKETS; at += sizes[i++]) {
    if (sizes[i] == 0) continue;
    ssize_t length = read(packets[0], got, sizeof got);
    CHECK(length == sizes[i] && memcmp(got, pattern + at, sizes[i]) == 0, "packet %d has %zd bytes, not %d", i, length, sizes[i]);
  }
  const char *parts[] = {"one", "three", "the end"};
  for (int i = 0; i < 3; i++) {
    ssize_t length = read(mixed[0], got, sizeof got);
    CHECK(length == (ssize_t)strlen(parts[i]) && memcmp(got, parts[i], strlen(parts[i])) == 0, "part %d of the mixed pipe: %.*s", i, (int)length, got);
  }
  CHECK(read(packets[0], got, 1) == -1 && errno == EAGAIN, "there is a packet too many");
  CHECK(bytes_in(large[0]) == (int)in_large && read_fully(large[0], got, in_large) == 0 && memcmp(got, pattern, in_large) == 0, "the large pipe differs");
  CHECK(read_fully(small[0], got, 4096) == 0 && memcmp(got, pattern, 4096) == 0, "the small pipe differs");
  CHECK(write(no_reader[1], "x", 1) == -1 && errno == EPIPE, "the pipe without a reader takes a byte");
  memset(got, 0, 16);
  CHECK(read(no_writer[0], got, 100) == 10 && memcmp(got, "last words", 10) == 0 && read(no_writer[0], got, 1) == 0, "the pipe without a writer gave %.10s", got);
  CHECK(read(empty[0], got, 1) == -1 && errno == EAGAIN, "the empty pipe is not");
  CHECK(write(empty[1], "a", 1) == 1 && read(empty[0], got, 2) == 1 && got[0] == 'a', "the empty pipe does not work");
  close(simple[1]);
  CHECK(read(simple[0], got, 1) == 0, "the simple pipe does not end when its last writer has closed it");
  close(full[0]);
  CHECK(write(full[1], "x", 1) == -1 && errno == EPIPE, "the full pipe has another reader somewhere");
  return finish();
}

/* Named pipes: bytes in them, ends in two processes, one opened to read and write, one that lost its name. */
#include "fixture.h"

int main(int argc, char **argv) {
  begin(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  MUST(mkfifo("between", 0600) == 0 && mkfifo("alone", 0640) == 0 && mkfifo("nameless", 0600) == 0);
  int alone = open("alone", O_RDWR | O_NONBLOCK), nameless = open("nameless", O_RDWR);
  MUST(alone != -1 && nameless != -1 && write(alone, "to myself", 9) == 9 && write(nameless, "without a name", 14) == 14);
  MUST(unlink("nameless") == 0);
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    int writer = open("between", O_WRONLY);
    MUST(writer != -1 && write(writer, "hello ", 6) == 6);
    await_go();
    CHECK(write(writer, "parent", 6) == 6, "the child cannot write");
    child_ends();
  }
  int reader = open("between", O_RDONLY);
  MUST(reader != -1);
  char text[64] = {0};
  MUST(read(reader, text, 1) == 1);

  ready();
  await_go();

  expect_child(child, "the child");
  CHECK(read_fully(reader, text, 11) == 0 && memcmp(text, "ello parent", 11) == 0, "between the two: %.11s", text);
  CHECK(read(reader, text, 1) == 0, "the fifo does not end");
  int writer = open("between", O_WRONLY | O_NONBLOCK);
  CHECK(writer != -1 && write(writer, "again", 5) == 5 && read(reader, text, 64) == 5, "the fifo is not the one with that name");
  CHECK(read(alone, text, 64) == 9 && memcmp(text, "to myself", 9) == 0, "to itself: %.9s", text);
  CHECK(read(alone, text, 64) == -1 && errno == EAGAIN, "to itself there is more, or it blocks");
  CHECK(read(nameless, text, 64) == 14 && memcmp(text, "without a name", 14) == 0, "without a name: %.14s", text);
  return finish();
}

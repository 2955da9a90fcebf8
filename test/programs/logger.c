/*
 * Writes a numbered line every few milliseconds to standard output and, appending, to a log; reads its input a byte at a
 * time. Memory enough that its image has pages of several kinds.
 */
#include "fixture.h"

int main(int argc, char **argv) {
  begin(argc, argv);
  int input = open("input", O_RDWR | O_CREAT | O_EXCL, 0600);
  MUST(input != -1);
  for (int i = 0; i < 10000; i++) MUST(write(input, "0123456789", 10) == 10);
  close(input);
  input = open("input", O_RDONLY);
  int log = open("log", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
  MUST(input != -1 && log != -1);
  char *ballast = malloc(3 << 20);
  fill(ballast, 3 << 20, 1);
  for (int i = 0; !is_go(); i++) {
    char line[32], byte = 0;
    int length = snprintf(line, sizeof line, "line %d\n", i);
    MUST(write(1, line, length) == length && write(log, line, length) == length);
    CHECK(read(input, &byte, 1) == 1 && byte == '0' + i % 10, "byte %d of the input is %c", i, byte);
    nap(10000);
  }
  CHECK(is_filled(ballast, 3 << 20, 1), "memory differs");
  return finish();
}

/* A line that is being typed, not yet ended, in a cooked terminal: it can still be corrected, and is read once it ends. */
#include "fixture.h"
#include <poll.h>
#include <termios.h>

int main(int argc, char **argv) {
  begin(argc, argv);
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master == -1) skip("no pseudo-terminals on this machine");
  char name[64], text[64] = {0};
  MUST(grantpt(master) == 0 && unlockpt(master) == 0 && ptsname_r(master, name, sizeof name) == 0);
  int slave = open(name, O_RDWR | O_NOCTTY);
  MUST(slave != -1);
  struct termios line;
  MUST(tcgetattr(slave, &line) == 0);
  line.c_lflag &= ~ECHO;
  line.c_cc[VERASE] = '#';
  MUST(tcsetattr(slave, TCSANOW, &line) == 0);
  MUST(write(master, "whole\nhalf of x", 15) == 15);
  nap(20000);
  ready();
  await_go();
  MUST(write(master, "#a line\n", 8) == 8);
  CHECK(read(slave, text, 64) == 6 && strcmp(text, "whole\n") == 0, "the whole line is %s", text);
  memset(text, 0, sizeof text);
  struct pollfd poller = {slave, POLLIN, 0};
  CHECK(poll(&poller, 1, 5000) == 1 && read(slave, text, 64) == 15 && strcmp(text, "half of a line\n") == 0, "the other line is %s", text);
  return finish();
}

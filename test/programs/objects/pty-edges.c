/*
 * Terminals at their limits: ends of file that wait, queues that are full in either direction and in both modes, packet
 * mode, exclusive use, and terminals whose slave is closed.
 */
#include "fixture.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

struct pty {
  int master, slave;
  long sent;
};

static struct pty make(bool raw) {
  struct pty pty = {.master = posix_openpt(O_RDWR | O_NOCTTY)};
  char name[64];
  if (pty.master == -1) skip("no pseudo-terminals on this machine");
  MUST(grantpt(pty.master) == 0 && unlockpt(pty.master) == 0 && ptsname_r(pty.master, name, sizeof name) == 0);
  pty.slave = open(name, O_RDWR | O_NOCTTY);
  MUST(pty.slave != -1);
  struct termios modes;
  MUST(tcgetattr(pty.slave, &modes) == 0);
  if (raw) cfmakeraw(&modes);
  modes.c_lflag &= ~ECHO;
  MUST(tcsetattr(pty.slave, TCSANOW, &modes) == 0);
  return pty;
}

/* Lines of 17 bytes, each with its number, until no more go in for a while. */
static long fill_up(int fd) {
  long sent = 0;
  char line[32];
  MUST(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
  for (int idle = 0; idle < 20;) {
    snprintf(line, sizeof line, "line %011ld\n", sent / 17);
    ssize_t count = write(fd, line + sent % 17, 17 - sent % 17);
    if (count > 0) {
      sent += count;
      idle = 0;
    } else {
      MUST(errno == EAGAIN);
      idle++;
      nap(1000);
    }
  }
  MUST(fcntl(fd, F_SETFL, O_RDWR) == 0);
  return sent;
}

static void expect_filled(int fd, long sent, const char *what) {
  long got = 0;
  bool right = true;
  struct pollfd poller = {fd, POLLIN, 0};
  while (got < sent && poll(&poller, 1, 5000) == 1 && (poller.revents & POLLIN)) {
    char bytes[64], line[32];
    ssize_t count = read(fd, bytes, sizeof bytes);
    if (count <= 0) break;
    for (ssize_t i = 0; i < count; i++, got++) {
      snprintf(line, sizeof line, "line %011ld\n", got / 17);
      if (right && bytes[i] != line[got % 17]) {
        right = false;
        CHECK(false, "%s: byte %ld is %d, not %d", what, got, bytes[i], line[got % 17]);
      }
    }
  }
  CHECK(got == sent, "%s: %ld of %ld bytes", what, got, sent);
  CHECK(poll(&poller, 1, 0) == 0, "%s: there is more", what);
}

static void expect_read(int fd, const char *text, ssize_t length, const char *what) {
  char bytes[64] = {0};
  struct pollfd poller = {fd, POLLIN, 0};
  CHECK(poll(&poller, 1, 5000) == 1, "%s: nothing to read", what);
  ssize_t count = read(fd, bytes, sizeof bytes);
  CHECK(count == length && memcmp(bytes, text, length) == 0, "%s: %zd bytes, \"%s\"", what, count, bytes);
}

int main(int argc, char **argv) {
  begin(argc, argv);
  struct pty ends = make(false), output = make(true), input = make(true), lines = make(false);
  struct pty packets = make(true), exclusive = make(true), closed = make(true), empty = make(true);
  struct pty stopped = make(false), held = make(true);
  int on = 1, value = 0;
  MUST(write(ends.master, "one\ntwo\004\004half", 13) == 13);
  output.sent = fill_up(output.slave);
  input.sent = fill_up(input.master);
  lines.sent = fill_up(lines.master);
  MUST(ioctl(packets.master, TIOCPKT, &on) == 0 && write(packets.slave, "out", 3) == 3 && write(packets.master, "in", 2) == 2);
  MUST(write(exclusive.slave, "out", 3) == 3 && write(exclusive.master, "in", 2) == 2 && ioctl(exclusive.master, TIOCEXCL) == 0);
  MUST(write(closed.slave, "last words", 10) == 10 && close(closed.slave) == 0 && close(empty.slave) == 0);
  MUST(write(stopped.master, "typed\n\023half", 11) == 11 && tcflow(held.slave, TCOOFF) == 0);
  nap(20000);
  ready();
  await_go();

  expect_read(ends.slave, "one\n", 4, "the line");
  expect_read(ends.slave, "two", 3, "the line that an end of file ends");
  expect_read(ends.slave, "", 0, "the end of file");
  MUST(write(ends.master, "-done\n", 6) == 6);
  expect_read(ends.slave, "half-done\n", 10, "the half line");
  expect_filled(output.master, output.sent, "full output");
  expect_filled(input.slave, input.sent, "full input");
  expect_filled(lines.slave, lines.sent / 17 * 17, "full input of lines");
  expect_read(packets.master, "\0out", 4, "output in packet mode");
  expect_read(packets.slave, "in", 2, "input in packet mode");
  CHECK(ioctl(packets.master, TIOCGPKT, &value) == 0 && value == 1, "packet mode is off");
  expect_read(exclusive.master, "out", 3, "output of the exclusive terminal");
  expect_read(exclusive.slave, "in", 2, "input of the exclusive terminal");
  CHECK(ioctl(exclusive.master, TIOCGEXCL, &value) == 0 && value == 1, "the terminal is not exclusive any more");
  char byte;
  expect_read(closed.master, "last words", 10, "output of the closed terminal");
  CHECK(read(closed.master, &byte, 1) == -1 && errno == EIO, "the closed terminal goes on");
  struct pollfd poller = {empty.master, POLLIN, 0};
  CHECK(poll(&poller, 1, 0) == 1 && (poller.revents & POLLHUP), "the empty terminal is not closed");
  poller = (struct pollfd){stopped.slave, POLLOUT, 0};
  CHECK(poll(&poller, 1, 0) == 0, "the stopped terminal goes on");
  expect_read(stopped.slave, "typed\n", 6, "input of the stopped terminal");
  MUST(write(stopped.master, "\021\n", 2) == 2);
  expect_read(stopped.slave, "half\n", 5, "the half line of the stopped terminal");
  CHECK(poll(&poller, 1, 5000) == 1 && write(stopped.slave, "go", 2) == 2, "the stopped terminal can't be started");
  expect_read(stopped.master, "go", 2, "output of the stopped terminal");
  poller = (struct pollfd){held.slave, POLLOUT, 0};
  CHECK(poll(&poller, 1, 0) == 0 && tcflow(held.slave, TCOON) == 0 && poll(&poller, 1, 5000) == 1, "the terminal that is held back goes on, or can't be started");
  return finish();
}

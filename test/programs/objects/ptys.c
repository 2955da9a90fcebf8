/*
 * Pseudo-terminals with both ends in the tree: modes, window size, unread bytes in both directions, the controlling
 * terminal of a session, its foreground group, and that keys still make signals.
 */
#include "fixture.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

enum { LOW_NUMBERS = 60 };

struct pty {
  int master, slave;
  char name[64];
};

static struct pty make(void) {
  struct pty pty;
  pty.master = posix_openpt(O_RDWR | O_NOCTTY);
  if (pty.master == -1) skip("no pseudo-terminals on this machine");
  MUST(grantpt(pty.master) == 0 && unlockpt(pty.master) == 0 && ptsname_r(pty.master, pty.name, sizeof pty.name) == 0);
  pty.slave = open(pty.name, O_RDWR | O_NOCTTY);
  MUST(pty.slave != -1);
  return pty;
}

static int waiting(int fd) {
  int count = -1;
  ioctl(fd, FIONREAD, &count);
  return count;
}

static bool is_quiet(int fd) {
  struct pollfd poller = {fd, POLLIN, 0};
  return poll(&poller, 1, 0) == 0;
}

static volatile sig_atomic_t interrupts, resizes;
static void on_interrupt(int signal) { interrupts++; }
static void on_resize(int signal) { resizes++; }

struct shared {
  _Atomic pid_t leader, foreground;
  _Atomic int started, interrupts, resizes, may_end;
};

int main(int argc, char **argv) {
  begin(argc, argv);
  struct shared *all = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  /* Terminals of high numbers: a low one may be taken by another program when the job is restarted. */
  int low[LOW_NUMBERS];
  for (int i = 0; i < LOW_NUMBERS; i++) low[i] = posix_openpt(O_RDWR | O_NOCTTY);
  struct pty raw = make(), cooked = make(), controlling = make();
  for (int i = 0; i < LOW_NUMBERS; i++) close(low[i]);
  static struct termios modes, modes_after, line; /* static: compared whole, with their padding */
  struct winsize size = {33, 101, 640, 480}, seen;

  MUST(tcgetattr(raw.slave, &modes) == 0);
  cfmakeraw(&modes);
  modes.c_cc[VMIN] = 5;
  modes.c_cc[VTIME] = 7;
  cfsetspeed(&modes, B9600);
  MUST(tcsetattr(raw.slave, TCSANOW, &modes) == 0 && ioctl(raw.master, TIOCSWINSZ, &size) == 0);
  MUST(tcgetattr(raw.slave, &modes) == 0);
  MUST(write(raw.slave, "to the master\n", 14) == 14 && write(raw.master, "to the\x03 slave\r", 14) == 14);
  MUST(tcgetattr(cooked.slave, &line) == 0);
  line.c_lflag &= ~(ECHO | ECHOCTL);
  line.c_cc[VERASE] = '#';
  MUST(tcsetattr(cooked.slave, TCSANOW, &line) == 0 && tcgetattr(cooked.slave, &line) == 0);
  MUST(write(cooked.master, "first\nseconx#d\n", 15) == 15 && write(cooked.slave, "answer\n", 7) == 7);
  for (int i = 0; i < 2000 && (waiting(raw.slave) < 14 || waiting(raw.master) < 14); i++) nap(1000);
  int second_master = dup(raw.master);
  MUST(fcntl(second_master, F_SETFL, fcntl(second_master, F_GETFL) | O_NONBLOCK) == 0);

  pid_t leader = fork();
  MUST(leader != -1);
  if (leader == 0) {
    MUST(setsid() != -1 && ioctl(controlling.slave, TIOCSCTTY, 0) == 0);
    all->leader = getpid();
    signal(SIGTTOU, SIG_IGN);
    pid_t foreground = fork();
    MUST(foreground != -1);
    if (foreground == 0) {
      setpgid(0, 0);
      while (tcgetpgrp(controlling.slave) != getpid()) tcsetpgrp(controlling.slave, getpid());
      signal(SIGINT, on_interrupt);
      signal(SIGWINCH, on_resize);
      all->foreground = getpid();
      all->started++;
      while (!all->may_end) {
        all->interrupts = interrupts;
        all->resizes = resizes;
        nap(1000);
      }
      int terminal = open("/dev/tty", O_RDWR);
      CHECK(terminal != -1, "there is no controlling terminal");
      CHECK(tcgetpgrp(terminal) == getpid(), "the foreground group is %d, not %d", tcgetpgrp(terminal), getpid());
      child_ends();
    }
    signal(SIGINT, on_interrupt);
    all->started++;
    while (!all->may_end) nap(1000);
    CHECK(tcgetsid(controlling.slave) == getpid() && getsid(0) == getpid(), "the terminal's session is %d, not %d", tcgetsid(controlling.slave), getpid());
    CHECK(tcgetpgrp(controlling.slave) == foreground, "the leader sees foreground group %d, not %d", tcgetpgrp(controlling.slave), foreground);
    CHECK(interrupts == 0, "the interrupt reached the background");
    expect_child(foreground, "the foreground process");
    child_ends();
  }
  while (all->started < 2) nap(1000);

  ready();
  await_go();

  char text[64] = {0}, name[64] = {0};
  CHECK(tcgetattr(raw.slave, &modes_after) == 0 && memcmp(&modes, &modes_after, sizeof modes) == 0, "the raw modes differ");
  CHECK(ioctl(raw.slave, TIOCGWINSZ, &seen) == 0 && memcmp(&seen, &size, sizeof seen) == 0, "the window is %dx%d", seen.ws_col, seen.ws_row);
  CHECK((fcntl(raw.master, F_GETFL) & O_NONBLOCK) && !(fcntl(cooked.master, F_GETFL) & O_NONBLOCK), "flags differ");
  CHECK(read(raw.master, text, 64) == 14 && memcmp(text, "to the master\n", 14) == 0, "raw, to the master: %s", text);
  CHECK(waiting(raw.slave) == 14 && read(raw.slave, text, 64) == 14 && memcmp(text, "to the\x03 slave\r", 14) == 0, "raw, to the slave: %s", text);
  CHECK(is_quiet(raw.master), "raw, to the master: there is more");
  CHECK(write(raw.master, "12345", 5) == 5 && read(raw.slave, text, 64) == 5 && memcmp(text, "12345", 5) == 0, "the raw terminal does not go on");
  CHECK(ttyname_r(raw.slave, name, sizeof name) == 0 && strcmp(name, raw.name) == 0, "the slave is called %s, not %s", name, raw.name);
  char of_master[64] = {0};
  CHECK(ptsname_r(raw.master, of_master, sizeof of_master) == 0 && strcmp(of_master, raw.name) == 0, "the master's slave is called %s", of_master);
  int by_name = open(raw.name, O_RDWR | O_NOCTTY);
  struct stat status, status_by_name;
  CHECK(by_name != -1 && fstat(by_name, &status_by_name) == 0 && fstat(raw.slave, &status) == 0 && status.st_rdev == status_by_name.st_rdev, "the slave's name leads elsewhere");

  CHECK(tcgetattr(cooked.slave, &modes_after) == 0 && memcmp(&line, &modes_after, sizeof line) == 0, "the cooked modes differ");
  memset(text, 0, sizeof text);
  CHECK(read(cooked.slave, text, 64) == 6 && strcmp(text, "first\n") == 0, "the first line is %s", text);
  memset(text, 0, sizeof text);
  CHECK(read(cooked.slave, text, 64) == 7 && strcmp(text, "second\n") == 0, "the second line is %s", text);
  memset(text, 0, sizeof text);
  CHECK(read(cooked.master, text, 64) == 8 && strcmp(text, "answer\r\n") == 0, "the answer is %s", text);
  memset(text, 0, sizeof text);
  CHECK(is_quiet(cooked.slave) && is_quiet(cooked.master), "the cooked terminal has more");
  CHECK(write(cooked.master, "thirx#d\n", 8) == 8 && read(cooked.slave, text, 64) == 6 && strcmp(text, "third\n") == 0, "the cooked terminal goes on with %s", text);

  CHECK(write(controlling.master, "\x03", 1) == 1, "cannot type");
  struct winsize larger = {44, 120, 0, 0};
  CHECK(ioctl(controlling.master, TIOCSWINSZ, &larger) == 0, "cannot resize");
  for (int i = 0; i < 5000 && (all->interrupts == 0 || all->resizes == 0); i++) nap(1000);
  CHECK(all->interrupts == 1, "%d interrupts reached the foreground", all->interrupts);
  CHECK(all->resizes == 1, "%d resizes reached the foreground", all->resizes);
  all->may_end = 1;
  expect_child(leader, "the session's leader");
  close(raw.slave);
  close(by_name);
  CHECK(read(second_master, text, 1) == -1 && errno == EIO, "the raw terminal has another slave somewhere");
  return finish();
}

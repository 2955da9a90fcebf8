/*
 * inotify: watches on directories and files with their numbers and masks, gaps between the numbers, an instance that two processes
 * share and an epoll watches, and one with unread events, in whose place a restart lets IN_Q_OVERFLOW be read.
 */
#include "fixture.h"
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

static void touch(const char *path) {
  int fd = open(path, O_CREAT | O_WRONLY, 0600);
  MUST(fd != -1);
  close(fd);
}

/* The next event, as text: "WATCH MASK NAME"; empty when there is none. Only for instances that do not block. */
static const char *next_event(int fd) {
  static char text[512];
  static char buffer[4096] __attribute__((aligned(8)));
  static int length, at, of = -1;
  if (of != fd || at >= length) {
    of = fd;
    at = 0;
    length = read(fd, buffer, sizeof buffer);
    if (length <= 0) {
      length = 0;
      return "";
    }
  }
  struct inotify_event *event = (struct inotify_event *)(buffer + at);
  at += sizeof *event + event->len;
  snprintf(text, sizeof text, "%d %#x %s", event->wd, event->mask, event->len > 0 ? event->name : "");
  return text;
}

#define EXPECT(fd, wanted)                                             \
  do {                                                                 \
    const char *got_ = next_event(fd);                                 \
    CHECK(strcmp(got_, wanted) == 0, "event \"%s\", not \"%s\"", got_, wanted); \
  } while (0)

static bool mask_is(int fd, int watch, unsigned mask) {
  char path[64], line[512], wanted[64], with[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  snprintf(wanted, sizeof wanted, "inotify wd:%x ", watch);
  snprintf(with, sizeof with, " mask:%x ", mask);
  FILE *file = fopen(path, "re");
  MUST(file != NULL);
  bool is = false;
  while (fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, wanted, strlen(wanted)) == 0) is = strstr(line, with) != NULL;
  fclose(file);
  return is;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  mkdir("watched", 0700);
  mkdir("watched/below", 0700);
  mkdir("other", 0700);
  touch("watched/file");
  touch("watched/second");
  unlink("watched/made");

  int quiet = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), shared = inotify_init1(IN_NONBLOCK), unread = inotify_init1(IN_NONBLOCK), blocking = inotify_init();
  MUST(quiet != -1 && shared != -1 && unread != -1 && blocking != -1);
  /* Numbers 2, 3 and 5 are left; 6 was given once more to a mask that grew. */
  MUST(inotify_add_watch(quiet, "other", IN_CREATE) == 1 && inotify_add_watch(quiet, "watched", IN_CREATE | IN_DELETE | IN_EXCL_UNLINK | IN_ONLYDIR) == 2);
  MUST(inotify_add_watch(quiet, "watched/file", IN_MODIFY) == 3 && inotify_add_watch(quiet, "/", IN_DELETE_SELF) == 4);
  MUST(inotify_rm_watch(quiet, 1) == 0 && inotify_rm_watch(quiet, 4) == 0);
  MUST(inotify_add_watch(quiet, "watched/below", IN_ALL_EVENTS | IN_ONESHOT) == 5);
  MUST(inotify_add_watch(quiet, "watched/second", IN_MODIFY) == 6 && inotify_add_watch(quiet, "watched/second", IN_ATTRIB | IN_MASK_ADD) == 6);
  while (next_event(quiet)[0] != 0) continue; /* IN_IGNORED of the two that are gone */
  MUST(inotify_add_watch(shared, "other", IN_CREATE) == 1);
  MUST(inotify_add_watch(unread, "other", IN_MOVED_TO | IN_ATTRIB) == 1);
  MUST(inotify_add_watch(blocking, "other", IN_MOVED_FROM) == 1);
  MUST(chmod("other", 0750) == 0 && chmod("other", 0700) == 0);
  int waiting = 0;
  MUST(ioctl(unread, FIONREAD, &waiting) == 0 && waiting > 0);

  int epoll = epoll_create1(0);
  struct epoll_event event = {EPOLLIN, {.u64 = 31}}, got = {0};
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, shared, &event) == 0);
  int to_child[2];
  MUST(pipe(to_child) == 0);
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    char byte;
    MUST(read(to_child[0], &byte, 1) == 1);
    EXPECT(shared, "1 0x100 for-child");
    child_ends();
  }

  ready();
  await_go();

  CHECK((fcntl(quiet, F_GETFL) & O_NONBLOCK) && !(fcntl(blocking, F_GETFL) & O_NONBLOCK) && fcntl(quiet, F_GETFD) == FD_CLOEXEC && fcntl(shared, F_GETFD) == 0, "flags differ");
  CHECK(mask_is(quiet, 2, IN_CREATE | IN_DELETE | IN_EXCL_UNLINK), "the mask of watch 2 differs");
  CHECK(mask_is(quiet, 3, IN_MODIFY) && mask_is(quiet, 5, IN_ALL_EVENTS | IN_ONESHOT) && mask_is(quiet, 6, IN_MODIFY | IN_ATTRIB), "a mask differs");
  CHECK(ioctl(blocking, FIONREAD, &waiting) == 0 && waiting == 0, "%d bytes of events of somebody else's doing", waiting);
  EXPECT(quiet, "");
  touch("watched/made");
  EXPECT(quiet, "2 0x100 made");
  unlink("watched/made");
  EXPECT(quiet, "2 0x200 made");
  int fd = open("watched/file", O_WRONLY);
  MUST(write(fd, "x", 1) == 1 && close(fd) == 0);
  EXPECT(quiet, "3 0x2 ");
  chmod("watched/second", 0640);
  EXPECT(quiet, "6 0x4 ");
  touch("watched/below/one");
  touch("watched/below/two");
  EXPECT(quiet, "5 0x100 one");
  EXPECT(quiet, "5 0x8000 "); /* IN_IGNORED: it was for one event */
  EXPECT(quiet, "");
  CHECK(inotify_rm_watch(quiet, 4) == -1 && inotify_rm_watch(quiet, 1) == -1, "a watch that was removed is there");
  CHECK(inotify_add_watch(quiet, "watched/below", IN_CREATE) > 6, "a number is given again");

  /* What was not read: itself where nothing was restarted, else word that it is lost. */
  const char *first = next_event(unread);
  if (strcmp(first, "-1 0x4000 ") != 0) {
    CHECK(strcmp(first, "1 0x40000004 ") == 0, "event \"%s\"", first);
  }
  EXPECT(unread, "");
  chmod("other", 0750);
  EXPECT(unread, "1 0x40000004 ");
  chmod("other", 0700);

  CHECK(epoll_wait(epoll, &got, 1, 0) == 0, "the shared instance has events already");
  touch("other/for-child");
  CHECK(epoll_wait(epoll, &got, 1, 5000) == 1 && got.data.u64 == 31, "the epoll does not see the event");
  MUST(write(to_child[1], "x", 1) == 1);
  expect_child(child, "the child");
  EXPECT(shared, "");
  unlink("other/for-child");
  unlink("watched/below/one");
  unlink("watched/below/two");
  chmod("watched/second", 0600);
  return finish();
}

/* fanotify groups: marks on a directory, on a file that is ignored, on a mount and on a file system; flags, and that events come. */
#include "fixture.h"
#include <sys/fanotify.h>

/* What /proc says of the groups, line by line in order: the kernel lists marks in any. */
static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void describe(int fd, char *text, size_t size) {
  char path[64], *lines[32];
  int count = 0;
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  FILE *file = fopen(path, "re");
  MUST(file != NULL);
  char *line = NULL;
  size_t room = 0;
  while (getline(&line, &room, file) > 0)
    if (strncmp(line, "fanotify", 8) == 0 && count < 32) lines[count++] = strdup(line);
  fclose(file);
  free(line);
  qsort(lines, count, sizeof *lines, compare);
  text[0] = 0;
  for (int i = 0; i < count; i++) {
    strncat(text, lines[i], size - strlen(text) - 1);
    free(lines[i]);
  }
}

static void drain(int group) {
  char events[8192];
  ssize_t length;
  while ((length = read(group, events, sizeof events)) > 0) {
    struct fanotify_event_metadata *event = (void *)events;
    for (; FAN_EVENT_OK(event, length); event = FAN_EVENT_NEXT(event, length))
      if (event->fd >= 0) close(event->fd);
  }
}

/* Whether an open of the file is told of: others may do something there, too. */
static bool tells_of(int group, const char *name) {
  char events[8192], path[64], target[512];
  bool told = false;
  drain(group);
  close(open(name, O_RDONLY));
  ssize_t length = read(group, events, sizeof events);
  struct fanotify_event_metadata *event = (void *)events;
  for (; FAN_EVENT_OK(event, length); event = FAN_EVENT_NEXT(event, length)) {
    snprintf(path, sizeof path, "/proc/self/fd/%d", event->fd);
    ssize_t size = readlink(path, target, sizeof target - 1);
    if (size > 0 && event->pid == getpid()) {
      target[size] = 0;
      told |= strstr(target, name) != NULL;
    }
    close(event->fd);
  }
  return told;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  MUST(mkdir("marked", 0700) == 0);
  for (int i = 0; i < 2; i++) close(open(i == 0 ? "marked/seen" : "marked/ignored", O_CREAT | O_WRONLY, 0600));
  int events = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK, O_RDONLY | O_LARGEFILE);
  if (events == -1) skip("no fanotify for this user on this machine");
  int names = fanotify_init(FAN_CLASS_NOTIF | FAN_UNLIMITED_QUEUE | FAN_REPORT_DFID_NAME, 0), second = dup(events);
  MUST(names != -1 && second != -1);
  if (fanotify_mark(events, FAN_MARK_ADD, FAN_OPEN | FAN_EVENT_ON_CHILD, AT_FDCWD, "marked") != 0) skip("no fanotify on this file system");
  MUST(fanotify_mark(events, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN, AT_FDCWD, "marked/ignored") == 0);
  MUST(fanotify_mark(events, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_CLOSE_WRITE, AT_FDCWD, "/sys") == 0);
  MUST(fanotify_mark(names, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_CREATE | FAN_DELETE | FAN_ONDIR, AT_FDCWD, "/dev/shm") == 0 || errno == ENODEV || errno == EXDEV);
  char before[2][4096], after[4096];
  describe(events, before[0], sizeof before[0]);
  describe(names, before[1], sizeof before[1]);
  MUST(tells_of(events, "marked/seen") && !tells_of(events, "marked/ignored"));
  ready();
  await_go();
  describe(events, after, sizeof after);
  CHECK(strcmp(before[0], after) == 0, "the group is\n%snot\n%s", after, before[0]);
  describe(names, after, sizeof after);
  CHECK(strcmp(before[1], after) == 0, "the group for names is\n%snot\n%s", after, before[1]);
  CHECK(fcntl(events, F_GETFL) & O_NONBLOCK, "it blocks");
  CHECK(tells_of(events, "marked/seen"), "an open is not told of");
  CHECK(!tells_of(second, "marked/ignored"), "what is ignored is told of");
  return finish();
}

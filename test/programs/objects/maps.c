/*
 * The address space as a whole, and what /proc says of the process: the same ranges with the same protection, nothing
 * more and nothing less; arguments, environment, auxiliary vector, executable and name as they were.
 */
#include "fixture.h"

enum { RANGES = 4000 };
struct range {
  unsigned long start, end;
  char permissions[5];
};

/* Neighbours of the same protection count as one: what is one mapping to the program may be several to the kernel. */
static int look(struct range *ranges) {
  FILE *file = fopen("/proc/self/maps", "re");
  MUST(file != NULL);
  static char buffer[1 << 16];
  setvbuf(file, buffer, _IOFBF, sizeof buffer);
  char line[4600];
  int count = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    struct range range;
    if (sscanf(line, "%lx-%lx %4s", &range.start, &range.end, range.permissions) != 3) continue;
    if (strstr(line, "[v") != NULL || strstr(line, "[stack]") != NULL) continue;
    if (count > 0 && ranges[count - 1].end == range.start && strcmp(ranges[count - 1].permissions, range.permissions) == 0) ranges[count - 1].end = range.end;
    else if (count < RANGES) ranges[count++] = range;
  }
  fclose(file);
  return count;
}

static size_t slurp(const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  MUST(fd != -1);
  size_t length = 0;
  ssize_t got;
  while (length < size && (got = read(fd, text + length, size - length)) > 0) length += got;
  close(fd);
  return length;
}

static struct range before[RANGES], after[RANGES];
static const char *const files[] = {"/proc/self/cmdline", "/proc/self/environ", "/proc/self/auxv", "/proc/self/comm"};
static char contents[4][1 << 16], seen[1 << 16];

/* Fields of /proc/self/stat that say where code, stack, data, heap, arguments and environment lie. */
static void layout(unsigned long fields[10]) {
  char text[4096];
  size_t length = slurp("/proc/self/stat", text, sizeof text - 1);
  text[length] = 0;
  char *rest = strrchr(text, ')') + 2;
  int wanted[] = {26, 27, 28, 45, 46, 47, 48, 49, 50, 51};
  for (int field = 3, next = 0; rest != NULL && next < 10; field++) {
    if (field == wanted[next]) fields[next++] = strtoul(rest, NULL, 10);
    rest = strchr(rest, ' ');
    if (rest != NULL) rest++;
  }
}

int main(int argc, char **argv) {
  begin(argc, argv);
  prctl(PR_SET_NAME, "odd) (name 7");
  look(before); /* the first look allocates what later ones use */
  char exe[4096] = {0}, exe_after[4096] = {0};
  MUST(readlink("/proc/self/exe", exe, sizeof exe - 1) > 0);
  unsigned long fields[10] = {0}, fields_after[10] = {0};
  layout(fields);
  size_t lengths[4];
  for (int i = 0; i < 4; i++) lengths[i] = slurp(files[i], contents[i], sizeof contents[i]);
  int count = look(before);

  ready();
  await_go();

  int count_after = look(after);
  for (int i = 0, j = 0; i < count || j < count_after;) {
    bool same = i < count && j < count_after && memcmp(&before[i], &after[j], sizeof before[i]) == 0;
    if (same) {
      i++, j++;
    } else if (j >= count_after || (i < count && before[i].start <= after[j].start)) {
      CHECK(false, "missing: %lx-%lx %s", before[i].start, before[i].end, before[i].permissions);
      i++;
    } else {
      CHECK(false, "new: %lx-%lx %s", after[j].start, after[j].end, after[j].permissions);
      j++;
    }
  }
  for (int i = 0; i < 4; i++) {
    size_t length = slurp(files[i], seen, sizeof seen);
    CHECK(length == lengths[i] && memcmp(seen, contents[i], length) == 0, "%s differs (%zu bytes, not %zu)", files[i], length, lengths[i]);
  }
  CHECK(readlink("/proc/self/exe", exe_after, sizeof exe_after - 1) > 0 && strcmp(exe, exe_after) == 0, "the executable is %s, not %s", exe_after, exe);
  layout(fields_after);
  const char *const names[] = {"start of code", "end of code", "start of stack", "start of data", "end of data", "start of brk", "start of arguments", "end of arguments", "start of environment", "end of environment"};
  for (int i = 0; i < 10; i++) CHECK(fields[i] == fields_after[i], "the %s is %#lx, not %#lx", names[i], fields_after[i], fields[i]);
  return finish();
}

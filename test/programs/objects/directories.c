/* Open directories: reading one goes on where it was; *at calls go where the descriptor leads; O_PATH, proc and device files. */
#include "fixture.h"
#include <dirent.h>

enum { ENTRIES = 500 };

static int mark(const char *name, char *seen) {
  int number;
  if (sscanf(name, "entry-%d", &number) != 1 || number < 0 || number >= ENTRIES) return 0;
  seen[number]++;
  return 1;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  (void)!mkdir("folder", 0755);
  int folder = open("folder", O_RDONLY | O_DIRECTORY);
  MUST(folder != -1);
  char name[64];
  for (int i = 0; i < ENTRIES; i++) {
    snprintf(name, sizeof name, "entry-%d", i);
    int fd = openat(folder, name, O_CREAT | O_WRONLY, 0600);
    MUST(fd != -1);
    close(fd);
  }
  static char seen[ENTRIES];
  DIR *stream = opendir("folder");
  MUST(stream != NULL);
  for (int i = 0, got = 0; i < ENTRIES && got < 120; i++) got += mark(readdir(stream)->d_name, seen);
  /* By the system call as well, so that the position is the kernel's and not the library's. */
  static char seen_raw[ENTRIES];
  static char buffer[1024] __attribute__((aligned(8)));
  int raw = open("folder", O_RDONLY | O_DIRECTORY);
  struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
  };
  long got = syscall(SYS_getdents64, raw, buffer, sizeof buffer);
  MUST(got > 0);
  for (long at = 0; at < got; at += ((struct entry *)(buffer + at))->length) mark(((struct entry *)(buffer + at))->name, seen_raw);
  int path_only = open("folder/entry-7", O_PATH), path_directory = open("folder", O_PATH | O_DIRECTORY);
  MUST(symlink("entry-9", "folder/link") == 0 || errno == EEXIST);
  int link_itself = open("folder/link", O_PATH | O_NOFOLLOW);
  int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY), random = open("/dev/urandom", O_RDONLY), full = open("/dev/full", O_RDWR);
  int cpu = open("/proc/cpuinfo", O_RDONLY), own = open("/proc/self/stat", O_RDONLY);
  MUST(path_only != -1 && path_directory != -1 && link_itself != -1 && null != -1 && zero != -1 && random != -1 && full != -1 && cpu != -1 && own != -1);
  char beginning[64], text[64];
  MUST(pread(cpu, beginning, 40, 30) == 40 && lseek(cpu, 30, SEEK_SET) == 30);

  ready();
  await_go();

  for (struct dirent *entry; (entry = readdir(stream)) != NULL;) mark(entry->d_name, seen);
  while ((got = syscall(SYS_getdents64, raw, buffer, sizeof buffer)) > 0)
    for (long at = 0; at < got; at += ((struct entry *)(buffer + at))->length) mark(((struct entry *)(buffer + at))->name, seen_raw);
  for (int i = 0; i < ENTRIES; i++) {
    CHECK(seen[i] == 1, "readdir gave entry %d %d times", i, seen[i]);
    CHECK(seen_raw[i] == 1, "getdents gave entry %d %d times", i, seen_raw[i]);
  }
  CHECK(faccessat(folder, "entry-3", F_OK, 0) == 0, "the descriptor leads elsewhere");
  CHECK(faccessat(path_directory, "entry-3", F_OK, 0) == 0, "the O_PATH descriptor leads elsewhere");
  struct stat status, by_name;
  CHECK((fcntl(path_only, F_GETFL) & O_PATH) && read(path_only, text, 1) == -1 && errno == EBADF, "the O_PATH descriptor became another kind");
  CHECK(fstat(path_only, &status) == 0 && stat("folder/entry-7", &by_name) == 0 && status.st_ino == by_name.st_ino, "the O_PATH descriptor names another file");
  CHECK(fstat(link_itself, &status) == 0 && S_ISLNK(status.st_mode), "the descriptor of a symbolic link became one of its target");
  CHECK(write(null, "x", 1) == 1 && read(null, text, 1) == 0, "/dev/null differs");
  memset(text, 1, sizeof text);
  CHECK(read(zero, text, 64) == 64 && is_zero(text, 64), "/dev/zero differs");
  CHECK(read(random, text, 64) == 64 && !is_zero(text, 64), "/dev/urandom differs");
  CHECK(write(full, "x", 1) == -1 && errno == ENOSPC, "/dev/full differs");
  CHECK(lseek(cpu, 0, SEEK_CUR) == 30 && read(cpu, text, 40) == 40 && memcmp(text, beginning, 40) == 0, "/proc/cpuinfo differs");
  memset(text, 0, sizeof text);
  CHECK(read(own, text, 20) > 0 && atoi(text) == getpid(), "/proc/self/stat is of process %d", atoi(text));
  closedir(stream);
  return finish();
}

/* A child under another root directory (needs root), with a file open there and a directory open outside. */
#include "fixture.h"

int main(int argc, char **argv) {
  begin(argc, argv);
  _Atomic int *started = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  (void)!mkdir("cell", 0755);
  (void)!mkdir("cell/yard", 0755);
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    int outside = open(".", O_RDONLY | O_DIRECTORY);
    MUST(chroot("cell") == 0 && chdir("/yard") == 0);
    int fd = open("/inmate", O_RDWR | O_CREAT | O_TRUNC, 0600);
    MUST(outside != -1 && fd != -1 && write(fd, "number 6", 8) == 8);
    *started = 1;
    while (faccessat(outside, "go", F_OK, 0) != 0) nap(2000);
    char path[64] = {0}, text[16] = {0};
    CHECK(getcwd(path, sizeof path) != NULL && strcmp(path, "/yard") == 0, "the current directory is %s", path);
    CHECK(pread(fd, text, 8, 0) == 8 && memcmp(text, "number 6", 8) == 0, "the file holds %s", text);
    struct stat by_path, by_descriptor;
    CHECK(stat("/inmate", &by_path) == 0 && fstat(fd, &by_descriptor) == 0 && by_path.st_ino == by_descriptor.st_ino, "the root is another");
    CHECK(access("/proc", F_OK) != 0, "the cell has an open door");
    child_ends();
  }
  while (!*started) nap(1000);
  ready();
  await_go();
  CHECK(access("/proc/self", F_OK) == 0, "the parent's root changed");
  expect_child(child, "the child");
  return finish();
}

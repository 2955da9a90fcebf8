/*
 * Locks of open file descriptions, and leases: of both kinds, with the signal that tells of who wants the file, and content that a
 * checkpoint has to read without breaking the lease.
 */
#include "fixture.h"

#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#endif

static volatile sig_atomic_t signalled_fd = -1, signals;

static void on_break(int signal, siginfo_t *info, void *context) {
  signalled_fd = info->si_fd;
  signals++;
}

static int lock(int fd, int command, short type, off_t start, off_t length, struct flock *record) {
  *record = (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  return fcntl(fd, command, record);
}

static bool is_free(int fd, short type, off_t start, off_t length) {
  struct flock record;
  return lock(fd, F_OFD_GETLK, type, start, length, &record) == 0 && record.l_type == F_UNLCK;
}

/* Whether another process is kept from opening the file, and its try is told of. */
static bool is_guarded(const char *path, int flags, int fd) {
  int status = -1, before = signals;
  signalled_fd = -1;
  pid_t child = fork();
  if (child == 0) _exit(open(path, flags | O_NONBLOCK) == -1 && errno == EWOULDBLOCK ? 0 : 1);
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) continue;
  return status == 0 && signals == before + 1 && signalled_fd == fd;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  struct flock record;
  int locked = open("locked", O_RDWR | O_CREAT, 0600), duplicate = dup(locked), reading = open("locked", O_RDONLY), other = open("locked", O_RDWR);
  MUST(locked != -1 && duplicate != -1 && reading != -1 && other != -1);
  if (lock(locked, F_OFD_SETLK, F_WRLCK, 10, 20, &record) != 0 && errno == EINVAL) skip("no locks of open file descriptions on this machine");
  MUST(lock(locked, F_OFD_SETLK, F_WRLCK, 1000, 0, &record) == 0 && lock(reading, F_OFD_SETLK, F_RDLCK, 100, 10, &record) == 0);
  close(locked); /* unlike a record lock it lives as long as a duplicate does */
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    await_go();
    child_ends();
  }

  int created = open("written", O_RDWR | O_CREAT | O_TRUNC, 0600);
  MUST(created != -1 && write(created, "content", 7) == 7 && close(created) == 0);
  close(open("read", O_RDWR | O_CREAT, 0600));
  int written = open("written", O_RDWR), read_only = open("read", O_RDONLY);
  MUST(written != -1 && read_only != -1 && lseek(written, 3, SEEK_SET) == 3);
  struct sigaction action = {.sa_sigaction = on_break, .sa_flags = SA_SIGINFO | SA_RESTART};
  MUST(sigaction(SIGRTMIN + 3, &action, NULL) == 0 && fcntl(written, F_SETSIG, SIGRTMIN + 3) == 0 && fcntl(read_only, F_SETSIG, SIGRTMIN + 3) == 0);
  if (fcntl(written, F_SETLEASE, F_WRLCK) != 0) skip("no leases on this file system");
  MUST(fcntl(read_only, F_SETLEASE, F_RDLCK) == 0);

  ready();
  await_go();

  CHECK(!is_free(other, F_RDLCK, 10, 20) && is_free(other, F_WRLCK, 0, 10) && is_free(other, F_WRLCK, 30, 70), "the range of the write lock differs");
  CHECK(!is_free(other, F_RDLCK, 100000, 1), "the lock to the end is gone");
  CHECK(is_free(other, F_RDLCK, 100, 10) && !is_free(other, F_WRLCK, 105, 1), "the read lock differs");
  CHECK(lock(other, F_OFD_GETLK, F_WRLCK, 10, 1, &record) == 0 && record.l_pid == -1, "the lock is of process %d", record.l_pid);
  CHECK(is_free(duplicate, F_WRLCK, 10, 20), "the lock belongs to another description");
  expect_child(child, "the child");
  close(duplicate);
  CHECK(is_free(other, F_WRLCK, 10, 20), "the lock outlives its description");

  CHECK(signals == 0, "the lease was broken by somebody else");
  CHECK(fcntl(written, F_GETLEASE) == F_WRLCK && fcntl(read_only, F_GETLEASE) == F_RDLCK, "leases of kind %d and %d", fcntl(written, F_GETLEASE), fcntl(read_only, F_GETLEASE));
  CHECK(lseek(written, 0, SEEK_CUR) == 3, "the position is %ld", (long)lseek(written, 0, SEEK_CUR));
  CHECK(is_guarded("written", O_RDONLY, written), "the write lease does not guard (%d signals, descriptor %d)", signals, signalled_fd);
  CHECK(is_guarded("read", O_WRONLY, read_only), "the read lease does not guard (%d signals, descriptor %d)", signals, signalled_fd);
  CHECK(fcntl(written, F_SETLEASE, F_UNLCK) == 0 && fcntl(read_only, F_SETLEASE, F_UNLCK) == 0, "the leases cannot be given up");
  char content[8] = {0};
  CHECK(pread(written, content, 8, 0) == 7 && strcmp(content, "content") == 0, "the content is \"%s\"", content);
  MUST(pwrite(written, "CHANGED", 7, 0) == 7);
  return finish();
}

/* Locks on files: record locks of a process, flock of an open file description. */
#include "fixture.h"
#include <sys/file.h>

static bool is_locked(int fd, short type, off_t start, off_t length, pid_t *owner) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  if (fcntl(fd, F_GETLK, &lock) != 0) return false;
  if (owner != NULL) *owner = lock.l_pid;
  return lock.l_type != F_UNLCK;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  int records = open("records", O_RDWR | O_CREAT, 0600), whole = open("whole", O_RDWR | O_CREAT, 0600), shared = open("shared", O_RDWR | O_CREAT, 0600);
  int to_end = open("to-end", O_RDWR | O_CREAT, 0600);
  MUST(records != -1 && whole != -1 && shared != -1 && to_end != -1);
  struct flock write_lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 50};
  struct flock read_lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 300, .l_len = 10};
  struct flock open_ended = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1000, .l_len = 0};
  MUST(fcntl(records, F_SETLK, &write_lock) == 0 && fcntl(records, F_SETLK, &read_lock) == 0 && fcntl(to_end, F_SETLK, &open_ended) == 0);
  MUST(flock(whole, LOCK_EX) == 0 && flock(shared, LOCK_SH) == 0);
  int duplicate = dup(whole);
  pid_t self = getpid();

  ready();
  await_go();

  /* A process never collides with its own record locks: a child has to look. */
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    pid_t owner = 0;
    CHECK(is_locked(records, F_WRLCK, 100, 50, &owner) && owner == self, "the record lock is gone, or of process %d", owner);
    CHECK(is_locked(records, F_RDLCK, 149, 1, NULL) && !is_locked(records, F_WRLCK, 150, 10, NULL) && !is_locked(records, F_WRLCK, 0, 100, NULL), "the record lock has other bounds");
    CHECK(is_locked(records, F_WRLCK, 300, 1, NULL) && !is_locked(records, F_RDLCK, 300, 1, NULL), "the read lock differs");
    CHECK(is_locked(to_end, F_WRLCK, 100000, 1, NULL) && !is_locked(to_end, F_WRLCK, 0, 1000, NULL), "the lock to the end differs");
    int other = open("whole", O_RDWR), sharing = open("shared", O_RDWR);
    CHECK(flock(other, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK, "the exclusive flock is gone");
    CHECK(flock(sharing, LOCK_SH | LOCK_NB) == 0, "the shared flock became exclusive");
    CHECK(flock(sharing, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK, "the shared flock is gone");
    CHECK(flock(duplicate, LOCK_EX | LOCK_NB) == 0, "the lock belongs to another open file description");
    child_ends();
  }
  expect_child(child, "the child");
  int other = open("whole", O_RDWR);
  CHECK(flock(duplicate, LOCK_UN) == 0 && flock(other, LOCK_EX | LOCK_NB) == 0, "unlocking through the duplicate does not work");
  return finish();
}

/*
 * System V semaphores: values, who changed each last, and threads that wait for one: for more, for zero, for two at once. Nobody's
 * wait ends because of the cut.
 */
#include "fixture.h"
#include "ipc.h"

enum { COUNT = 6, WAITERS = 4 };

static int set;
static _Atomic int started, returned, go;

static int value_of(int index) { return semctl(set, index, GETVAL); }

static void wait_by(const char *what, struct sembuf *operations, size_t count, const struct timespec *limit) {
  started++;
  int result = semtimedop(set, operations, count, limit);
  int error = errno;
  returned++;
  if (!go) CHECK(false, "%s returned %d before it could (errno %d)", what, result, error);
  CHECK(result == 0, "%s returned %d (errno %d)", what, result, error);
}

static void *for_more(void *unused) {
  wait_by("a wait for more", (struct sembuf[]){{1, -2, 0}}, 1, NULL);
  return NULL;
}
static void *for_zero(void *unused) {
  wait_by("a wait for zero", (struct sembuf[]){{2, 0, 0}}, 1, NULL);
  return NULL;
}
static void *for_two(void *unused) {
  wait_by("a wait for two at once", (struct sembuf[]){{0, -1, 0}, {3, -1, 0}}, 2, NULL);
  return NULL;
}
static void *with_limit(void *unused) {
  wait_by("a wait with a limit", (struct sembuf[]){{3, -1, 0}}, 1, &(struct timespec){3600, 0});
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  key_t key = 0x45000000 | getpid();
  set = noted('s', semget(key, COUNT, IPC_CREAT | IPC_EXCL | 0660));
  int fresh = noted('s', semget(IPC_PRIVATE, 2, IPC_CREAT | 0600));
  MUST(set != -1 && fresh != -1 && semctl(fresh, 1, SETVAL, 5) == 0);
  MUST(semop(set, (struct sembuf[]){{0, 3, 0}, {2, 7, 0}}, 2) == 0);
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    MUST(semop(set, (struct sembuf[]){{4, 32767, 0}}, 1) == 0);
    while (!is_go()) nap(2000);
    CHECK(value_of(4) == 32767, "the child sees %d", value_of(4));
    child_ends();
  }
  while (value_of(4) == 0) nap(1000);
  pthread_t threads[WAITERS];
  void *(*const waits[WAITERS])(void *) = {for_more, for_zero, for_two, with_limit};
  for (int i = 0; i < WAITERS; i++) MUST(pthread_create(&threads[i], NULL, waits[i], NULL) == 0);
  while (started < WAITERS) nap(1000);
  while (semctl(set, 1, GETNCNT) + semctl(set, 2, GETZCNT) + semctl(set, 3, GETNCNT) < WAITERS) nap(1000);
  ready();
  await_go();

  nap(20000);
  CHECK(returned == 0, "%d waits ended by themselves", returned);
  CHECK(semctl(set, 1, GETNCNT) == 1 && semctl(set, 2, GETZCNT) == 1 && semctl(set, 3, GETNCNT) == 2, "not everybody waits where he waited");
  static const int values[COUNT] = {3, 0, 7, 0, 32767, 0};
  pid_t users[COUNT] = {getpid(), 0, getpid(), 0, child, 0};
  for (int i = 0; i < COUNT; i++) {
    CHECK(value_of(i) == values[i], "semaphore %d is %d, not %d", i, value_of(i), values[i]);
    CHECK(semctl(set, i, GETPID) == users[i], "semaphore %d was changed by %d, not %d", i, semctl(set, i, GETPID), users[i]);
  }
  struct semid_ds status, other;
  CHECK(semctl(set, 0, IPC_STAT, &status) == 0 && semctl(fresh, 0, IPC_STAT, &other) == 0, "a set is gone");
  CHECK(status.sem_otime != 0 && other.sem_otime == 0, "whether a set was ever used is not what it was");
  CHECK((status.sem_perm.mode & 0777) == 0660 && status.sem_nsems == COUNT && status.sem_perm.uid == getuid() && status.sem_perm.cuid == getuid(), "the set has other owners");
  CHECK(semget(key, 0, 0) == set && semctl(fresh, 1, GETVAL) == 5 && semctl(fresh, 0, GETVAL) == 0, "the key leads elsewhere");
  expect_child(child, "the child");
  go = 1;
  MUST(semop(set, (struct sembuf[]){{1, 2, 0}, {2, -7, 0}, {3, 2, 0}}, 3) == 0);
  for (int i = 0; i < WAITERS; i++) CHECK(pthread_join(threads[i], NULL) == 0, "thread %d does not end", i);
  CHECK(value_of(0) == 2 && value_of(1) == 0 && value_of(2) == 0 && value_of(3) == 0, "the waits took something else");
  CHECK(semctl(set, 0, IPC_RMID) == 0 && semctl(fresh, 0, IPC_RMID) == 0, "a set can't be removed");
  return finish();
}

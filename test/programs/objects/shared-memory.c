/*
 * Memory shared by relatives: what one writes the other sees, through whatever part each of them has mapped; the
 * parent's mapping may be gone, moved or of another protection. Mutexes and barriers across processes lie in it.
 */
#include "fixture.h"

enum { PAGE = 4096, MIB = 1 << 20 };

struct meeting {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  pthread_barrier_t barrier;
  int turn;
  long counter;
  _Atomic int started;
};

static char *share(size_t length) {
  char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(memory != MAP_FAILED);
  return memory;
}

static void count_together(struct meeting *meeting) {
  for (int i = 0; i < 2000; i++) {
    pthread_mutex_lock(&meeting->mutex);
    meeting->counter++;
    pthread_mutex_unlock(&meeting->mutex);
  }
  pthread_barrier_wait(&meeting->barrier);
}

int main(int argc, char **argv) {
  begin(argc, argv);
  struct meeting *meeting = (struct meeting *)share(sizeof *meeting);
  pthread_mutexattr_t of_mutex;
  pthread_condattr_t of_condition;
  pthread_barrierattr_t of_barrier;
  pthread_mutexattr_init(&of_mutex);
  pthread_mutexattr_setpshared(&of_mutex, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&meeting->mutex, &of_mutex);
  pthread_condattr_init(&of_condition);
  pthread_condattr_setpshared(&of_condition, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&meeting->condition, &of_condition);
  pthread_barrierattr_init(&of_barrier);
  pthread_barrierattr_setpshared(&of_barrier, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init(&meeting->barrier, &of_barrier, 3);

  char *common = share(4 * MIB), *of_children = share(MIB), *partly = share(16 * PAGE), *moved = share(4 * PAGE), *dropped = share(MIB);
  fill(common, 4 * MIB, 1);
  fill(of_children, MIB, 2);
  for (int i = 0; i < 16; i++) fill(partly + i * PAGE, PAGE, 100 + i);
  fill(moved, 4 * PAGE, 3);
  fill(dropped, MIB, 4);
  char *empty = share(MIB);

  pid_t children[2];
  for (int i = 0; i < 2; i++) {
    children[i] = fork();
    MUST(children[i] != -1);
    if (children[i] != 0) continue;
    if (i == 0) {
      MUST(munmap(partly, 5 * PAGE) == 0 && munmap(partly + 10 * PAGE, 6 * PAGE) == 0);
      moved = mremap(moved + 2 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0x210000000000);
      MUST(moved == (void *)0x210000000000);
      MUST(mprotect(common, MIB, PROT_READ) == 0);
    }
    pthread_mutex_lock(&meeting->mutex);
    meeting->started++;
    while (meeting->turn == 0) pthread_cond_wait(&meeting->condition, &meeting->mutex);
    pthread_mutex_unlock(&meeting->mutex);
    count_together(meeting);
    CHECK(is_filled(common, MIB, 11), "child %d does not see what the parent wrote", i);
    CHECK(is_filled(empty, MIB, 12), "child %d does not see what the parent wrote into empty memory", i);
    CHECK(i == 1 || fault_of(common, true) == SIGSEGV, "child 0 can write what it may only read");
    CHECK(is_filled(of_children, MIB, 2), "child %d: memory of the children alone differs", i);
    pthread_barrier_wait(&meeting->barrier);
    if (i == 0) {
      CHECK(is_filled(partly + 7 * PAGE, PAGE, 107), "child 0: the part that it has differs");
      fill(partly + 7 * PAGE, PAGE, 207);
      fill(moved, 2 * PAGE, 208);
      fill(of_children + PAGE, PAGE, 209);
    }
    pthread_barrier_wait(&meeting->barrier);
    if (i == 1) CHECK(is_filled(of_children + PAGE, PAGE, 209), "child 1 does not see what child 0 wrote");
    child_ends();
  }
  /* From here on only the children have it. */
  MUST(munmap(of_children, MIB) == 0);
  while (meeting->started < 2) nap(1000);

  ready();
  await_go();

  CHECK(is_filled(common, 4 * MIB, 1), "shared memory differs");
  CHECK(is_zero(empty, MIB), "untouched shared memory is not zero");
  CHECK(is_filled(moved, 4 * PAGE, 3), "the parent's view of moved memory differs");
  fill(common, MIB, 11);
  fill(empty, MIB, 12);
  pthread_mutex_lock(&meeting->mutex);
  meeting->turn = 1;
  pthread_cond_broadcast(&meeting->condition);
  pthread_mutex_unlock(&meeting->mutex);
  count_together(meeting);
  CHECK(meeting->counter == 6000, "the counter is %ld, not 6000", meeting->counter);
  pthread_barrier_wait(&meeting->barrier);
  pthread_barrier_wait(&meeting->barrier);
  CHECK(is_filled(partly + 7 * PAGE, PAGE, 207) && is_filled(partly, PAGE, 100), "the parent does not see what the child wrote into a part");
  CHECK(is_filled(moved + 2 * PAGE, 2 * PAGE, 208), "the parent does not see what the child wrote into moved memory");
  /* Giving shared pages back drops the view, not the content. */
  CHECK(madvise(dropped, MIB, MADV_DONTNEED) == 0 && is_filled(dropped, MIB, 4), "MADV_DONTNEED lost shared memory");
  CHECK(madvise(dropped, MIB, MADV_REMOVE) == 0 && is_zero(dropped, MIB), "MADV_REMOVE does not punch a hole");
  for (int i = 0; i < 2; i++) expect_child(children[i], "a child");
  return finish();
}

/* A segment that was removed lives on as long as somebody has it attached: a child too, and no longer. */
#include "fixture.h"
#include "ipc.h"

enum { PAGE = 4096 };

int main(int argc, char **argv) {
  begin(argc, argv);
  key_t key = 0x44000000 | getpid();
  int removed = noted('m', shmget(key, 4 * PAGE, IPC_CREAT | IPC_EXCL | 0600));
  MUST(removed != -1);
  char *memory = shmat(removed, NULL, 0);
  MUST(memory != (void *)-1 && shmctl(removed, IPC_RMID, NULL) == 0);
  fill(memory, 2 * PAGE, 1);
  /* The key is free again, and another's by now. */
  int successor = noted('m', shmget(key, PAGE, IPC_CREAT | IPC_EXCL | 0600));
  MUST(successor != -1);
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    while (!is_go()) nap(2000);
    CHECK(is_filled(memory, 2 * PAGE, 1), "the child's view differs");
    char *again = shmat(removed, NULL, 0);
    CHECK(again != (void *)-1, "the removed segment can't be attached by its id");
    fill(again + 2 * PAGE, PAGE, 2);
    child_ends();
  }
  ready();
  await_go();
  expect_child(child, "the child");
  struct shmid_ds status;
  CHECK(shmctl(removed, IPC_STAT, &status) == 0 && (status.shm_perm.mode & SHM_DEST) != 0 && status.shm_nattch == 1, "the segment is not marked as removed");
  CHECK(status.shm_perm.__key == 0 && shmget(key, 0, 0) == successor, "the key leads elsewhere");
  CHECK(is_filled(memory, 2 * PAGE, 1) && is_filled(memory + 2 * PAGE, PAGE, 2) && is_zero(memory + 3 * PAGE, PAGE), "the segment differs");
  CHECK(shmdt(memory) == 0, "shmdt fails");
  CHECK(shmctl(removed, IPC_STAT, &status) == -1, "the segment is there though nobody has it attached");
  CHECK(shmctl(successor, IPC_RMID, NULL) == 0, "the other segment can't be removed");
  return finish();
}

/*
 * What of System V IPC survives its program: a segment and a queue with a key, private semaphores, as databases have them. Says
 * "ready"; when there is a file "spoil", writes over all of it and says "spoiled"; with the go-file, says "ok" if all is as it
 * was. A locked file lets a test make a restart fail late.
 */
#include "fixture.h"
#include "ipc.h"

enum { PAGE = 4096 };

static void spoil(char *memory, int set, int queue) {
  memset(memory, 'x', 4 * PAGE);
  MUST(semctl(set, 0, SETVAL, 1) == 0 && semctl(set, 1, SETVAL, 2) == 0);
  struct { long type; char text[8]; } message;
  MUST(msgrcv(queue, &message, 8, 0, IPC_NOWAIT) == 4 && msgsnd(queue, &message, 8, IPC_NOWAIT) == 0);
  say("spoiled\n");
}

int main(int argc, char **argv) {
  begin(argc, argv);
  key_t key = 0x47000000 | getpid();
  int segment = noted('m', shmget(key, 4 * PAGE, IPC_CREAT | IPC_EXCL | 0600));
  int set = noted('s', semget(IPC_PRIVATE, 2, 0600)), queue = noted('q', msgget(key, IPC_CREAT | IPC_EXCL | 0600));
  MUST(segment != -1 && set != -1 && queue != -1);
  char *memory = shmat(segment, NULL, 0);
  fill(memory, 2 * PAGE, 1);
  MUST(semop(set, (struct sembuf[]){{0, 9, 0}}, 1) == 0 && msgsnd(queue, &(struct { long type; char text[4]; }){5, "text"}, 4, 0) == 0);
  int locked = open("locked", O_RDWR | O_CREAT, 0600);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  MUST(fcntl(locked, F_SETLK, &lock) == 0);
  say("%d %d ready\n", segment, key);
  for (bool spoiled = false; !is_go(); nap(2000)) {
    if (spoiled || access("spoil", F_OK) != 0) continue;
    spoil(memory, set, queue);
    spoiled = true;
  }
  CHECK(shmget(key, 0, 0) == segment && msgget(key, 0) == queue, "a key leads elsewhere");
  CHECK(is_filled(memory, 2 * PAGE, 1) && is_zero(memory + 2 * PAGE, 2 * PAGE), "the segment differs");
  CHECK(semctl(set, 0, GETVAL) == 9 && semctl(set, 1, GETVAL) == 0, "the semaphores are %d and %d", semctl(set, 0, GETVAL), semctl(set, 1, GETVAL));
  struct { long type; char text[64]; } message;
  CHECK(msgrcv(queue, &message, 64, 0, IPC_NOWAIT) == 4 && message.type == 5 && memcmp(message.text, "text", 4) == 0, "the message differs");
  CHECK(msgrcv(queue, &message, 64, 0, IPC_NOWAIT) == -1, "there is a second message");
  CHECK(shmdt(memory) == 0 && shmctl(segment, IPC_RMID, NULL) == 0 && semctl(set, 0, IPC_RMID) == 0 && msgctl(queue, IPC_RMID, NULL) == 0, "something can't be removed");
  return finish();
}

/* Somebody else: has a segment attached (attach ID), has a key (make KEY), or holds a lock (lock PATH); says so, and waits to be killed. */
#include "fixture.h"
#include "ipc.h"

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  if (strcmp(argv[1], "attach") == 0) MUST(shmat(atoi(argv[2]), NULL, 0) != (void *)-1);
  if (strcmp(argv[1], "make") == 0) {
    char *memory = shmat(noted('m', shmget(atoi(argv[2]), 4096, IPC_CREAT | IPC_EXCL | 0600)), NULL, 0);
    MUST(memory != (void *)-1);
    strcpy(memory, "not yours");
    say("%d ", noted('m', shmget(atoi(argv[2]), 0, 0)));
  }
  if (strcmp(argv[1], "lock") == 0) {
    int fd = open(argv[2], O_RDWR);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    MUST(fd != -1 && fcntl(fd, F_SETLK, &lock) == 0);
  }
  if (strcmp(argv[1], "show") == 0) {
    say("%s\n", (char *)shmat(atoi(argv[2]), NULL, SHM_RDONLY));
    return 0;
  }
  ready();
  for (;;) pause();
}

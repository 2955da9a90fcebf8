/*
 * System V IPC outlives processes: whatever a program makes, it notes in the file "ipc-ids" of its directory, one "m 5", "s 5" or
 * "q 5" a line, so that a test can remove it whatever became of the program.
 */
#ifndef IPC_H
#define IPC_H
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

static int noted(char kind, int id) {
  if (id == -1) {
    if (errno == ENOSYS) skip("no System V IPC on this machine");
    return -1;
  }
  int fd = open("ipc-ids", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  dprintf(fd, "%c %d\n", kind, id);
  close(fd);
  return id;
}
#endif

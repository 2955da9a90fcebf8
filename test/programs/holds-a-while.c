/* Holds a socket with a filter until its second argument names a file, then goes on without. */
#include "fixture.h"
#include <linux/filter.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  begin(argc, argv);
  if (argc < 3) return 2;
  struct sock_filter all = {BPF_RET | BPF_K, 0, 0, 0xffffffff};
  struct sock_fprog program = {1, &all};
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  MUST(fd != -1 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
  ready();
  while (access(argv[2], F_OK) != 0) nap(2000);
  close(fd);
  say("gone\n");
  await_go();
  return finish();
}

/* Descriptors on their way through a socket: of files, pipes and sockets, the only ones on what they are open on; one in another. */
#include "fixture.h"
#include <sys/socket.h>

static void send_with(int fd, const void *bytes, size_t length, const int *rights, int count) {
  char control[CMSG_SPACE(8 * sizeof(int))] = {0};
  struct iovec vector = {(void *)bytes, length};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(count * sizeof(int));
  memcpy(CMSG_DATA(header), rights, count * sizeof(int));
  MUST(sendmsg(fd, &message, 0) == (ssize_t)length);
}

static int receive_with(int fd, char *bytes, size_t length, int *rights) {
  char control[CMSG_SPACE(8 * sizeof(int))] = {0};
  struct iovec vector = {bytes, length};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  rights[0] = rights[1] = -1;
  if (got >= 0 && header != NULL && header->cmsg_type == SCM_RIGHTS) memcpy(rights, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
  return got;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  int stream[2], datagrams[2], inner[2], pipe_[2], rights[8];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, inner) == 0 && pipe(pipe_) == 0);
  int file = open("carried.txt", O_RDWR | O_CREAT | O_TRUNC, 0600);
  MUST(write(file, "carried content", 15) == 15 && lseek(file, 8, SEEK_SET) == 8);
  MUST(send(stream[0], "plain", 5, 0) == 5);
  send_with(stream[0], "F", 1, &file, 1);
  MUST(send(stream[0], "more", 4, 0) == 4);
  send_with(stream[0], "PP", 2, pipe_, 2);
  MUST(write(pipe_[1], "in the pipe", 11) == 11);
  /* A socket on its way, in whose queue a descriptor is on its way. */
  int null = open("/dev/null", O_WRONLY);
  send_with(inner[0], "inner", 5, &null, 1);
  send_with(datagrams[0], "socket", 6, &inner[1], 1);
  MUST(send(datagrams[0], "", 0, 0) == 0 || true);
  close(file);
  close(pipe_[0]);
  close(pipe_[1]);
  close(inner[1]);
  close(null);

  ready();
  await_go();

  char got[64];
  CHECK(receive_with(stream[1], got, 5, rights) == 5 && rights[0] == -1 && memcmp(got, "plain", 5) == 0, "the plain bytes differ");
  CHECK(receive_with(stream[1], got, 1, rights) == 1 && got[0] == 'F' && rights[0] >= 0, "the file did not come");
  CHECK(read(rights[0], got, 20) == 7 && memcmp(got, "content", 7) == 0 && (fcntl(rights[0], F_GETFL) & O_ACCMODE) == O_RDWR, "the file differs");
  CHECK(receive_with(stream[1], got, 4, rights) == 4 && rights[0] == -1 && memcmp(got, "more", 4) == 0, "the bytes after it differ");
  CHECK(receive_with(stream[1], got, 2, rights) == 2 && rights[1] >= 0, "the pipe did not come");
  CHECK(read(rights[0], got, 20) == 11 && memcmp(got, "in the pipe", 11) == 0, "the pipe's bytes differ");
  close(rights[1]);
  CHECK(read(rights[0], got, 20) == 0, "the pipe does not end: somebody else has its other end");
  CHECK(receive_with(datagrams[1], got, 64, rights) == 6 && rights[0] >= 0, "the socket did not come");
  int socket_ = rights[0];
  CHECK(receive_with(socket_, got, 64, rights) == 5 && memcmp(got, "inner", 5) == 0 && rights[0] >= 0 && write(rights[0], "x", 1) == 1, "the one inside it did not come");
  CHECK(send(socket_, "hello", 5, MSG_NOSIGNAL) == 5 && recv(inner[0], got, 64, MSG_DONTWAIT) == 5, "the socket does not talk");
  close(socket_);
  CHECK(recv(inner[0], got, 64, MSG_DONTWAIT) == 0, "the socket does not end: somebody else has its other end");
  return finish();
}

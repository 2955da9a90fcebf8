/* Unix sockets: pairs of every type, names of every kind, listening and waiting ones, unread bytes and messages, halves that are closed. */
#include "fixture.h"
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static socklen_t name_of(struct sockaddr_un *address, const char *name, bool abstract) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  strcpy(address->sun_path + (abstract ? 1 : 0), name);
  return offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1;
}

static int bound(int type, const char *name, bool abstract) {
  struct sockaddr_un address;
  socklen_t length = name_of(&address, name, abstract);
  int fd = socket(AF_UNIX, type, 0);
  MUST(fd >= 0);
  if (!abstract) unlink(name);
  MUST(bind(fd, (struct sockaddr *)&address, length) == 0);
  return fd;
}

static int connected(int type, const char *name, bool abstract) {
  struct sockaddr_un address;
  socklen_t length = name_of(&address, name, abstract);
  int fd = socket(AF_UNIX, type, 0);
  MUST(fd >= 0 && connect(fd, (struct sockaddr *)&address, length) == 0);
  return fd;
}

static void has_name(int fd, const char *name, bool abstract, const char *who) {
  struct sockaddr_un wanted, got;
  socklen_t length = name_of(&wanted, name, abstract), found = sizeof got;
  memset(&got, 0, sizeof got);
  CHECK(getsockname(fd, (struct sockaddr *)&got, &found) == 0 && found == length && memcmp(&got, &wanted, length) == 0, "the name of %s differs: %u bytes, %s", who, found, got.sun_path);
}

static void talks(int a, int b, const char *who) {
  char got[8] = "";
  CHECK(send(a, "ping", 4, MSG_NOSIGNAL) == 4 && recv(b, got, sizeof got, MSG_DONTWAIT) == 4 && memcmp(got, "ping", 4) == 0, "%s does not talk one way", who);
  CHECK(send(b, "pong", 4, MSG_NOSIGNAL) == 4 && recv(a, got, sizeof got, MSG_DONTWAIT) == 4 && memcmp(got, "pong", 4) == 0, "%s does not talk the other way", who);
}

static int option(int fd, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  getsockopt(fd, SOL_SOCKET, name, &value, &length);
  return value;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  static char pattern[300000], got[300000];
  fill(pattern, sizeof pattern, 7);
  char abstract[64];
  snprintf(abstract, sizeof abstract, "cairn-fixture-%d", getpid());

  int stream[2], packets[2], datagrams[2], full[2], half[2], gone[2], broken[2], child[2], timed[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, packets) == 0);
  MUST(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, datagrams) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, full) == 0);
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, half) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, gone) == 0);
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, broken) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, child) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, timed) == 0);
  MUST(send(stream[0], "left to right", 13, 0) == 13 && send(stream[1], "right to left", 13, 0) == 13);
  MUST(recv(stream[1], got, 5, 0) == 5);
  for (int i = 1; i <= 5; i++) MUST(send(packets[0], pattern, 100 * i, 0) == 100 * i);
  for (int i = 1; i <= 5; i++) MUST(send(datagrams[1], pattern + i, 1000 * i, 0) == 1000 * i);
  size_t in_full = 0;
  for (ssize_t step; (step = send(full[0], pattern + in_full, 1777, MSG_DONTWAIT)) > 0;) in_full += step;
  MUST(errno == EAGAIN);
  MUST(send(half[0], "the end", 7, 0) == 7 && shutdown(half[0], SHUT_WR) == 0);
  MUST(send(gone[0], "last words", 10, 0) == 10 && close(gone[0]) == 0);
  MUST(send(broken[0], "unread", 6, 0) == 6 && send(broken[1], "never read", 10, 0) == 10 && close(broken[0]) == 0);
  struct timeval limit = {3, 500000};
  int one = 1, large = 65536;
  MUST(setsockopt(timed[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 && setsockopt(timed[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0);
  MUST(setsockopt(timed[1], SOL_SOCKET, SO_SNDBUF, &large, sizeof large) == 0);
  int sndbuf = option(timed[1], SO_SNDBUF);

  int server = bound(SOCK_STREAM, "server.sock", false), hidden = bound(SOCK_SEQPACKET, abstract, true), removed = bound(SOCK_STREAM, "removed.sock", false);
  MUST(chmod("server.sock", 0640) == 0);
  MUST(listen(server, 5) == 0 && listen(hidden, 3) == 0 && listen(removed, 3) == 0);
  int client = connected(SOCK_STREAM, "server.sock", false), accepted = accept(server, NULL, NULL);
  int packet_client = connected(SOCK_SEQPACKET, abstract, true), packet_accepted = accept(hidden, NULL, NULL);
  int removed_client = connected(SOCK_STREAM, "removed.sock", false), removed_accepted = accept(removed, NULL, NULL);
  MUST(accepted >= 0 && packet_accepted >= 0 && removed_accepted >= 0 && unlink("removed.sock") == 0);
  int waiting[2] = {connected(SOCK_STREAM, "server.sock", false), connected(SOCK_STREAM, "server.sock", false)};
  MUST(send(accepted, "from the server", 15, 0) == 15);

  int mailbox = bound(SOCK_DGRAM, "mailbox.sock", false), sender = bound(SOCK_DGRAM, "sender.sock", false);
  struct sockaddr_un to;
  socklen_t to_length = name_of(&to, "mailbox.sock", false);
  MUST(sendto(sender, "signed", 6, 0, (struct sockaddr *)&to, to_length) == 6);
  int anonymous = connected(SOCK_DGRAM, "mailbox.sock", false);
  MUST(send(anonymous, "unsigned", 8, 0) == 8);
  int fresh = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

  pid_t pid = fork();
  MUST(pid >= 0);
  if (pid == 0) {
    close(child[0]);
    /* Waits in the call over the checkpoint. */
    char word[16] = "";
    CHECK(recv(child[1], word, sizeof word, 0) == 5 && memcmp(word, "hello", 5) == 0, "the child got %s", word);
    CHECK(send(child[1], "world", 5, 0) == 5, "the child can't answer");
    child_ends();
  }
  close(child[1]);

  ready();
  await_go();

  CHECK(recv(stream[1], got, 100, MSG_DONTWAIT) == 8 && memcmp(got, "to right", 8) == 0, "the stream's bytes differ");
  CHECK(recv(stream[0], got, 100, MSG_DONTWAIT) == 13 && memcmp(got, "right to left", 13) == 0, "the stream's other bytes differ");
  talks(stream[0], stream[1], "the stream");
  for (int i = 1; i <= 5; i++) CHECK(recv(packets[1], got, sizeof got, MSG_DONTWAIT) == 100 * i && memcmp(got, pattern, 100 * i) == 0, "packet %d differs", i);
  talks(packets[0], packets[1], "the packets' pair");
  CHECK((fcntl(packets[0], F_GETFL) & O_NONBLOCK) && !(fcntl(stream[0], F_GETFL) & O_NONBLOCK), "flags differ");
  CHECK(fcntl(datagrams[0], F_GETFD) == FD_CLOEXEC, "close-on-exec differs");
  for (int i = 1; i <= 5; i++) CHECK(recv(datagrams[0], got, sizeof got, MSG_DONTWAIT) == 1000 * i && memcmp(got, pattern + i, 1000 * i) == 0, "datagram %d differs", i);
  talks(datagrams[0], datagrams[1], "the datagrams' pair");
  CHECK(recv(full[1], got, in_full, MSG_WAITALL) == (ssize_t)in_full && memcmp(got, pattern, in_full) == 0, "the full stream's bytes differ");
  CHECK(recv(full[1], got, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN, "the full stream has more");
  CHECK(recv(half[1], got, 100, MSG_DONTWAIT) == 7 && recv(half[1], got, 100, MSG_DONTWAIT) == 0, "the half does not end");
  CHECK(send(half[1], "back", 4, MSG_NOSIGNAL) == 4 && recv(half[0], got, 100, MSG_DONTWAIT) == 4, "the half does not go back");
  CHECK(send(half[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "the half can be written");
  CHECK(recv(gone[1], got, 100, MSG_DONTWAIT) == 10 && recv(gone[1], got, 100, MSG_DONTWAIT) == 0, "the one whose other is gone does not end");
  CHECK(send(gone[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "the one whose other is gone can be written");
  struct pollfd event = {broken[1], POLLIN, 0};
  CHECK(poll(&event, 1, 0) == 1 && (event.revents & POLLERR), "the broken one shows no error: %#x", event.revents);
  CHECK(recv(broken[1], got, 100, MSG_DONTWAIT) == 6, "the broken one has lost its bytes");
  CHECK(recv(broken[1], got, 100, MSG_DONTWAIT) == -1 && errno == ECONNRESET, "the broken one does not say so");
  socklen_t length = sizeof limit;
  memset(&limit, 0, sizeof limit);
  CHECK(getsockopt(timed[0], SOL_SOCKET, SO_RCVTIMEO, &limit, &length) == 0 && limit.tv_sec == 3 && limit.tv_usec == 500000, "the time limit differs");
  CHECK(option(timed[0], SO_PASSCRED) == 1 && option(timed[1], SO_PASSCRED) == 0 && option(timed[1], SO_SNDBUF) == sndbuf, "options differ: %d", option(timed[1], SO_SNDBUF));

  CHECK(option(server, SO_ACCEPTCONN) == 1 && option(hidden, SO_ACCEPTCONN) == 1 && option(client, SO_ACCEPTCONN) == 0, "who listens differs");
  has_name(server, "server.sock", false, "the server");
  has_name(accepted, "server.sock", false, "the accepted one");
  has_name(hidden, abstract, true, "the hidden server");
  has_name(packet_accepted, abstract, true, "the accepted packets");
  has_name(removed, "removed.sock", false, "the removed server");
  has_name(mailbox, "mailbox.sock", false, "the mailbox");
  struct stat stat_;
  CHECK(stat("server.sock", &stat_) == 0 && S_ISSOCK(stat_.st_mode) && (stat_.st_mode & 0777) == 0640, "the server's file differs");
  CHECK(access("removed.sock", F_OK) == -1, "the removed file is there");
  CHECK(recv(client, got, 100, MSG_DONTWAIT) == 15 && memcmp(got, "from the server", 15) == 0, "the server's words differ");
  talks(client, accepted, "the connection");
  talks(packet_client, packet_accepted, "the packets' connection");
  talks(removed_client, removed_accepted, "the removed connection");
  for (int i = 0; i < 2; i++) {
    int late = accept(server, NULL, NULL);
    CHECK(late >= 0, "connection %d does not wait", i);
    talks(waiting[i], late, "the connection that waited");
    close(late);
  }
  int again = connected(SOCK_STREAM, "server.sock", false), more = accept(server, NULL, NULL);
  talks(again, more, "a new connection");
  struct sockaddr_un from;
  length = sizeof from;
  CHECK(recvfrom(mailbox, got, 100, MSG_DONTWAIT, (struct sockaddr *)&from, &length) == 6 && strcmp(from.sun_path, "sender.sock") == 0, "the signed datagram differs: %s", from.sun_path);
  length = sizeof from;
  CHECK(recvfrom(mailbox, got, 100, MSG_DONTWAIT, (struct sockaddr *)&from, &length) == 8 && length <= 2, "the unsigned datagram differs");
  CHECK(send(anonymous, "more", 4, 0) == 4 && recv(mailbox, got, 100, MSG_DONTWAIT) == 4, "the mailbox gets no more");
  struct sockaddr_un address;
  length = name_of(&address, "server.sock", false);
  CHECK(connect(fresh, (struct sockaddr *)&address, length) == 0, "the fresh one does not connect");
  CHECK(send(child[0], "hello", 5, 0) == 5 && recv(child[0], got, 5, MSG_WAITALL) == 5 && memcmp(got, "world", 5) == 0, "the child does not answer");
  CHECK(recv(child[0], got, 5, 0) == 0, "the child's end stays open");
  expect_child(pid, "the child");
  return finish();
}

/*
 * What the kernel tells of the other end of a Unix socket: who made the pair, and who listens. By root and by others, by one that has ended but was
 * not waited for, and to those who connect after the checkpoint.
 */
#include "fixture.h"
#include <sys/socket.h>
#include <sys/un.h>

static void expect_peer(int fd, pid_t pid, uid_t user, const char *who) {
  struct ucred told = {0};
  socklen_t length = sizeof told;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &told, &length) == 0 && told.pid == pid && told.uid == user && told.gid == (user == geteuid() ? getegid() : user),
        "%s: process %d of user %d and group %d, not %d of %d", who, told.pid, told.uid, told.gid, pid, user);
}

static void talks(int a, int b, const char *who) {
  char text[8] = {0};
  CHECK(send(a, "to", 2, 0) == 2 && recv(b, text, 8, 0) == 2 && memcmp(text, "to", 2) == 0, "%s: one way is closed", who);
  CHECK(send(b, "fro", 3, 0) == 3 && recv(a, text, 8, 0) == 3 && memcmp(text, "fro", 3) == 0, "%s: the other way is closed", who);
}

static socklen_t name(struct sockaddr_un *address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  return sizeof(sa_family_t) + 1 + snprintf(address->sun_path + 1, 64, "cairn-peers-%d", getppid());
}

/* Sends what it has made to its parent. */
static void give(int to, int fd) {
  char space[CMSG_SPACE(sizeof fd)] = {0};
  struct iovec byte = {"x", 1};
  struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  *rights = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  MUST(sendmsg(to, &message, 0) == 1);
}

static int take(int from) {
  int fd;
  char space[CMSG_SPACE(sizeof fd)], byte;
  struct iovec one = {&byte, 1};
  struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  MUST(recvmsg(from, &message, 0) == 1 && CMSG_FIRSTHDR(&message) != NULL);
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  uid_t own = geteuid(), other = own == 0 ? 1001 : own;
  int own_pair[2], datagrams[2], packets[2], to_child[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, own_pair) == 0 && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, datagrams) == 0);
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, to_child) == 0);
  MUST(send(own_pair[0], "before", 6, 0) == 6 && send(datagrams[1], "gram", 4, 0) == 4);
  pid_t maker = fork();
  MUST(maker != -1);
  if (maker == 0) {
    int pair[2], listener = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address;
    socklen_t length = name(&address);
    if (own == 0) MUST(setresgid(other, other, other) == 0 && setresuid(other, other, other) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 5) == 0);
    give(to_child[1], pair[0]);
    give(to_child[1], pair[1]);
    /* Another user may not see the go-file. */
    char byte;
    MUST(read(to_child[1], &byte, 1) == 1);
    int accepted = accept(listener, NULL, NULL);
    MUST(accepted != -1 && write(accepted, &byte, 1) == 1 && read(accepted, &byte, 1) == 1);
    child_ends();
  }
  int from_child[2] = {take(to_child[0]), take(to_child[0])};
  pid_t ended = fork();
  MUST(ended != -1);
  if (ended == 0) {
    int pair[2];
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    give(to_child[1], pair[0]);
    give(to_child[1], pair[1]);
    _exit(0);
  }
  int from_ended[2] = {take(to_child[0]), take(to_child[0])};
  siginfo_t information;
  MUST(waitid(P_PID, ended, &information, WEXITED | WNOWAIT) == 0);
  ready();
  await_go();

  expect_peer(own_pair[0], getpid(), own, "a pair");
  expect_peer(own_pair[1], getpid(), own, "its other end");
  expect_peer(datagrams[0], getpid(), own, "a pair for datagrams");
  expect_peer(packets[1], getpid(), own, "a pair for packets");
  expect_peer(to_child[0], getpid(), own, "a pair that leads to a child");
  expect_peer(from_child[0], maker, other, "a pair that another user made");
  expect_peer(from_ended[1], ended, own, "a pair whose maker has ended");
  char text[8];
  CHECK(recv(own_pair[1], text, 8, MSG_DONTWAIT) == 6 && memcmp(text, "before", 6) == 0, "what waited in a pair is lost");
  CHECK(recv(datagrams[0], text, 8, 0) == 4 && recv(datagrams[0], text, 8, 0) == -1 && errno == EAGAIN, "datagrams differ");
  talks(own_pair[0], own_pair[1], "a pair");
  talks(packets[0], packets[1], "a pair for packets");
  talks(from_child[0], from_child[1], "a pair of a child's");
  talks(from_ended[0], from_ended[1], "a pair whose maker has ended");

  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  socklen_t length = sizeof(sa_family_t) + 1 + snprintf(address.sun_path + 1, 64, "cairn-peers-%d", getpid());
  MUST(write(to_child[0], "x", 1) == 1);
  int client = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(connect(client, (struct sockaddr *)&address, length) == 0 && read(client, text, 1) == 1, "cannot connect");
  expect_peer(client, maker, other, "who listens");
  MUST(write(client, "x", 1) == 1);
  expect_child(maker, "the maker");
  expect_child(ended, "the one that has ended");
  return finish();
}

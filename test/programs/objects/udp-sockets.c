/* UDP: bound, connected, with datagrams that wait, of several senders; options, multicast groups; IPv6. */
#include "fixture.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <net/if.h>
#include <sys/socket.h>

static int bound(struct sockaddr_in *address, in_addr_t where) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  socklen_t length = sizeof *address;
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(where)};
  MUST(fd >= 0 && bind(fd, (struct sockaddr *)address, length) == 0 && getsockname(fd, (struct sockaddr *)address, &length) == 0);
  if (where == INADDR_ANY) address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return fd;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  static char pattern[60000], got[60000];
  fill(pattern, sizeof pattern, 3);
  struct sockaddr_in mailbox_at, wide_at, a_at, b_at, group_at, from;
  socklen_t length = sizeof from;
  int mailbox = bound(&mailbox_at, INADDR_LOOPBACK), wide = bound(&wide_at, INADDR_ANY), a = bound(&a_at, INADDR_LOOPBACK), b = bound(&b_at, INADDR_LOOPBACK);
  MUST(sendto(a, "from a", 6, 0, (struct sockaddr *)&mailbox_at, sizeof mailbox_at) == 6);
  MUST(sendto(b, pattern, 30000, 0, (struct sockaddr *)&mailbox_at, sizeof mailbox_at) == 30000);
  MUST(sendto(a, "again", 5, 0, (struct sockaddr *)&mailbox_at, sizeof mailbox_at) == 5);
  MUST(sendto(a, "to all", 6, 0, (struct sockaddr *)&wide_at, sizeof wide_at) == 6);
  MUST(connect(a, (struct sockaddr *)&b_at, sizeof b_at) == 0 && connect(b, (struct sockaddr *)&a_at, sizeof a_at) == 0);
  MUST(send(a, "private", 7, 0) == 7);
  int one = 1, ttl = 9, fresh = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  MUST(setsockopt(wide, SOL_SOCKET, SO_BROADCAST, &one, sizeof one) == 0 && setsockopt(wide, IPPROTO_IP, IP_PKTINFO, &one, sizeof one) == 0 && setsockopt(wide, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl) == 0);
  struct ip_mreqn group = {.imr_multiaddr.s_addr = inet_addr("239.77.7.7"), .imr_ifindex = if_nametoindex("lo")};
  int member = bound(&group_at, INADDR_ANY);
  bool has_group = setsockopt(member, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == 0;
  struct sockaddr_in6 six_at = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
  int six = socket(AF_INET6, SOCK_DGRAM, 0);
  length = sizeof six_at;
  if (six >= 0 && bind(six, (struct sockaddr *)&six_at, length) == 0) {
    getsockname(six, (struct sockaddr *)&six_at, &length);
    MUST(sendto(six, "to myself", 9, 0, (struct sockaddr *)&six_at, length) == 9);
  } else six = -1;

  ready();
  await_go();

  length = sizeof from;
  CHECK(recvfrom(mailbox, got, sizeof got, MSG_DONTWAIT, (struct sockaddr *)&from, &length) == 6 && memcmp(got, "from a", 6) == 0 && from.sin_port == a_at.sin_port, "the first datagram differs");
  CHECK(recvfrom(mailbox, got, sizeof got, MSG_DONTWAIT, (struct sockaddr *)&from, &length) == 30000 && memcmp(got, pattern, 30000) == 0 && from.sin_port == b_at.sin_port, "the second datagram differs");
  CHECK(recv(mailbox, got, sizeof got, MSG_DONTWAIT) == 5 && recv(mailbox, got, sizeof got, MSG_DONTWAIT) == -1 && errno == EAGAIN, "the third datagram differs");
  CHECK(recv(wide, got, sizeof got, MSG_DONTWAIT) == 6 && memcmp(got, "to all", 6) == 0, "the datagram to all differs");
  CHECK(recv(b, got, sizeof got, MSG_DONTWAIT) == 7 && memcmp(got, "private", 7) == 0, "the private datagram differs");
  CHECK(send(b, "answer", 6, 0) == 6 && recv(a, got, sizeof got, MSG_DONTWAIT) == 6, "the connected ones do not talk");
  CHECK(sendto(mailbox, "stranger", 8, 0, (struct sockaddr *)&a_at, sizeof a_at) == 8 && recv(a, got, sizeof got, MSG_DONTWAIT) == -1, "a connected one hears a stranger");
  /* A socket in the queue of errors for what nobody took. */
  int value = 0;
  length = sizeof value;
  CHECK(getsockopt(wide, SOL_SOCKET, SO_BROADCAST, &value, &length) == 0 && value == 1 && getsockopt(wide, IPPROTO_IP, IP_TTL, &value, &length) == 0 && value == 9, "options differ");
  CHECK((fcntl(fresh, F_GETFL) & O_NONBLOCK) && sendto(fresh, "new", 3, 0, (struct sockaddr *)&mailbox_at, sizeof mailbox_at) == 3 && recv(mailbox, got, 3, MSG_DONTWAIT) == 3, "the fresh one does not work");
  if (has_group) CHECK(setsockopt(member, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == -1 && errno == EADDRINUSE, "it is not a member of its group");
  if (six >= 0) CHECK(recv(six, got, sizeof got, MSG_DONTWAIT) == 9 && memcmp(got, "to myself", 9) == 0, "the IPv6 datagram differs");
  return finish();
}

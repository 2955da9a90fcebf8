/* Netlink sockets with nothing unread: their groups, and that they still work. */
#include "fixture.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  begin(argc, argv);
  int route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), events = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT);
  struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR}, got;
  MUST(route >= 0 && events >= 0 && bind(route, (struct sockaddr *)&name, sizeof name) == 0);
  socklen_t length = sizeof name;
  MUST(getsockname(route, (struct sockaddr *)&name, &length) == 0);
  ready();
  await_go();
  length = sizeof got;
  CHECK(getsockname(route, (struct sockaddr *)&got, &length) == 0 && got.nl_groups == name.nl_groups && got.nl_pid == name.nl_pid, "its name differs: groups %#x, port %u not %u", got.nl_groups, got.nl_pid, name.nl_pid);
  struct { struct nlmsghdr header; struct rtgenmsg body; } request = {{sizeof request, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {AF_UNSPEC}};
  char answer[16384];
  CHECK(send(route, &request, sizeof request, 0) == sizeof request && recv(route, answer, sizeof answer, 0) > 100, "the kernel does not answer");
  return finish();
}

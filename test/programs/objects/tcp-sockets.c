/* TCP: listening and waiting, connections inside the job with bytes in both queues, half-closed, closed and broken ones; options; IPv4 and IPv6. */
#include "fixture.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

struct pair { int server, client; };

/* Whether what is left of ended connections may be reused: see the test. */
static int reusable;

static int stream(int family) {
  int fd = socket(family, SOCK_STREAM, 0);
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reusable, sizeof reusable);
  return fd;
}

static int listener(int family, struct sockaddr_storage *address, int backlog, bool mapped) {
  int fd = stream(family), off = 0;
  if (fd < 0) return -1;
  memset(address, 0, sizeof *address);
  address->ss_family = family;
  if (family == AF_INET) ((struct sockaddr_in *)address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  else if (mapped) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  else ((struct sockaddr_in6 *)address)->sin6_addr = in6addr_loopback;
  socklen_t length = sizeof *address;
  if (bind(fd, (struct sockaddr *)address, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) != 0) return -1;
  MUST(getsockname(fd, (struct sockaddr *)address, &length) == 0 && listen(fd, backlog) == 0);
  return fd;
}

static int dial(const struct sockaddr_storage *address) {
  int fd = stream(address->ss_family);
  MUST(fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(struct sockaddr_in6)) == 0);
  return fd;
}

static struct pair make(int server, const struct sockaddr_storage *address) {
  struct pair pair = {.client = dial(address)};
  pair.server = accept(server, NULL, NULL);
  MUST(pair.server >= 0);
  return pair;
}

static int state_of(int fd) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 ? info.tcpi_state : -1;
}

static void settled(int fd, int state, const char *who) {
  for (int i = 0; i < 500 && state_of(fd) != state; i++) nap(2000);
  CHECK(state_of(fd) == state, "%s is in state %d, not %d", who, state_of(fd), state);
}

static int receive(int fd, char *into, int length) {
  struct timeval limit = {20, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return recv(fd, into, length, MSG_WAITALL);
}

static void talks(struct pair pair, const char *who) {
  char got[8] = "";
  CHECK(send(pair.client, "ping", 4, MSG_NOSIGNAL) == 4 && receive(pair.server, got, 4) == 4 && memcmp(got, "ping", 4) == 0, "%s: the server hears nothing", who);
  CHECK(send(pair.server, "pong", 4, MSG_NOSIGNAL) == 4 && receive(pair.client, got, 4) == 4 && memcmp(got, "pong", 4) == 0, "%s: the client hears nothing", who);
}

static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  getsockopt(fd, level, name, &value, &length);
  return value;
}

static void same_address(int fd, int (*ask)(int, struct sockaddr *, socklen_t *), const struct sockaddr_storage *wanted, const char *who) {
  struct sockaddr_storage got;
  socklen_t length = sizeof got;
  memset(&got, 0, sizeof got);
  CHECK(ask(fd, (struct sockaddr *)&got, &length) == 0 && memcmp(&got, wanted, length) == 0, "the address of %s differs", who);
}

static void address_of(int fd, int (*ask)(int, struct sockaddr *, socklen_t *), struct sockaddr_storage *address) {
  socklen_t length = sizeof *address;
  memset(address, 0, sizeof *address);
  MUST(ask(fd, (struct sockaddr *)address, &length) == 0);
}

int main(int argc, char **argv) {
  begin(argc, argv);
  reusable = argc > 2;
  static char pattern[200000], got[200000];
  fill(pattern, sizeof pattern, 9);
  struct sockaddr_storage address, address6, address46, client_name, server_name, peer_name;
  int server = listener(AF_INET, &address, 7, false);
  MUST(server >= 0);
  int server6 = listener(AF_INET6, &address6, 5, false), server46 = server6 < 0 ? -1 : listener(AF_INET6, &address46, 5, true);
  struct pair plain = make(server, &address), bytes = make(server, &address), half = make(server, &address), gone = make(server, &address), broken = make(server, &address);
  struct pair over = make(server, &address), tuned = make(server, &address), child = make(server, &address);
  struct pair six = {-1, -1}, mixed = {-1, -1};
  if (server6 >= 0) six = make(server6, &address6);
  if (server46 >= 0) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = ((struct sockaddr_in6 *)&address46)->sin6_port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    mixed.client = stream(AF_INET);
    MUST(connect(mixed.client, (struct sockaddr *)&to, sizeof to) == 0);
    mixed.server = accept(server46, NULL, NULL);
    MUST(mixed.server >= 0);
  }
  MUST(send(bytes.client, pattern, 50000, 0) == 50000 && send(bytes.server, pattern + 7, 3000, 0) == 3000 && recv(bytes.server, got, 1000, MSG_WAITALL) == 1000);
  MUST(send(half.client, "the end", 7, 0) == 7 && shutdown(half.client, SHUT_WR) == 0);
  MUST(send(gone.client, "last words", 10, 0) == 10 && close(gone.client) == 0);
  struct linger hard = {1, 0};
  MUST(setsockopt(broken.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0 && send(broken.client, "cut", 3, 0) == 3 && close(broken.client) == 0);
  MUST(shutdown(over.client, SHUT_WR) == 0 && recv(over.server, got, 1, 0) == 0 && shutdown(over.server, SHUT_WR) == 0 && recv(over.client, got, 1, 0) == 0);
  int one = 1, idle = 77, buffer = 40000;
  MUST(setsockopt(tuned.client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 && setsockopt(tuned.client, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) == 0);
  MUST(setsockopt(tuned.client, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) == 0 && setsockopt(tuned.server, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) == 0);
  MUST(fcntl(tuned.server, F_SETFL, O_NONBLOCK) == 0);
  int rcvbuf = option(tuned.server, SOL_SOCKET, SO_RCVBUF), reuse = option(server, SOL_SOCKET, SO_REUSEADDR);
  settled(gone.server, TCP_CLOSE_WAIT, "the one whose other is gone");
  settled(half.server, TCP_CLOSE_WAIT, "the half");
  settled(broken.server, TCP_CLOSE, "the broken one");
  address_of(plain.client, getsockname, &client_name);
  address_of(plain.server, getsockname, &server_name);
  address_of(plain.client, getpeername, &peer_name);
  int waiting[2] = {dial(&address), dial(&address)};
  int fresh = stream(AF_INET), bound = stream(AF_INET);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_storage bound_name;
  MUST(bind(bound, (struct sockaddr *)&any, sizeof any) == 0);
  address_of(bound, getsockname, &bound_name);
  pid_t pid = fork();
  MUST(pid >= 0);
  if (pid == 0) {
    close(child.client);
    char word[8] = "";
    CHECK(recv(child.server, word, 5, MSG_WAITALL) == 5 && memcmp(word, "hello", 5) == 0, "the child got %s", word);
    CHECK(send(child.server, "world", 5, MSG_NOSIGNAL) == 5, "the child can't answer");
    child_ends();
  }
  close(child.server);

  ready();
  await_go();

  same_address(plain.client, getsockname, &client_name, "the client");
  same_address(plain.server, getsockname, &server_name, "the server's end");
  same_address(plain.client, getpeername, &peer_name, "the client's peer");
  same_address(plain.server, getpeername, &client_name, "the server's peer");
  same_address(server, getsockname, &address, "the listener");
  same_address(bound, getsockname, &bound_name, "the bound one");
  talks(plain, "the plain connection");
  CHECK(receive(bytes.server, got, 49000) == 49000 && memcmp(got, pattern + 1000, 49000) == 0, "the bytes to the server differ");
  CHECK(receive(bytes.client, got, 3000) == 3000 && memcmp(got, pattern + 7, 3000) == 0, "the bytes to the client differ");
  talks(bytes, "the connection with bytes");
  CHECK(receive(half.server, got, 7) == 7 && memcmp(got, "the end", 7) == 0 && receive(half.server, got, 1) == 0, "the half does not end");
  CHECK(send(half.server, "back", 4, MSG_NOSIGNAL) == 4 && receive(half.client, got, 4) == 4, "the half does not go back");
  CHECK(send(half.client, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "the half can be written");
  CHECK(receive(gone.server, got, 10) == 10 && memcmp(got, "last words", 10) == 0 && receive(gone.server, got, 1) == 0, "the one whose other is gone does not end");
  struct pollfd event = {broken.server, POLLIN, 0};
  CHECK(poll(&event, 1, 0) == 1 && (event.revents & POLLERR), "the broken one shows no error: %#x", event.revents);
  CHECK(receive(broken.server, got, 3) == 3 && memcmp(got, "cut", 3) == 0, "the broken one has lost its bytes");
  CHECK(receive(broken.server, got, 1) == -1 && errno == ECONNRESET, "the broken one does not say so");
  CHECK(receive(over.client, got, 1) == 0 && receive(over.server, got, 1) == 0, "the one that is over is not");
  CHECK(option(tuned.client, IPPROTO_TCP, TCP_NODELAY) == 1 && option(tuned.client, SOL_SOCKET, SO_KEEPALIVE) == 1 && option(tuned.client, IPPROTO_TCP, TCP_KEEPIDLE) == 77, "the client's options differ");
  CHECK(option(tuned.server, SOL_SOCKET, SO_RCVBUF) == rcvbuf && (fcntl(tuned.server, F_GETFL) & O_NONBLOCK) && !(fcntl(plain.server, F_GETFL) & O_NONBLOCK), "the server's options differ: %d, not %d", option(tuned.server, SOL_SOCKET, SO_RCVBUF), rcvbuf);
  CHECK(option(plain.client, IPPROTO_TCP, TCP_NODELAY) == 0 && option(server, SOL_SOCKET, SO_REUSEADDR) == reuse, "options are set that were not");
  fcntl(tuned.server, F_SETFL, 0);
  talks(tuned, "the tuned connection");
  if (six.client >= 0) talks(six, "the IPv6 connection");
  if (mixed.client >= 0) talks(mixed, "the mixed connection");
  for (int i = 0; i < 2; i++) {
    struct pair late = {.client = waiting[i], .server = -1};
    struct sockaddr_storage from, own;
    address_of(waiting[i], getsockname, &own);
    socklen_t length = sizeof from;
    memset(&from, 0, sizeof from);
    late.server = accept(server, (struct sockaddr *)&from, &length);
    CHECK(late.server >= 0, "connection %d does not wait", i);
    if (memcmp(&from, &own, length) != 0) late.client = waiting[1 - i]; /* In whichever order. */
    talks(late, "the connection that waited");
  }
  struct pair again = make(server, &address);
  talks(again, "a new connection");
  CHECK(connect(fresh, (struct sockaddr *)&address, sizeof(struct sockaddr_in)) == 0, "the fresh one does not connect");
  CHECK(listen(bound, 3) == 0, "the bound one does not listen");
  CHECK(send(child.client, "hello", 5, MSG_NOSIGNAL) == 5 && receive(child.client, got, 5) == 5 && memcmp(got, "world", 5) == 0, "the child does not answer");
  CHECK(receive(child.client, got, 1) == 0, "the child's end stays open");
  expect_child(pid, "the child");
  return finish();
}

/* A TCP connection through which nothing goes any more: its receiver has no room, and the sender's queue is full. */
#include "fixture.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  begin(argc, argv);
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  MUST(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&address, &length) == 0);
  int client = socket(AF_INET, SOCK_STREAM, 0);
  MUST(connect(client, (struct sockaddr *)&address, length) == 0);
  int server = accept(listener, NULL, NULL);
  MUST(server >= 0);
  static char pattern[1 << 24], got[1 << 24];
  fill(pattern, sizeof pattern, 11);
  size_t sent = 0;
  for (ssize_t step; (step = send(client, pattern + sent, 10007, MSG_DONTWAIT)) > 0;) sent += step;
  MUST(errno == EAGAIN && sent > 0);
  ready();
  await_go();
  shutdown(client, SHUT_WR);
  size_t received = 0;
  for (ssize_t step; (step = recv(server, got + received, 65536, 0)) > 0;) received += step;
  CHECK(received == sent && memcmp(got, pattern, sent) == 0, "%zu bytes came, not %zu", received, sent);
  return finish();
}

/*
 * An epoll that watches an open file by a descriptor number that its process has closed, or uses for something else:
 * the file lives on through a duplicate, and its events still come.
 */
#include "fixture.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

int main(int argc, char **argv) {
  begin(argc, argv);
  int epoll = epoll_create1(0), closed = eventfd(0, 0), reused = eventfd(0, 0);
  struct epoll_event event = {EPOLLIN, {.u64 = 1}}, got = {0};
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, closed, &event) == 0);
  event.data.u64 = 2;
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, reused, &event) == 0);
  int closed_lives = dup(closed), reused_lives = dup(reused);
  close(closed);
  MUST(dup2(open("/dev/null", O_RDONLY), reused) == reused);
  ready();
  await_go();
  uint64_t one = 1;
  MUST(write(closed_lives, &one, 8) == 8);
  CHECK(epoll_wait(epoll, &got, 1, 0) == 1 && got.data.u64 == 1, "the file whose number was closed is not reported (%lu)", got.data.u64);
  MUST(read(closed_lives, &one, 8) == 8 && write(reused_lives, &one, 8) == 8);
  got.data.u64 = 0;
  CHECK(epoll_wait(epoll, &got, 1, 0) == 1 && got.data.u64 == 2, "the file whose number was reused is not reported (%lu)", got.data.u64);
  return finish();
}

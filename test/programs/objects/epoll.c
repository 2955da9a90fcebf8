/* epoll: what is watched, for what, with which data; level, edge, one-shot armed and spent, nested, shared by processes. */
#include "fixture.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

static void watch(int epoll, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {events, {.u64 = data}};
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

/* The events of `data` that are reported at once; 0 for none. */
static uint32_t reported(int epoll, uint64_t data) {
  struct epoll_event events[64];
  int count = epoll_wait(epoll, events, 64, 0);
  uint32_t found = 0;
  for (int i = 0; i < count; i++)
    if (events[i].data.u64 == data) found |= events[i].events;
  return found;
}

/* Edge-triggered events may be reported once more than needed, as the kernel itself allows; they are taken out first. */
static void drain(int epoll) {
  struct epoll_event events[64];
  for (int i = 0; i < 3; i++) epoll_wait(epoll, events, 64, 0);
}

int main(int argc, char **argv) {
  begin(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  int level[2], edge[2], spent[2], armed[2], closing[2];
  MUST(pipe2(level, O_NONBLOCK) == 0 && pipe2(edge, O_NONBLOCK) == 0 && pipe2(spent, O_NONBLOCK) == 0 && pipe2(armed, O_NONBLOCK) == 0 && pipe2(closing, O_NONBLOCK) == 0);
  int outer = epoll_create1(EPOLL_CLOEXEC), inner = epoll_create1(0), event = eventfd(0, EFD_NONBLOCK), unready = eventfd(0, EFD_NONBLOCK);
  MUST(outer != -1 && inner != -1);
  char byte;
  watch(outer, level[0], EPOLLIN, 0xfedcba9876543210);
  watch(outer, level[1], EPOLLOUT, 2);
  MUST(write(level[1], "x", 1) == 1);
  watch(outer, spent[0], EPOLLIN | EPOLLONESHOT, 4);
  MUST(write(spent[1], "x", 1) == 1);
  MUST(reported(outer, 4) == EPOLLIN && reported(outer, 4) == 0);
  watch(outer, armed[0], EPOLLIN | EPOLLONESHOT | EPOLLRDHUP, 5);
  watch(outer, edge[0], EPOLLIN | EPOLLET, 3);
  watch(outer, closing[0], EPOLLIN, 6);
  watch(inner, event, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE, 7);
  watch(outer, inner, EPOLLIN, 8);
  watch(outer, unready, EPOLLIN | EPOLLPRI | EPOLLWAKEUP, 9);
  /* Spent one-shots of pipes: one whose other end is closed, one whose will be, one that is read empty. */
  int shut[2], to_shut[2], full[2];
  MUST(pipe2(shut, O_NONBLOCK) == 0 && pipe2(to_shut, O_NONBLOCK) == 0 && pipe2(full, O_NONBLOCK) == 0);
  int for_spent = epoll_create1(0);
  watch(for_spent, shut[0], EPOLLIN | EPOLLONESHOT, 20);
  watch(for_spent, to_shut[0], EPOLLIN | EPOLLONESHOT | EPOLLET, 21);
  watch(for_spent, full[1], EPOLLOUT | EPOLLONESHOT, 22);
  MUST(write(to_shut[1], "x", 1) == 1 && close(shut[1]) == 0);
  MUST(reported(for_spent, 20) == EPOLLHUP && reported(for_spent, 21) == 0 && reported(for_spent, 22) == 0);
  MUST(read(to_shut[0], &byte, 1) == 1);
  watch(for_spent, event, EPOLLIN, 23);
  /* A descriptor number that is in use again: what is watched is the open file, not the number. */
  int other = eventfd(0, EFD_NONBLOCK), number = dup(other);
  watch(outer, number, EPOLLIN, 10);
  int two_numbers = dup(event);
  watch(outer, two_numbers, EPOLLIN, 11);
  uint64_t one = 1, count;
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    struct epoll_event got;
    close(to_shut[1]);
    close(full[0]);
    /* Blocks: only what the parent does after the cut wakes it. */
    int epoll = epoll_create1(0);
    watch(epoll, closing[0], EPOLLIN, 66);
    int result = epoll_wait(epoll, &got, 1, -1);
    CHECK(result == 1 && got.data.u64 == 66 && (got.events & EPOLLIN), "the child's epoll_wait gives %d, errno %d", result, errno);
    child_ends();
  }

  ready();
  await_go();

  CHECK(fcntl(outer, F_GETFD) == FD_CLOEXEC && fcntl(inner, F_GETFD) == 0, "close-on-exec differs");
  CHECK(reported(outer, 0xfedcba9876543210) == EPOLLIN && reported(outer, 0xfedcba9876543210) == EPOLLIN, "level-triggered input is not reported, or only once");
  CHECK(reported(outer, 2) == EPOLLOUT, "level-triggered output is not reported");
  CHECK(reported(outer, 4) == 0, "a spent one-shot is reported again");
  CHECK(reported(for_spent, 20) == 0, "a spent one-shot on a closed pipe is reported again");
  close(to_shut[1]);
  CHECK(reported(for_spent, 21) == 0, "a spent one-shot is reported when the other end is closed");
  close(full[0]);
  CHECK(reported(for_spent, 22) == 0, "a spent one-shot on a writing end is reported when the other end is closed");
  CHECK(read(to_shut[0], &byte, 1) == 0, "there is a byte in an empty pipe");
  struct epoll_event rearmed = {EPOLLIN | EPOLLONESHOT, {.u64 = 24}};
  CHECK(epoll_ctl(for_spent, EPOLL_CTL_MOD, to_shut[0], &rearmed) == 0 && reported(for_spent, 24) == EPOLLHUP, "a spent one-shot cannot be armed again");
  struct epoll_event again = {EPOLLIN | EPOLLONESHOT, {.u64 = 44}};
  CHECK(epoll_ctl(outer, EPOLL_CTL_MOD, spent[0], &again) == 0 && reported(outer, 44) == EPOLLIN, "a spent one-shot cannot be armed again");
  CHECK(reported(outer, 5) == 0, "an armed one-shot is reported too early");
  MUST(write(armed[1], "x", 1) == 1);
  CHECK(reported(outer, 5) == EPOLLIN && reported(outer, 5) == 0, "an armed one-shot is not reported once");
  drain(outer);
  MUST(write(edge[1], "x", 1) == 1);
  CHECK(reported(outer, 3) == EPOLLIN, "an edge is not reported");
  CHECK(reported(outer, 3) == 0, "an edge is reported twice");
  MUST(read(edge[0], &byte, 1) == 1 && write(edge[1], "x", 1) == 1);
  CHECK(reported(outer, 3) == EPOLLIN, "the next edge is not reported");
  CHECK(reported(outer, 8) == 0 && reported(inner, 7) == 0, "the inner epoll reports too early");
  MUST(write(event, &one, 8) == 8);
  CHECK(reported(outer, 8) == EPOLLIN && reported(outer, 11) == EPOLLIN, "the nested epoll, or the second number, does not report");
  CHECK(reported(inner, 7) == EPOLLIN, "the inner epoll does not report");
  MUST(read(event, &count, 8) == 8);
  CHECK(reported(outer, 9) == 0, "what is not ready is reported");
  MUST(write(unready, &one, 8) == 8);
  CHECK(reported(outer, 9) == EPOLLIN, "what became ready is not reported");
  MUST(write(other, &one, 8) == 8);
  CHECK(reported(outer, 10) == EPOLLIN, "what is watched through a duplicate is not reported");
  struct epoll_event event_again = {EPOLLIN, {.u64 = 1}};
  CHECK(epoll_ctl(outer, EPOLL_CTL_ADD, level[0], &event_again) == -1 && errno == EEXIST, "what is watched can be added");
  CHECK(epoll_ctl(outer, EPOLL_CTL_ADD, other, &event_again) == 0, "what is not watched cannot be added");
  CHECK(epoll_ctl(outer, EPOLL_CTL_DEL, number, NULL) == 0 && epoll_ctl(outer, EPOLL_CTL_DEL, number, NULL) == -1, "what is watched cannot be taken out once");
  MUST(write(closing[1], "x", 1) == 1);
  expect_child(child, "the child");
  CHECK(reported(outer, 6) == EPOLLIN, "input of the closing pipe is not reported");
  close(closing[1]);
  CHECK(reported(outer, 6) & EPOLLHUP, "the pipe's end is not reported");
  return finish();
}

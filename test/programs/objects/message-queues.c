/*
 * POSIX message queues: priorities, order, lengths (none too), a full and an empty one, a removed one, one open several times in different
 * ways, one into which the job only writes, modes; who waits to receive, to send, and for either by epoll.
 */
#include "fixture.h"
#include <mqueue.h>
#include <sys/epoll.h>

static char names[5][64];

static mqd_t make(int which, int flags, int mode, long most, long size) {
  struct mq_attr attributes = {.mq_maxmsg = most, .mq_msgsize = size};
  mqd_t queue = mq_open(names[which], flags | O_CREAT | O_EXCL, mode, &attributes);
  if (queue == -1 && errno == ENOSYS) skip("no POSIX message queues on this machine");
  MUST(queue != -1);
  return queue;
}

static void expect(mqd_t queue, const char *content, unsigned priority) {
  char text[64];
  unsigned of = 99;
  ssize_t length = mq_receive(queue, text, sizeof text, &of);
  CHECK(length == (ssize_t)strlen(content) && memcmp(text, content, strlen(content)) == 0 && of == priority,
        "received \"%.*s\" of priority %u, not \"%s\" of %u", (int)(length < 0 ? 0 : length), text, of, content, priority);
}

static void expect_attributes(mqd_t queue, const char *who, long flags, long most, long size, long there) {
  struct mq_attr is;
  MUST(mq_getattr(queue, &is) == 0);
  CHECK(is.mq_flags == flags && is.mq_maxmsg == most && is.mq_msgsize == size && is.mq_curmsgs == there,
        "%s has flags %lx, room for %ld of %ld bytes, %ld messages", who, is.mq_flags, is.mq_maxmsg, is.mq_msgsize, is.mq_curmsgs);
}

int main(int argc, char **argv) {
  begin(argc, argv);
  FILE *notes = fopen("queues", "a");
  MUST(notes != NULL);
  for (int i = 0; i < 5; i++) {
    snprintf(names[i], sizeof names[i], "/cairn-test-%d-%d", getpid(), i);
    fprintf(notes, "%s\n", names[i] + 1);
  }
  fclose(notes);

  mqd_t mixed = make(0, O_RDWR, 0620, 8, 64);
  mqd_t again = mq_open(names[0], O_RDONLY | O_NONBLOCK), same = dup(again), writes = mq_open(names[0], O_WRONLY);
  MUST(fchmod(mixed, 0620) == 0 && again != -1 && same != -1 && writes != -1);
  MUST(mq_send(mixed, "second", 6, 5) == 0 && mq_send(mixed, "last", 4, 0) == 0 && mq_send(mixed, "third", 5, 5) == 0);
  MUST(mq_send(mixed, "", 0, 4) == 0 && mq_send(mixed, "first", 5, 32767) == 0 && mq_send(mixed, "fourth", 6, 5) == 0);

  mqd_t removed = make(1, O_RDWR | O_NONBLOCK, 0600, 2, 32);
  MUST(mq_unlink(names[1]) == 0 && mq_send(removed, "one", 3, 1) == 0 && mq_send(removed, "two", 3, 1) == 0);

  mqd_t empty = make(2, O_RDWR, 0600, 2, 64), full = make(3, O_RDWR, 0600, 1, 64), outside = make(4, O_WRONLY | O_NONBLOCK, 0600, 3, 16);
  MUST(mq_send(full, "before", 6, 0) == 0);
  pid_t receiver = fork();
  MUST(receiver != -1);
  if (receiver == 0) {
    expect(empty, "at last", 7);
    child_ends();
  }
  /* It would get in while the message is out, were cairn killed in that moment. */
  bool is_quiet = argc > 2;
  pid_t sender = fork();
  MUST(sender != -1);
  if (sender == 0) {
    if (is_quiet) await_go();
    CHECK(mq_send(full, "after", 5, 9) == 0, "the send fails");
    child_ends();
  }
  int watcher = epoll_create1(0);
  struct epoll_event in = {.events = EPOLLIN, .data.u32 = 1}, out = {.events = EPOLLOUT, .data.u32 = 2}, told[3];
  MUST(epoll_ctl(watcher, EPOLL_CTL_ADD, mixed, &in) == 0 && epoll_ctl(watcher, EPOLL_CTL_ADD, full, &out) == 0);
  ready();
  await_go();

  CHECK(epoll_wait(watcher, told, 3, 0) == 1 && told[0].data.u32 == 1, "epoll tells something else");
  struct stat of, named;
  MUST(fstat(mixed, &of) == 0);
  CHECK((of.st_mode & 0777) == 0620, "the mode is %o", of.st_mode & 0777);
  mqd_t by_name = mq_open(names[0], O_RDONLY);
  CHECK(by_name != -1 && fstat(by_name, &named) == 0 && named.st_ino == of.st_ino, "the name leads elsewhere");
  mq_close(by_name);
  CHECK(mq_open(names[1], O_RDONLY) == -1 && errno == ENOENT, "the removed queue has a name");
  expect_attributes(mixed, "the mixed queue", 0, 8, 64, 6);
  expect_attributes(again, "its second description", O_NONBLOCK, 8, 64, 6);
  expect_attributes(removed, "the removed queue", O_NONBLOCK, 2, 32, 2);
  struct mq_attr attributes;
  MUST(mq_getattr(outside, &attributes) == 0);
  CHECK(attributes.mq_flags == O_NONBLOCK && attributes.mq_maxmsg == 3 && attributes.mq_msgsize == 16, "the queue that is only written to differs");
  CHECK(mq_receive(outside, NULL, 16, NULL) == -1 && errno == EBADF && mq_send(again, "", 0, 0) == -1 && errno == EBADF, "access differs");
  expect(mixed, "first", 32767);
  expect(again, "second", 5);
  expect(same, "third", 5);
  expect(mixed, "fourth", 5);
  expect(mixed, "", 4);
  expect(mixed, "last", 0);
  CHECK(mq_receive(again, (char[64]){0}, 64, NULL) == -1 && errno == EAGAIN, "one more message is there");
  MUST(mq_setattr(same, &(struct mq_attr){.mq_flags = 0}, NULL) == 0 && mq_getattr(again, &attributes) == 0);
  CHECK(attributes.mq_flags == 0, "a duplicate is a description of its own");
  CHECK(mq_send(removed, "three", 5, 1) == -1 && errno == EAGAIN, "the removed queue has room");
  expect(removed, "one", 1);
  expect(removed, "two", 1);
  expect(full, "before", 0);
  expect(full, "after", 9);
  CHECK(mq_send(empty, "at last", 7, 7) == 0, "cannot send");
  expect_child(receiver, "the receiver");
  expect_child(sender, "the sender");
  for (int i = 0; i < 5; i++) mq_unlink(names[i]);
  return finish();
}

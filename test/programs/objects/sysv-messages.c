/* System V message queues: messages in their order, by type; limits; threads that wait to receive, and to send into a full queue. */
#include "fixture.h"
#include "ipc.h"

enum { LARGEST = 8000 };

struct message {
  long type;
  char text[LARGEST];
};

static int queue, full;
static _Atomic int started, returned, go;

static void leave(const char *what, long result, long wanted) {
  int error = errno;
  returned++;
  if (!go) CHECK(false, "%s returned %ld before it could (errno %d)", what, result, error);
  CHECK(result == wanted, "%s returned %ld, not %ld (errno %d)", what, result, wanted, error);
}

static void *receives(void *unused) {
  struct message message;
  started++;
  leave("msgrcv", msgrcv(queue, &message, LARGEST, 99, 0), 4);
  CHECK(memcmp(message.text, "late", 4) == 0 && message.type == 99, "another message came");
  return NULL;
}
static void *sends(void *unused) {
  struct message message = {7, "last"};
  started++;
  leave("msgsnd", msgsnd(full, &message, 4, 0), 0);
  return NULL;
}

static void send_to(int id, long type, const char *text, size_t length) {
  struct message message = {.type = type};
  memcpy(message.text, text, length);
  MUST(msgsnd(id, &message, length, IPC_NOWAIT) == 0);
}

static void expect_message(int id, long wanted, long type, const char *text, size_t length) {
  struct message message = {0};
  ssize_t got = msgrcv(id, &message, LARGEST, wanted, IPC_NOWAIT);
  CHECK(got == (ssize_t)length && message.type == type && memcmp(message.text, text, length) == 0, "message \"%.10s\" is %zd bytes of type %ld: \"%.10s\"", text, got, message.type, message.text);
}

int main(int argc, char **argv) {
  begin(argc, argv);
  static char long_text[LARGEST];
  fill(long_text, LARGEST, 1);
  key_t key = 0x46000000 | getpid();
  queue = noted('q', msgget(key, IPC_CREAT | IPC_EXCL | 0620));
  full = noted('q', msgget(IPC_PRIVATE, IPC_CREAT | 0600));
  int empty = noted('q', msgget(IPC_PRIVATE, IPC_CREAT | 0600));
  MUST(queue != -1 && full != -1 && empty != -1);
  send_to(queue, 3, "three", 5);
  send_to(queue, 1, "one", 3);
  pid_t parent = getpid(), child = fork();
  MUST(child != -1);
  if (child == 0) {
    send_to(queue, 3, long_text, LARGEST);
    send_to(queue, 2, "", 0);
    send_to(empty, 1, "x", 1);
    while (!is_go()) nap(2000);
    child_ends();
  }
  struct msqid_ds status;
  do MUST(msgctl(empty, IPC_STAT, &status) == 0);
  while (status.msg_qnum == 0);
  expect_message(empty, 0, 1, "x", 1);
  send_to(full, 5, "first", 5);
  MUST(msgctl(full, IPC_STAT, &status) == 0);
  status.msg_qbytes = 6;
  MUST(msgctl(full, IPC_SET, &status) == 0);
  pthread_t threads[2];
  MUST(pthread_create(&threads[0], NULL, receives, NULL) == 0 && pthread_create(&threads[1], NULL, sends, NULL) == 0);
  while (started < 2) nap(1000);
  nap(20000);
  ready();
  await_go();

  nap(20000);
  CHECK(returned == 0, "%d calls ended by themselves", returned);
  /* Nobody has received yet. Of a queue that survived a crash, a restart with other pids of the system has to take the messages out. */
  CHECK(msgctl(queue, IPC_STAT, &status) == 0 && status.msg_qnum == 4 && status.msg_lspid == child && (status.msg_lrpid == 0 || status.msg_lrpid == parent), "%lu messages, the last by %d, taken out by %d", status.msg_qnum, status.msg_lspid, status.msg_lrpid);
  CHECK((status.msg_perm.mode & 0777) == 0620 && status.msg_perm.uid == getuid() && status.msg_perm.cuid == getuid(), "the queue has another owner");
  CHECK(msgctl(empty, IPC_STAT, &status) == 0 && status.msg_qnum == 0 && status.msg_lspid == child && status.msg_lrpid == parent, "the empty queue was sent to by %d and received from by %d", status.msg_lspid, status.msg_lrpid);
  CHECK(msgctl(full, IPC_STAT, &status) == 0 && status.msg_qbytes == 6 && status.msg_qnum == 1, "the full queue takes %lu bytes", status.msg_qbytes);
  CHECK(msgget(key, 0) == queue, "the key leads elsewhere");
  expect_child(child, "the child");
  expect_message(queue, -2, 1, "one", 3);
  expect_message(queue, 3, 3, "three", 5);
  expect_message(queue, 0, 3, long_text, LARGEST);
  expect_message(queue, 0, 2, "", 0);
  go = 1;
  send_to(queue, 99, "late", 4);
  expect_message(full, 0, 5, "first", 5);
  for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0, "thread %d does not end", i);
  expect_message(full, 0, 7, "last", 4);
  CHECK(msgctl(queue, IPC_RMID, NULL) == 0 && msgctl(full, IPC_RMID, NULL) == 0 && msgctl(empty, IPC_RMID, NULL) == 0, "a queue can't be removed");
  return finish();
}

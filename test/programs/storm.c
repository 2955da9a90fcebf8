/*
 * Processes and threads that come and go as fast as they can, within bounds: children that exit, children that exec,
 * orphans, threads that end at once. Every child's status is checked; "alive N" tells the rounds.
 */
#include "fixture.h"

enum { WORKERS = 4 };

struct shared {
  _Atomic long rounds[WORKERS];
  _Atomic int harmed, orphans;
};

static struct shared *all;

static void *short_lived(void *argument) { return argument; }

static void round_of(int worker, long round, char *self) {
  int wanted = (round * 7 + worker) % 200;
  char text[16];
  pid_t pid = fork();
  if (pid == -1) return;
  if (pid == 0) {
    if (round % 3 == 0) _exit(wanted);
    if (round % 3 == 1) {
      snprintf(text, sizeof text, "%d", wanted);
      execl(self, self, "exit", text, (char *)NULL);
      _exit(250);
    }
    /* An orphan, which lives a little longer than its parent. */
    all->orphans++;
    pid_t orphan = fork();
    if (orphan == 0) {
      nap(2000);
      all->orphans--;
      _exit(0);
    }
    if (orphan == -1) all->orphans--;
    _exit(wanted);
  }
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, short_lived, (void *)(round + i));
  for (int i = 0; i < 3; i++) {
    void *result = NULL;
    pthread_join(threads[i], &result);
    if (result != (void *)(round + i)) {
      all->harmed = 1;
      say("differs: a thread of worker %d gave %p\n", worker, result);
    }
  }
  int status = -1;
  pid_t got = waitpid(pid, &status, 0);
  if (got != pid || !WIFEXITED(status) || WEXITSTATUS(status) != wanted) {
    all->harmed = 1;
    say("differs: worker %d: waitpid %d, not %d; status %#x, not %d (errno %d)\n", worker, got, pid, status, wanted, errno);
  }
}

int main(int argc, char **argv) {
  if (argc > 2 && strcmp(argv[1], "exit") == 0) _exit(atoi(argv[2]));
  begin(argc, argv);
  static char self[4096];
  MUST(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(all != MAP_FAILED);
  pid_t workers[WORKERS];
  for (int i = 0; i < WORKERS; i++) {
    workers[i] = fork();
    MUST(workers[i] != -1);
    if (workers[i] == 0) {
      while (!is_go()) {
        round_of(i, all->rounds[i], self);
        all->rounds[i]++;
      }
      _exit(0);
    }
  }
  ready();
  long last[WORKERS] = {0};
  for (long alive = 0; !is_go();) {
    nap(2000);
    bool everybody = true;
    for (int i = 0; i < WORKERS; i++) everybody &= all->rounds[i] > last[i] + 5;
    if (!everybody) continue;
    for (int i = 0; i < WORKERS; i++) last[i] = all->rounds[i];
    say("alive %ld\n", alive++);
  }
  for (int i = 0; i < WORKERS; i++) expect_child(workers[i], "a worker");
  for (int i = 0; i < 5000 && all->orphans > 0; i++) nap(1000);
  CHECK(all->orphans == 0, "%d orphans are missing", all->orphans);
  CHECK(!all->harmed, "something was harmed");
  return finish();
}

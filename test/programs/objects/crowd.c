/* A crowd of processes in three generations, each with pipes to its parent: tree, pids and pipes by the dozen. */
#include "fixture.h"

static const int wide[] = {4, 4, 3, 0};
static _Atomic int *started;

static void generation(int level, int token) {
  int down[4], up[4];
  pid_t pids[4], self = getpid(), parent = getppid();
  for (int i = 0; i < wide[level]; i++) {
    int to[2], from[2], mine = token * 10 + i;
    MUST(pipe(to) == 0 && pipe(from) == 0);
    pids[i] = fork();
    MUST(pids[i] != -1);
    if (pids[i] == 0) {
      close(to[1]);
      close(from[0]);
      for (int j = 0; j < i; j++) close(down[j]), close(up[j]);
      generation(level + 1, mine);
      int word = -1;
      CHECK(read_fully(to[0], &word, sizeof word) == 0 && word == mine, "the word is %d, not %d", word, mine);
      CHECK(write(from[1], &mine, sizeof mine) == sizeof mine, "cannot answer");
      child_ends();
    }
    close(to[0]);
    close(from[1]);
    down[i] = to[1];
    up[i] = from[0];
  }
  (*started)++;
  if (level == 0) {
    while (*started < 1 + 4 + 16 + 48) nap(1000);
    ready();
  }
  while (!is_go()) nap(20000);
  CHECK(getpid() == self, "pid %d, not %d", getpid(), self);
  if (level > 0) CHECK(getppid() == parent, "parent %d, not %d", getppid(), parent);
  for (int i = 0; i < wide[level]; i++) {
    int word = token * 10 + i, answer = -1;
    CHECK(write(down[i], &word, sizeof word) == sizeof word, "cannot send a word");
    CHECK(read_fully(up[i], &answer, sizeof answer) == 0 && answer == word, "the answer is %d, not %d", answer, word);
    expect_child(pids[i], "a child");
  }
}

int main(int argc, char **argv) {
  begin(argc, argv);
  started = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(started != MAP_FAILED);
  generation(0, 1);
  return finish();
}

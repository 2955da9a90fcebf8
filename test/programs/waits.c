/* Makes children that only wait, one after the other, and tells of the end of each as wait(2) has it. Ends when the go-file is there. */
#include "fixture.h"

static void *idle(void *argument) {
  for (;;) pause();
}

static pid_t make_child(void) {
  pid_t child = fork();
  if (child != 0) return child;
  pthread_t thread;
  for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, idle, NULL);
  for (;;) pause();
}

int main(int argc, char **argv) {
  begin(argc, argv);
  for (int n = 1;; n++) {
    pid_t child = make_child();
    printf("child %d\n", child);
    fflush(stdout);
    int status;
    MUST(waitpid(child, &status, 0) == child);
    printf("gone %d by %d\n", child, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    fflush(stdout);
    if (access(argv[1], F_OK) == 0) return 0;
  }
}

/*
 * Talks to bc as a person would: on a pseudo-terminal of which it holds the other end, one question after the other.
 * The answers go to a log. Arguments: the program to talk to and its arguments.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { QUESTIONS = 150 };

static char heard[1 << 20];
static size_t length;

/* Reads on until the digits of an answer stand behind its mark and a new line behind them. */
static char *listen_for(int terminal, const char *mark) {
  for (;;) {
    heard[length] = 0;
    for (char *at = heard; (at = strstr(at, mark)) != NULL; at++) {
      char *answer = at + strlen(mark), *end = strpbrk(answer, "\r\n");
      if (end != NULL && answer[0] >= '0' && answer[0] <= '9') {
        *end = 0;
        return answer;
      }
    }
    struct pollfd poller = {terminal, POLLIN, 0};
    int result = poll(&poller, 1, 60000);
    if (result != 1) {
      printf("poll gave %d: %s\n", result, strerror(errno));
      exit(1);
    }
    ssize_t got = read(terminal, heard + length, sizeof heard - length - 1);
    if (got <= 0) {
      printf("read gave %zd: %s\n", got, strerror(errno));
      exit(1);
    }
    length += got;
  }
}

int main(int argc, char **argv) {
  int terminal;
  struct winsize size = {30, 100, 0, 0};
  setenv("TERM", "dumb", 1);
  setenv("BC_LINE_LENGTH", "0", 1);
  pid_t pid = forkpty(&terminal, NULL, NULL, &size);
  if (pid == 0) {
    execvp(argv[1], argv + 1);
    _exit(127);
  }
  FILE *log = fopen("log.txt", "w");
  for (int i = 1; i <= QUESTIONS; i++) {
    char question[200], mark[40];
    int written = snprintf(question, sizeof question, "x = (x * 31 + %d^%d) %% 10^40; print \"answer %d: \", x, \"\\n\"\n", i + 2, 300 + i, i);
    snprintf(mark, sizeof mark, "answer %d: ", i);
    length = 0;
    if (write(terminal, question, written) != written) return 1;
    fprintf(log, "%d %s\n", i, listen_for(terminal, mark));
    fflush(log);
    usleep(12000);
  }
  if (write(terminal, "quit\n", 5) != 5) return 1;
  int status = 0;
  while (read(terminal, heard, sizeof heard) > 0) continue;
  waitpid(pid, &status, 0);
  printf("bc ended with %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  return 12;
}

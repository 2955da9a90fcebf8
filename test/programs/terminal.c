/*
 * Runs a command on a terminal of its own and plays the person before it. The steps come on standard input, one a line:
 *
 *   expect TEXT     waits until TEXT has come, after what was expected before
 *   type TEXT       types; \n, \r, \\ and \xHH are understood
 *   size ROWS COLS  changes the window
 *   do COMMAND      runs a shell command beside, which must succeed
 *   hang-up         closes the terminal
 *   end STATUS      waits for the command's end, which must have this status, as a shell reports it
 *
 * What was seen goes to standard output; a step that fails ends the program with status 1 and is told on standard error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

static char seen[1 << 22];
static size_t length, expected;
static int terminal = -1;
static pid_t child;

static void fail(const char *step, const char *why) {
  fprintf(stderr, "the step \"%s\" failed: %s\nseen since the last expected text:\n%s\n---\n", step, why, seen + expected);
  if (child > 0) kill(child, SIGKILL);
  exit(1);
}

/* Reads what is there; false when the terminal has nobody on its other side. */
static bool look(int patience_ms) {
  struct pollfd poller = {terminal, POLLIN, 0};
  if (poll(&poller, 1, patience_ms) <= 0) return true;
  ssize_t got = read(terminal, seen + length, sizeof seen - length - 1);
  if (got <= 0) return false;
  if (write(1, seen + length, got) != got) exit(1);
  length += got;
  for (size_t i = length - got; i < length; i++)
    if (seen[i] == 0) seen[i] = ' ';
  seen[length] = 0;
  return true;
}

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void expect(const char *step, const char *text) {
  long end = now_ms() + PATIENCE_MS;
  for (;;) {
    char *at = strstr(seen + expected, text);
    if (at != NULL) {
      expected = at - seen + strlen(text);
      return;
    }
    if (!look(100) && strstr(seen + expected, text) == NULL) fail(step, "the terminal was closed");
    if (now_ms() > end) fail(step, "it does not come");
  }
}

static void type(const char *step, const char *text) {
  char bytes[4096];
  int count = 0;
  for (const char *at = text; *at != 0; at++) {
    if (*at != '\\') bytes[count++] = *at;
    else if (at[1] == 'n') bytes[count++] = '\n', at++;
    else if (at[1] == 'r') bytes[count++] = '\r', at++;
    else if (at[1] == 'x') bytes[count++] = strtol((char[]){at[2], at[3], 0}, NULL, 16), at += 3;
    else bytes[count++] = *++at;
  }
  if (write(terminal, bytes, count) != count) fail(step, strerror(errno));
}

static void end(const char *step, int wanted) {
  int status = 0;
  long limit = now_ms() + PATIENCE_MS;
  pid_t got;
  while ((got = waitpid(child, &status, WNOHANG)) == 0) {
    if (terminal == -1 || !look(20)) usleep(5000);
    if (now_ms() > limit) fail(step, "it does not end");
  }
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (got != child || code != wanted) {
    char why[64];
    snprintf(why, sizeof why, "it ended with %d", code);
    child = 0;
    fail(step, why);
  }
  child = 0;
}

int main(int argc, char **argv) {
  struct winsize size = {24, 80, 0, 0};
  signal(SIGPIPE, SIG_IGN);
  child = forkpty(&terminal, NULL, NULL, &size);
  if (child == -1) {
    perror("forkpty");
    return 77;
  }
  if (child == 0) {
    signal(SIGPIPE, SIG_DFL);
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    _exit(127);
  }
  /* The command must not hold it: what it starts beside would else keep the terminal open. */
  fcntl(terminal, F_SETFD, FD_CLOEXEC);
  char step[4096];
  while (fgets(step, sizeof step, stdin) != NULL) {
    step[strcspn(step, "\n")] = 0;
    if (strncmp(step, "expect ", 7) == 0) expect(step, step + 7);
    else if (strncmp(step, "type ", 5) == 0) type(step, step + 5);
    else if (sscanf(step, "size %hu %hu", &size.ws_row, &size.ws_col) == 2) ioctl(terminal, TIOCSWINSZ, &size);
    else if (strncmp(step, "do ", 3) == 0) {
      if (system(step + 3) != 0) fail(step, "the command beside failed");
    } else if (strcmp(step, "hang-up") == 0) {
      close(terminal);
      terminal = -1;
    } else if (strncmp(step, "end ", 4) == 0) end(step, atoi(step + 4));
    else fail(step, "there is no such step");
  }
  if (child > 0) kill(child, SIGKILL);
  return 0;
}

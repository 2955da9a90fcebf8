/*
 * What becomes of a process whose tracer is killed while it drives it: by single steps, by a breakpoint,
 * by system call stops without and with PTRACE_O_TRACESYSGOOD.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile unsigned long turns;

__attribute__((noinline)) static void turn(void) { turns++; }

static void trace(pid_t pid, const char *how) {
  int status;
  ptrace(PTRACE_SEIZE, pid, 0, strcmp(how, "marked stop") == 0 ? PTRACE_O_TRACESYSGOOD : 0);
  ptrace(PTRACE_INTERRUPT, pid, 0, 0);
  waitpid(pid, &status, __WALL);
  if (strcmp(how, "breakpoint") == 0) {
    long word = ptrace(PTRACE_PEEKTEXT, pid, turn, 0);
    ptrace(PTRACE_POKETEXT, pid, turn, (word & ~0xffL) | 0xcc);
    ptrace(PTRACE_CONT, pid, 0, 0);
  }
  // Steps until it is killed, wherever that meets it.
  for (;;) {
    if (strcmp(how, "single step") == 0) ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
    if (strstr(how, "stop")) ptrace(PTRACE_SYSCALL, pid, 0, 0);
    waitpid(pid, &status, __WALL);
  }
}

int main(void) {
  const char *ways[] = {"single step", "breakpoint", "plain stop", "marked stop"};
  for (int way = 0; way < 4; way++) {
    int died = 0, runs = 200, status;
    for (int run = 0; run < runs; run++) {
      pid_t job = fork();
      if (job == 0)
        for (;;) turn(), getppid();
      pid_t tracer = fork();
      if (tracer == 0) trace(job, ways[way]);
      usleep(3000 + run * 37);
      kill(tracer, SIGKILL);
      waitpid(tracer, &status, 0);
      usleep(5000);
      if (waitpid(job, &status, WNOHANG) == job) died += WIFSIGNALED(status) && WTERMSIG(status) == SIGTRAP;
      else kill(job, SIGKILL), waitpid(job, &status, 0);
    }
    printf("%-12s %d of %d jobs died of SIGTRAP when the tracer was killed\n", ways[way], died, runs);
  }
  return 0;
}

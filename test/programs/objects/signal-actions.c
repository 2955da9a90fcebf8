/* What is done on each signal, with flags, mask and restorer, and the masks of threads: all as they were set. */
#include "fixture.h"
#include <ucontext.h>

/* The kernel's own struct: the C library's would hide the restorer and the flags that it adds. */
struct kernel_action {
  uint64_t handler, flags, restorer, mask;
};

static struct kernel_action before[65], after;
static volatile sig_atomic_t last, count;

static void on_signal(int signal) { last = signal, count++; }
static void on_info(int signal, siginfo_t *info, void *context) {
  sigset_t now;
  last = signal;
  count++;
  sigprocmask(SIG_BLOCK, NULL, &now);
  if (signal == SIGRTMIN + 4) count += sigismember(&now, SIGRTMIN + 9) ? 100 : 0;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  for (int signal = 1; signal <= 64; signal++) {
    if (signal == SIGKILL || signal == SIGSTOP || signal == 32 || signal == 33) continue;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    switch (signal % 4) {
      case 0:
        action.sa_handler = SIG_IGN;
        break;
      case 1:
        action.sa_handler = on_signal;
        action.sa_flags = SA_RESTART | SA_NODEFER;
        break;
      case 2:
        action.sa_sigaction = on_info;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigfillset(&action.sa_mask);
        break;
      default:
        action.sa_handler = signal > 35 ? on_signal : SIG_DFL;
        action.sa_flags = SA_RESETHAND | (signal == SIGCHLD ? SA_NOCLDSTOP : 0);
    }
    MUST(sigaction(signal, &action, NULL) == 0);
  }
  struct sigaction masked = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
  sigemptyset(&masked.sa_mask);
  sigaddset(&masked.sa_mask, SIGRTMIN + 9);
  MUST(sigaction(SIGRTMIN + 4, &masked, NULL) == 0);
  struct sigaction no_wait = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT | SA_NOCLDSTOP};
  MUST(sigaction(SIGCHLD, &no_wait, NULL) == 0);
  for (int signal = 1; signal <= 64; signal++) MUST(syscall(SYS_rt_sigaction, signal, NULL, &before[signal], 8) == 0);
  sigset_t mask, seen;
  sigemptyset(&mask);
  sigaddset(&mask, SIGHUP);
  sigaddset(&mask, SIGRTMAX);
  sigaddset(&mask, SIGWINCH);
  MUST(sigprocmask(SIG_SETMASK, &mask, NULL) == 0);

  ready();
  await_go();

  for (int signal = 1; signal <= 64; signal++) {
    CHECK(syscall(SYS_rt_sigaction, signal, NULL, &after, 8) == 0, "cannot look at signal %d", signal);
    CHECK(memcmp(&before[signal], &after, sizeof after) == 0, "signal %d: handler %#lx flags %#lx restorer %#lx mask %#lx, not %#lx %#lx %#lx %#lx", signal,
          after.handler, after.flags, after.restorer, after.mask, before[signal].handler, before[signal].flags, before[signal].restorer, before[signal].mask);
  }
  CHECK(sigprocmask(SIG_SETMASK, NULL, &seen) == 0 && memcmp(&seen, &mask, 8) == 0, "the mask is %#lx, not %#lx", *(long *)&seen, *(long *)&mask);
  raise(SIGUSR1 % 4 == 2 ? SIGUSR1 : 37);
  CHECK(last != 0 && count == 1, "the handler ran %d times", count);
  count = 0;
  raise(SIGRTMIN + 4);
  CHECK(last == SIGRTMIN + 4 && count == 101, "the handler's mask does not hold: %d", count);
  count = 0;
  /* A handler that resets itself does so once: a second signal would take the default. */
  int resetting = 39;
  raise(resetting);
  CHECK(count == 1 && syscall(SYS_rt_sigaction, resetting, NULL, &after, 8) == 0 && after.handler == 0, "SA_RESETHAND does not reset");
  /* SIGCHLD with SA_NOCLDWAIT: no zombie. */
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  int gone = waitpid(pid, NULL, 0);
  CHECK(gone == -1 && errno == ECHILD, "a child became a zombie against SA_NOCLDWAIT");
  return finish();
}

/* The cut falls into signal handlers: nested, on an alternate stack, with masks in force. All return to where they came from. */
#include "fixture.h"

static volatile sig_atomic_t depth, returned[3];
static volatile int on_stack_inside;
static char *alternate;
static sigset_t seen[3];

static void innermost(int signal, siginfo_t *info, void *context) {
  stack_t stack;
  depth = 3;
  ready();
  await_go();
  sigaltstack(NULL, &stack);
  on_stack_inside = (stack.ss_flags & SS_ONSTACK) != 0;
  sigprocmask(SIG_BLOCK, NULL, &seen[2]);
  CHECK(info->si_value.sival_int == 99, "the innermost handler's value is %d", info->si_value.sival_int);
  returned[2] = 1;
}

static void middle(int signal, siginfo_t *info, void *context) {
  union sigval value = {.sival_int = 99};
  depth = 2;
  sigqueue(getpid(), SIGRTMIN + 1, value);
  sigprocmask(SIG_BLOCK, NULL, &seen[1]);
  returned[1] = 1;
}

static void outer(int signal) {
  depth = 1;
  raise(SIGUSR2);
  sigprocmask(SIG_BLOCK, NULL, &seen[0]);
  returned[0] = 1;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  alternate = mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack_t stack = {.ss_sp = alternate, .ss_size = 1 << 18}, after;
  MUST(sigaltstack(&stack, NULL) == 0);
  struct sigaction action = {.sa_handler = outer};
  sigaddset(&action.sa_mask, SIGHUP);
  MUST(sigaction(SIGUSR1, &action, NULL) == 0);
  struct sigaction second = {.sa_sigaction = middle, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaddset(&second.sa_mask, SIGTERM);
  MUST(sigaction(SIGUSR2, &second, NULL) == 0);
  struct sigaction third = {.sa_sigaction = innermost, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaddset(&third.sa_mask, SIGQUIT);
  MUST(sigaction(SIGRTMIN + 1, &third, NULL) == 0);

  /* Values that live in vector registers across the whole of it. */
  volatile double sum = 0;
  double partial[8];
  for (int i = 0; i < 8; i++) partial[i] = i * 1.25;
  raise(SIGUSR1);
  for (int i = 0; i < 8; i++) sum += partial[i];
  CHECK(sum == 35, "the sum is %f", sum);

  CHECK(depth == 3 && returned[0] && returned[1] && returned[2], "not every handler returned");
  CHECK(on_stack_inside, "the innermost handler was not on the alternate stack");
  for (int i = 0; i < 3; i++) {
    CHECK(sigismember(&seen[i], SIGHUP) == 1 && sigismember(&seen[i], SIGUSR1) == 1, "level %d: the outer handler's mask is not in force", i);
    CHECK(sigismember(&seen[i], SIGTERM) == (i >= 1), "level %d: the middle handler's mask", i);
    CHECK(sigismember(&seen[i], SIGQUIT) == (i >= 2), "level %d: the innermost handler's mask", i);
  }
  sigset_t now;
  sigprocmask(SIG_BLOCK, NULL, &now);
  CHECK(*(long *)&now == 0, "the mask afterwards is %#lx", *(long *)&now);
  sigaltstack(NULL, &after);
  CHECK(after.ss_sp == alternate && after.ss_flags == 0, "the alternate stack afterwards: %p, flags %#x", after.ss_sp, after.ss_flags);
  return finish();
}

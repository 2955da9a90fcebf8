/*
 * What the kernel keeps for one thread: fs and gs base, rseq, the robust list, the word that is cleared at its end, the
 * alternate stack, scheduling, affinity, nice, timer slack, I/O priority.
 */
#include "fixture.h"
#include <sys/resource.h>
#include <sys/syscall.h>
#include <linux/futex.h>
#include <linux/rseq.h>

#if defined(__x86_64__)
#include <asm/prctl.h>
#endif

struct scheduling {
  int policy, priority, nice, io_priority;
  long slack;
  cpu_set_t affinity;
};

enum { THREADS = 4 };
static _Atomic int started, go;
static pthread_mutex_t robust;
static _Atomic int handled_on_alternate;
static int first_cpu = -1, last_cpu = -1;

static struct scheduling look(void) {
  struct scheduling seen;
  struct sched_param parameters;
  memset(&seen, 0, sizeof seen);
  seen.policy = sched_getscheduler(0);
  sched_getparam(0, &parameters);
  seen.priority = parameters.sched_priority;
  errno = 0;
  seen.nice = getpriority(PRIO_PROCESS, 0);
  seen.io_priority = syscall(SYS_ioprio_get, 1, 0);
  seen.slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
  sched_getaffinity(0, sizeof seen.affinity, &seen.affinity);
  return seen;
}

static void on_alternate(int signal, siginfo_t *info, void *context) {
  char here;
  stack_t stack;
  sigaltstack(NULL, &stack);
  if ((stack.ss_flags & SS_ONSTACK) && &here >= (char *)stack.ss_sp && &here < (char *)stack.ss_sp + stack.ss_size) handled_on_alternate++;
}

static void *thread(void *argument) {
  int index = (int)(intptr_t)argument;
  struct sched_param none = {0};
  if (index == 1) MUST(sched_setscheduler(0, SCHED_BATCH, &none) == 0);
  if (index == 2) MUST(sched_setscheduler(0, SCHED_IDLE, &none) == 0);
  if (index < 2) MUST(setpriority(PRIO_PROCESS, gettid(), 3 + index * 4) == 0);
  if (index == 3) {
    struct sched_param real = {.sched_priority = 7};
    /* Needs root; an ordinary user's thread stays as it is. */
    (void)!sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &real);
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(index % 2 ? first_cpu : last_cpu, &one);
  MUST(sched_setaffinity(0, sizeof one, &one) == 0);
  MUST(prctl(PR_SET_TIMERSLACK, 70000 + index, 0, 0, 0) == 0);
  MUST(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | index) == 0);
  stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536}, seen_stack;
  MUST(sigaltstack(&stack, NULL) == 0);
  void *robust_head = NULL;
  size_t robust_length = 0;
  MUST(syscall(SYS_get_robust_list, 0, &robust_head, &robust_length) == 0);
#if defined(__x86_64__)
  unsigned long fs = 0, gs = 0, fs_after = 0, gs_after = 0;
  MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, (unsigned long)stack.ss_sp + 8 * index) == 0);
  MUST(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs) == 0 && syscall(SYS_arch_prctl, ARCH_GET_GS, &gs) == 0);
#endif
  struct scheduling before = look();
  if (index == 3) pthread_mutex_lock(&robust);
  started++;
  while (!go) nap(2000);

  struct scheduling after = look();
  CHECK(before.policy == after.policy, "thread %d: policy %d, not %d", index, after.policy, before.policy);
  CHECK(before.priority == after.priority, "thread %d: priority %d, not %d", index, after.priority, before.priority);
  CHECK(before.nice == after.nice, "thread %d: nice %d, not %d", index, after.nice, before.nice);
  CHECK(before.io_priority == after.io_priority, "thread %d: I/O priority %#x, not %#x", index, after.io_priority, before.io_priority);
  CHECK(before.slack == after.slack, "thread %d: timer slack %ld, not %ld", index, after.slack, before.slack);
  CHECK(CPU_EQUAL(&before.affinity, &after.affinity), "thread %d: another affinity", index);
  void *robust_after = NULL;
  CHECK(syscall(SYS_get_robust_list, 0, &robust_after, &robust_length) == 0 && robust_after == robust_head, "thread %d: robust list %p, not %p", index, robust_after, robust_head);
  CHECK(sigaltstack(NULL, &seen_stack) == 0 && seen_stack.ss_sp == stack.ss_sp && seen_stack.ss_size == stack.ss_size && seen_stack.ss_flags == 0, "thread %d: alternate stack %p of %zu, flags %#x", index, seen_stack.ss_sp, seen_stack.ss_size, seen_stack.ss_flags);
  pthread_kill(pthread_self(), SIGUSR1);
#if defined(__x86_64__)
  CHECK(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_after) == 0 && fs == fs_after, "thread %d: fs base %#lx, not %#lx", index, fs_after, fs);
  CHECK(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs_after) == 0 && gs == gs_after, "thread %d: gs base %#lx, not %#lx", index, gs_after, gs);
  unsigned long probe;
  *(unsigned long *)gs = 0x1234 + index;
  __asm__ volatile("mov %%gs:0, %0" : "=r"(probe));
  CHECK(probe == 0x1234ul + index, "thread %d: gs leads elsewhere", index);
#endif
#ifdef RSEQ_SIG
  if (__rseq_size > 0) {
    struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
    /* The affinity leaves one processor: a registered area must say that one. */
    CHECK(area->cpu_id == (unsigned)(index % 2 ? first_cpu : last_cpu), "thread %d: rseq says processor %u", index, area->cpu_id);
    CHECK(syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) == 0, "thread %d: rseq is not registered as it was", index);
  }
#endif
  return (void *)(intptr_t)1;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  cpu_set_t all;
  MUST(sched_getaffinity(0, sizeof all, &all) == 0);
  for (int i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET(i, &all)) first_cpu = first_cpu == -1 ? i : first_cpu, last_cpu = i;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&robust, &attributes);
  struct sigaction action = {.sa_sigaction = on_alternate, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGUSR1, &action, NULL);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) MUST(pthread_create(&threads[i], NULL, thread, (void *)(intptr_t)i) == 0);
  while (started < THREADS) nap(1000);

  ready();
  await_go();

  CHECK(pthread_mutex_trylock(&robust) == EBUSY, "the robust mutex is free");
  go = 1;
  for (int i = 0; i < THREADS; i++) {
    void *result = NULL;
    /* A join waits for the word that the kernel clears when the thread ends. */
    CHECK(pthread_join(threads[i], &result) == 0 && result == (void *)1, "thread %d ends with %p", i, result);
  }
  CHECK(handled_on_alternate == THREADS, "%d handlers ran on their alternate stack", handled_on_alternate);
  int got = pthread_mutex_lock(&robust);
  CHECK(got == EOWNERDEAD, "the robust mutex of a thread that ended gives %d", got);
  return finish();
}

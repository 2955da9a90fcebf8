/*
 * Seccomp filters: of a process and all its threads (TSYNC), of one thread on top, inherited by a child, several in their order, with the flag
 * for the log, without no_new_privs, and some that forbid nearly all: also restart_syscall, which the kernel itself makes after a stop.
 */
#include "fixture.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/resource.h>

enum { PAGE = 4096 };

#define NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ON(call, action) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), BPF_STMT(BPF_RET | BPF_K, action)
#define ELSE(action) BPF_STMT(BPF_RET | BPF_K, action)
#define PUT_ON(flags, ...)                                                              \
  do {                                                                                  \
    struct sock_filter code[] = {NUMBER, __VA_ARGS__};                                  \
    struct sock_fprog program = {sizeof code / sizeof *code, code};                     \
    MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0);          \
  } while (0)
#define ANSWERS(call, number) (errno = 0, syscall(call, -1, -1, -1, -1, -1, -1) == -1 && errno == (number))

/* Set by the parent, when it has seen the go-file and looked at its children. */
static _Atomic int *may_go;

static void await_parent(void) {
  while (!*may_go) nap(2000);
}

static uint64_t filters_of(const char *who) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/status", who);
  return proc_number(path, "Seccomp_filters:", 10);
}

static _Atomic int started, thread_go;

static void *be_thread(void *own) {
  if (own != NULL) PUT_ON(0, ON(getsid, SECCOMP_RET_ERRNO | 71), ELSE(SECCOMP_RET_ALLOW));
  started++;
  while (!thread_go) nap(2000);
  CHECK(filters_of("thread-self") == (own != NULL ? 3 : 2), "thread %d has %d filters", own != NULL, (int)filters_of("thread-self"));
  CHECK(ANSWERS(SYS_getpriority, 72), "a thread's getpriority gives %d", errno);
  if (own != NULL) CHECK(ANSWERS(SYS_getsid, 71), "the thread's own filter gives %d", errno);
  else CHECK(syscall(SYS_getsid, 0) >= 0, "a thread has another's filter: %d", errno);
  return NULL;
}

/* All threads under two filters, one under a third; then one for all on top. */
static void threads_child(void) {
  pthread_t threads[2];
  PUT_ON(0, ON(getpriority, SECCOMP_RET_ERRNO | 70), ELSE(SECCOMP_RET_ALLOW));
  MUST(pthread_create(&threads[0], NULL, be_thread, NULL) == 0);
  PUT_ON(SECCOMP_FILTER_FLAG_TSYNC, ON(getpriority, SECCOMP_RET_ERRNO | 72), ELSE(SECCOMP_RET_ALLOW));
  MUST(pthread_create(&threads[1], NULL, be_thread, threads) == 0);
  while (started < 2) nap(1000);
  ready();
  await_parent();
  CHECK(filters_of("self") == 2, "the first thread has %d filters", (int)filters_of("self"));
  CHECK(ANSWERS(SYS_getpriority, 72), "of two answers the newer filter's counts: %d", errno);
  thread_go = 1;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

static void *wait_for_go(void *unused) {
  while (!thread_go) nap(2000);
  CHECK(ANSWERS(SYS_getsid, 73), "the filter that was put on all later gives %d", errno);
  return unused;
}

/* A filter for all that comes after the checkpoint: possible only where the threads share those that they have. */
static void later_child(void) {
  pthread_t thread;
  PUT_ON(0, ON(getpriority, SECCOMP_RET_ERRNO | 70), ELSE(SECCOMP_RET_ALLOW));
  MUST(pthread_create(&thread, NULL, wait_for_go, NULL) == 0);
  ready();
  await_parent();
  PUT_ON(SECCOMP_FILTER_FLAG_TSYNC, ON(getsid, SECCOMP_RET_ERRNO | 73), ELSE(SECCOMP_RET_ALLOW));
  thread_go = 1;
  pthread_join(thread, NULL);
}

/* Sleeps, and may be told that by no call but the one that it made: whoever stops it and lets it go on by no more than that ends it. */
static void sleeper_child(void) {
  PUT_ON(0, ON(restart_syscall, SECCOMP_RET_KILL_PROCESS), ELSE(SECCOMP_RET_ALLOW));
  ready();
  while (!*may_go) nap(300000);
}

/* One that may not be copied. */
static void single_child(void) {
  PUT_ON(0, ON(clone, SECCOMP_RET_KILL_PROCESS), ON(wait4, SECCOMP_RET_TRAP), ON(exit, SECCOMP_RET_KILL_PROCESS), ON(getpid, SECCOMP_RET_KILL_PROCESS),
         ELSE(SECCOMP_RET_ALLOW));
  ready();
  await_parent();
}

/* What nearly all sandboxes do: a list of what is allowed, an error for the rest. */
static void strict_child(void) {
  PUT_ON(SECCOMP_FILTER_FLAG_LOG, ON(read, SECCOMP_RET_ALLOW), ON(write, SECCOMP_RET_ALLOW), ON(access, SECCOMP_RET_ALLOW),
         ON(clock_nanosleep, SECCOMP_RET_ALLOW), ON(munmap, SECCOMP_RET_ALLOW), ON(rt_sigprocmask, SECCOMP_RET_ALLOW),
         ON(exit_group, SECCOMP_RET_ALLOW), ELSE(SECCOMP_RET_ERRNO | 74));
  ready();
  await_parent();
  CHECK(ANSWERS(SYS_prctl, 74) && ANSWERS(SYS_openat, 74), "what is forbidden gives %d", errno);
}

/* Put on as root, then no longer root, and never without new privileges. */
static void unprivileged_child(void) {
  PUT_ON(0, ON(getpriority, SECCOMP_RET_ERRNO | 75), ELSE(SECCOMP_RET_ALLOW));
  MUST(setresgid(1001, 1001, 1001) == 0 && setresuid(1001, 1001, 1001) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
  ready();
  await_parent();
  CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 && geteuid() == 1001, "the process has other privileges");
  CHECK(ANSWERS(SYS_getpriority, 75), "its filter gives %d", errno);
}

static bool logs(pid_t pid) {
  struct { uint64_t index, flags; } told = {0, 0};
  int status;
  /* A restart lets one after the other go: this one may have to wait for its child. */
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  while (proc_number(path, "TracerPid:", 10) != 0) nap(1000);
  MUST(ptrace(PTRACE_SEIZE, pid, 0, 0) == 0 && ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0 && waitpid(pid, &status, __WALL) == pid);
  MUST(ptrace(0x420d, pid, sizeof told, &told) > 0); /* PTRACE_SECCOMP_GET_METADATA */
  MUST(ptrace(PTRACE_DETACH, pid, 0, 0) == 0);
  return (told.flags & SECCOMP_FILTER_FLAG_LOG) != 0;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  void (*roles[])(void) = {threads_child, strict_child, later_child, single_child, sleeper_child, unprivileged_child};
  bool is_root = geteuid() == 0;
  /* What a stop alone would end is left out where cairn is killed. */
  if (argc > 2) roles[4] = later_child;
  int count = sizeof roles / sizeof *roles - !is_root;
  int from_children[2], children[8];
  may_go = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(may_go != MAP_FAILED && pipe(from_children) == 0);
  for (int i = 0; i < count; i++) {
    children[i] = fork();
    MUST(children[i] != -1);
    if (children[i] != 0) continue;
    /* To the parent it says that it is ready, and later what differs. */
    MUST(dup2(from_children[1], 1) == 1 && (is_root || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0));
    roles[i]();
    child_ends();
  }
  close(from_children[1]);
  for (int i = 0; i < count; i++) {
    char text[6];
    MUST(read_fully(from_children[0], text, sizeof text) == 0 && memcmp(text, "ready\n", sizeof text) == 0);
  }
  MUST(!is_root || (logs(children[1]) && !logs(children[0])));
  ready();
  await_go();
  CHECK(!is_root || (logs(children[1]) && !logs(children[0])), "a filter's flag differs");
  *may_go = 1;
  char byte;
  while (read(from_children[0], &byte, 1) == 1) MUST(write(1, &byte, 1) == 1);
  for (int i = 0; i < count; i++) expect_child(children[i], "a child");
  return finish();
}

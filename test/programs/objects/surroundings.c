/*
 * What a process has around it: current directory, umask, environment, limits, nice, scheduling, and what prctl sets. A
 * child differs from its parent in each of them.
 */
#include "fixture.h"
#include <sys/personality.h>
#include <sys/resource.h>

extern char **environ;

struct surroundings {
  char directory[1024];
  mode_t mask;
  struct rlimit limits[16];
  int nice, policy, io_priority, dumpable, keep_capabilities, subreaper, no_new_privileges, no_huge_pages, personality, death_signal;
  int deny_write_execute, merge, barriers;
  long slack, oom, core_dump_filter;
  char name[16];
  cpu_set_t affinity;
};

static void look(struct surroundings *seen) {
  memset(seen, 0, sizeof *seen);
  MUST(getcwd(seen->directory, sizeof seen->directory) != NULL);
  seen->mask = umask(0);
  umask(seen->mask);
  for (int i = 0; i < 16; i++) getrlimit(i, &seen->limits[i]);
  seen->nice = getpriority(PRIO_PROCESS, 0);
  seen->policy = sched_getscheduler(0);
  seen->io_priority = syscall(SYS_ioprio_get, 1, 0);
  seen->dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
  seen->keep_capabilities = prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0);
  prctl(PR_GET_CHILD_SUBREAPER, &seen->subreaper, 0, 0, 0);
  seen->no_new_privileges = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
  seen->no_huge_pages = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
  seen->personality = personality(0xffffffff);
  prctl(PR_GET_PDEATHSIG, &seen->death_signal, 0, 0, 0);
  seen->slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
  seen->deny_write_execute = prctl(66, 0, 0, 0, 0); /* PR_GET_MDWE */
  seen->merge = prctl(68, 0, 0, 0, 0); /* PR_GET_MEMORY_MERGE */
  for (int i = 3; i <= 7; i += 2) /* MEMBARRIER_CMD_PRIVATE_EXPEDITED and its kind */
    if (syscall(SYS_membarrier, 1 << i, 0, 0) == 0) seen->barriers |= 1 << i;
  int registered = syscall(SYS_membarrier, 1 << 9, 0, 0); /* MEMBARRIER_CMD_GET_REGISTRATIONS, since Linux 6.3 */
  if (registered != -1) seen->barriers |= registered;
  prctl(PR_GET_NAME, seen->name);
  sched_getaffinity(0, sizeof seen->affinity, &seen->affinity);
  char text[32] = {0};
  int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
  if (fd != -1 && read(fd, text, sizeof text - 1) > 0) seen->oom = atol(text);
  close(fd);
  memset(text, 0, sizeof text);
  fd = open("/proc/self/coredump_filter", O_RDONLY | O_CLOEXEC);
  if (fd != -1 && read(fd, text, sizeof text - 1) > 0) seen->core_dump_filter = strtol(text, NULL, 16);
  close(fd);
}

static void compare(const char *who, const struct surroundings *before) {
  struct surroundings after;
  look(&after);
  CHECK(strcmp(before->directory, after.directory) == 0, "%s: the current directory is %s, not %s", who, after.directory, before->directory);
  CHECK(before->mask == after.mask, "%s: the umask is %o, not %o", who, after.mask, before->mask);
  for (int i = 0; i < 16; i++)
    CHECK(memcmp(&before->limits[i], &after.limits[i], sizeof(struct rlimit)) == 0, "%s: limit %d is %ld/%ld, not %ld/%ld", who, i, (long)after.limits[i].rlim_cur, (long)after.limits[i].rlim_max, (long)before->limits[i].rlim_cur, (long)before->limits[i].rlim_max);
#define SAME(field) CHECK(before->field == after.field, "%s: " #field " is %ld, not %ld", who, (long)after.field, (long)before->field)
  SAME(nice);
  SAME(policy);
  SAME(io_priority);
  SAME(dumpable);
  SAME(keep_capabilities);
  SAME(subreaper);
  SAME(no_new_privileges);
  SAME(no_huge_pages);
  SAME(personality);
  SAME(death_signal);
  SAME(slack);
  SAME(oom);
  SAME(core_dump_filter);
  SAME(deny_write_execute);
  SAME(merge);
  SAME(barriers);
  CHECK(strcmp(before->name, after.name) == 0, "%s: the name is %s, not %s", who, after.name, before->name);
  CHECK(CPU_EQUAL(&before->affinity, &after.affinity), "%s: the affinity differs", who);
}

static void lower(int which, rlim_t soft, rlim_t hard) {
  struct rlimit limit = {soft, hard};
  MUST(setrlimit(which, &limit) == 0);
}

int main(int argc, char **argv) {
  begin(argc, argv);
  _Atomic int *started = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  struct surroundings before;
  MUST(setenv("FIXTURE_VARIABLE", "a value\nof two lines", 1) == 0 && unsetenv("LANG") == 0);

  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    (void)!mkdir("inner", 0700);
    MUST(chdir("inner") == 0);
    umask(0137);
    MUST(setpriority(PRIO_PROCESS, 0, 11) == 0);
    struct sched_param none = {0};
    MUST(sched_setscheduler(0, SCHED_BATCH, &none) == 0);
    MUST(syscall(SYS_ioprio_set, 1, 0, 3 << 13) == 0);
    MUST(prctl(PR_SET_NAME, "child \xe4 )") == 0);
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    MUST(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    MUST(prctl(PR_SET_TIMERSLACK, 123456, 0, 0, 0) == 0);
    MUST(prctl(PR_SET_PDEATHSIG, SIGUSR2, 0, 0, 0) == 0);
    MUST(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
    MUST(personality(ADDR_NO_RANDOMIZE) != -1);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    MUST(fd != -1 && write(fd, "321", 3) == 3);
    close(fd);
    fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
    MUST(fd != -1 && write(fd, "0x7f", 4) == 4);
    close(fd);
    MUST(syscall(SYS_membarrier, 1 << 4, 0, 0) == 0); /* MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED */
    /* Newer kernels have these, some for the privileged alone. */
    (void)!syscall(SYS_membarrier, 1 << 2, 0, 0);
    (void)!syscall(SYS_membarrier, 1 << 8, 0, 0);
    (void)!prctl(67, 1, 0, 0, 0); /* PR_SET_MEMORY_MERGE */
    (void)!prctl(65, 1, 0, 0, 0); /* PR_SET_MDWE */
    lower(RLIMIT_NOFILE, 300, 400);
    lower(RLIMIT_CORE, 0, 12345678);
    lower(RLIMIT_STACK, 4 << 20, 6 << 20);
    lower(RLIMIT_FSIZE, 1 << 24, 1 << 25);
    lower(RLIMIT_CPU, 5000, 6000);
    lower(RLIMIT_SIGPENDING, 500, 600);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    (void)!sched_setaffinity(0, sizeof one, &one);
    look(&before);
    *started = 1;
    await_go();
    compare("the child", &before);
    child_ends();
  }
  while (!*started) nap(1000);
  umask(0027);
  (void)!prctl(PR_SET_THP_DISABLE, 1, 2, 0, 0); /* PR_THP_DISABLE_EXCEPT_ADVISED, since Linux 6.18 */
  lower(RLIMIT_NOFILE, 900, 4000);
  look(&before);

  ready();
  await_go();

  compare("the parent", &before);
  CHECK(getenv("FIXTURE_VARIABLE") != NULL && strcmp(getenv("FIXTURE_VARIABLE"), "a value\nof two lines") == 0, "an environment variable differs");
  CHECK(getenv("LANG") == NULL, "an environment variable came back");
  int fd = open("made-after-the-cut", O_CREAT | O_RDWR | O_TRUNC, 0666);
  struct stat status;
  CHECK(fd != -1 && fstat(fd, &status) == 0 && (status.st_mode & 0777) == 0640, "a new file has mode %o", status.st_mode);
  unlink("made-after-the-cut");
  expect_child(child, "the child");
  return finish();
}

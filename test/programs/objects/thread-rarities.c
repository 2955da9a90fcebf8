/*
 * What one thread may have otherwise than the others, though it is seldom done: ids, groups, capabilities and no_new_privs
 * (by the system calls themselves, which act on one thread), what happens on rdtsc and on broken memory, a memory policy.
 */
#include "fixture.h"
#include <linux/capability.h>
#include <linux/mempolicy.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>

struct identity {
  uid_t users[3], file_user;
  gid_t groups[3], more[8];
  int count, no_new_privileges, secure_bits, time_stamp_counter, machine_check, policy;
  unsigned long nodes[16];
  struct __user_cap_data_struct capabilities[2];
};

enum { THREADS = 8 };
static _Atomic int started, go;

static void look(struct identity *seen) {
  memset(seen, 0, sizeof *seen);
  getresuid(&seen->users[0], &seen->users[1], &seen->users[2]);
  getresgid(&seen->groups[0], &seen->groups[1], &seen->groups[2]);
  seen->count = getgroups(8, seen->more);
  seen->file_user = setfsuid(-1);
  seen->no_new_privileges = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
  seen->secure_bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
#ifdef __x86_64__
  prctl(PR_GET_TSC, &seen->time_stamp_counter);
#endif
  seen->machine_check = prctl(PR_MCE_KILL_GET, 0, 0, 0, 0);
  /* A kernel without NUMA leaves both as they are. */
  syscall(SYS_get_mempolicy, &seen->policy, seen->nodes, 8 * sizeof seen->nodes, 0, 0);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  syscall(SYS_capget, &header, seen->capabilities);
}

static void compare(int which, const struct identity *before) {
  struct identity after;
  look(&after);
#define SAME(field) CHECK(memcmp(&before->field, &after.field, sizeof after.field) == 0, "thread %d: " #field " differs: %#x, not %#x", which, *(unsigned *)&after.field, *(unsigned *)&before->field)
  SAME(users);
  SAME(groups);
  SAME(more);
  SAME(count);
  SAME(file_user);
  SAME(no_new_privileges);
  SAME(secure_bits);
  SAME(time_stamp_counter);
  SAME(machine_check);
  SAME(policy);
  SAME(nodes);
  SAME(capabilities);
}

static void become(int which) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2] = {{0}};
  gid_t more[] = {7, 1007};
  unsigned long node = 1;
  bool is_root = geteuid() == 0;
  switch (which) {
    case 0: /* a file server's thread that works for a user */
      if (is_root) MUST(syscall(SYS_setgroups, 2, more) == 0 && syscall(SYS_setresgid, -1, 1003, -1) == 0 && syscall(SYS_setresuid, -1, 1001, -1) == 0);
      break;
    case 1:
      if (is_root) setfsuid(1002);
      break;
    case 2: /* one that has given up all it may */
      MUST(syscall(SYS_capset, &header, none) == 0);
      break;
    case 3:
      MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
      break;
    case 4:
      if (is_root) MUST(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0) == 0);
      break;
    case 5:
      MUST(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0) == 0);
      break;
    case 6: {
      /* Node 0 may be another than the one that this machine has: then the thread stays as it is. */
      (void)!syscall(SYS_set_mempolicy, MPOL_BIND, &node, 64);
      break;
    }
    case 7:
#ifdef __x86_64__
      MUST(prctl(PR_SET_TSC, PR_TSC_ENABLE) == 0);
#endif
      break;
  }
}

static void *thread(void *argument) {
  int which = (int)(intptr_t)argument;
  struct identity before;
  become(which);
  look(&before);
  started++;
  while (!go) nap(2000);
  compare(which, &before);
  if (which == 2) CHECK(chroot("/") == -1, "a thread without capabilities may change its root");
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
#ifdef __x86_64__
  /* For all but one thread. */
  MUST(prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0);
#endif
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) MUST(pthread_create(&threads[i], NULL, thread, (void *)(intptr_t)i) == 0);
  while (started < THREADS) nap(1000);
  struct identity before;
  look(&before);
  ready();
  await_go();
  compare(-1, &before);
  go = 1;
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  return finish();
}

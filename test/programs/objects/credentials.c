/* Users, groups and capabilities of processes that gave some up (needs root): nothing comes back, nothing is lost. */
#include "fixture.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>

struct identity {
  uid_t users[3];
  gid_t groups[3], more[64];
  int count, file_user, file_group, secure_bits, no_new_privileges;
  struct __user_cap_data_struct capabilities[2];
  uint64_t bounding, ambient;
};

static void look(struct identity *seen) {
  memset(seen, 0, sizeof *seen);
  getresuid(&seen->users[0], &seen->users[1], &seen->users[2]);
  getresgid(&seen->groups[0], &seen->groups[1], &seen->groups[2]);
  seen->count = getgroups(64, seen->more);
  seen->file_user = setfsuid(-1);
  seen->file_group = setfsgid(-1);
  seen->secure_bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
  seen->no_new_privileges = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  syscall(SYS_capget, &header, seen->capabilities);
  for (int i = 0; i < 64; i++) {
    if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1) seen->bounding |= 1ull << i;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1) seen->ambient |= 1ull << i;
  }
}

static void compare(int which, const struct identity *before) {
  struct identity after;
  look(&after);
  for (int i = 0; i < 3; i++) {
    CHECK(before->users[i] == after.users[i], "role %d: user id %d is %d, not %d", which, i, after.users[i], before->users[i]);
    CHECK(before->groups[i] == after.groups[i], "role %d: group id %d is %d, not %d", which, i, after.groups[i], before->groups[i]);
  }
  CHECK(before->count == after.count && memcmp(before->more, after.more, sizeof after.more) == 0, "role %d: other groups (%d, not %d)", which, after.count, before->count);
  CHECK(before->file_user == after.file_user && before->file_group == after.file_group, "role %d: file-system ids %d, %d", which, after.file_user, after.file_group);
  CHECK(before->secure_bits == after.secure_bits, "role %d: secure bits %#x, not %#x", which, after.secure_bits, before->secure_bits);
  CHECK(before->no_new_privileges == after.no_new_privileges, "role %d: no_new_privs %d", which, after.no_new_privileges);
  for (int i = 0; i < 2; i++)
    CHECK(memcmp(&before->capabilities[i], &after.capabilities[i], sizeof after.capabilities[i]) == 0, "role %d: capabilities %d: effective %#x permitted %#x inheritable %#x, not %#x %#x %#x", which, i,
          after.capabilities[i].effective, after.capabilities[i].permitted, after.capabilities[i].inheritable, before->capabilities[i].effective, before->capabilities[i].permitted, before->capabilities[i].inheritable);
  CHECK(before->bounding == after.bounding, "role %d: bounding set %#lx, not %#lx", which, after.bounding, before->bounding);
  CHECK(before->ambient == after.ambient, "role %d: ambient set %#lx, not %#lx", which, after.ambient, before->ambient);
}

static void become(int which) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  gid_t more[] = {7, 1007, 1008};
  switch (which) {
    case 0: /* a daemon that became an ordinary user */
      MUST(setgroups(3, more) == 0 && setresgid(1001, 1001, 1001) == 0 && setresuid(1001, 1001, 1001) == 0);
      break;
    case 1: /* one that can go back to root */
      MUST(setgroups(0, NULL) == 0 && setresgid(1002, 1003, 0) == 0 && setresuid(1002, 1003, 0) == 0);
      break;
    case 2: /* an ordinary user who kept one capability, ambient as well */
      MUST(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setresuid(1004, 1004, 1004) == 0);
      memset(data, 0, sizeof data);
      data[0].effective = data[0].permitted = data[0].inheritable = 1 << CAP_NET_BIND_SERVICE;
      MUST(syscall(SYS_capset, &header, data) == 0);
      MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) == 0);
      break;
    case 3: /* root with less: bounding set cut, some capabilities not effective, secure bits locked */
      MUST(prctl(PR_CAPBSET_DROP, CAP_SYS_MODULE, 0, 0, 0) == 0 && prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0) == 0);
      MUST(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0) == 0);
      MUST(syscall(SYS_capget, &header, data) == 0);
      data[0].effective &= ~(1u << CAP_NET_RAW | 1u << CAP_SYS_ADMIN);
      data[0].permitted &= ~(1u << CAP_SYS_MODULE);
      data[0].effective &= data[0].permitted;
      MUST(syscall(SYS_capset, &header, data) == 0);
      break;
    default: /* root with other file-system ids */
      setfsgid(1006);
      setfsuid(1005);
  }
  /* Changing ids makes a process undumpable; most programs that do so are traced by root all the same. */
}

int main(int argc, char **argv) {
  begin(argc, argv);
  enum { ROLES = 5 };
  _Atomic int *started = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t pids[ROLES];
  for (int i = 0; i < ROLES; i++) {
    pids[i] = fork();
    MUST(pids[i] != -1);
    if (pids[i] == 0) {
      struct identity before;
      become(i);
      look(&before);
      (*started)++;
      /* The go-file's folder is closed to the users that some of these have become: the parent passes the word on. */
      while (*started < 100) nap(2000);
      compare(i, &before);
      if (i == 1) CHECK(seteuid(0) == 0, "the saved user id does not lead back to root");
      if (i == 0) CHECK(setuid(0) == -1, "an ordinary user became root");
      child_ends();
    }
  }
  while (*started < ROLES) nap(1000);
  ready();
  await_go();
  *started = 100;
  for (int i = 0; i < ROLES; i++) expect_child(pids[i], "a child");
  return finish();
}

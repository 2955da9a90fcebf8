/*
 * Sessions and process groups: of the living, and of leaders that are dead and reaped (every daemon that forks twice has
 * one). Signals to a group reach exactly its members.
 */
#include "fixture.h"

enum { LEADER, MEMBER, OTHER_GROUP, DAEMON, DEAD_GROUP_MEMBER, SECOND_SESSION, ROLES };

struct role {
  _Atomic pid_t pid, group, session;
  _Atomic int hits, verdict;
};

static struct role *roles;
static volatile sig_atomic_t hits;
static pid_t outer_session;

static void on_signal(int signal) { hits++; }

/* Keeps what it is, waits for the go-file and two signals' worth of decisions, and tells whether it still is that. */
static void play(int which) {
  struct role *self = &roles[which];
  signal(SIGUSR1, on_signal);
  self->group = getpgrp();
  self->session = getsid(0);
  self->pid = getpid();
  await_go();
  CHECK(getpid() == self->pid, "role %d: pid %d, not %d", which, getpid(), self->pid);
  CHECK(getpgrp() == self->group, "role %d: group %d, not %d", which, getpgrp(), self->group);
  /* A session led from outside the tree is the restarter's own afterwards. */
  if (self->session != outer_session) CHECK(getsid(0) == self->session, "role %d: session %d, not %d", which, getsid(0), self->session);
  while (self->verdict == 0) {
    self->hits = hits;
    nap(1000);
  }
  _exit(differences > 0 ? 1 : 0);
}

static pid_t spawn(int which, pid_t group, bool own_session) {
  pid_t pid = fork();
  MUST(pid != -1);
  if (pid == 0) {
    if (own_session) setsid();
    else if (group != -1) setpgid(0, group);
    play(which);
  }
  while (roles[which].pid == 0) nap(1000);
  return pid;
}

static void expect_hits(int which, int wanted) {
  for (int i = 0; i < 2000 && roles[which].hits != wanted; i++) nap(1000);
  CHECK(roles[which].hits == wanted, "role %d got %d signals, not %d", which, roles[which].hits, wanted);
}

int main(int argc, char **argv) {
  begin(argc, argv);
  roles = mmap(NULL, sizeof *roles * ROLES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(roles != MAP_FAILED);
  outer_session = getsid(0) == getpid() ? 0 : getsid(0);

  pid_t leader = spawn(LEADER, 0, false);
  pid_t member = spawn(MEMBER, leader, false);
  pid_t other = spawn(OTHER_GROUP, 0, false);
  pid_t second = spawn(SECOND_SESSION, -1, true);

  /* A daemon's way: the session's leader forks and dies. Here this process stays the waiter of the first only. */
  pid_t first = fork();
  MUST(first != -1);
  if (first == 0) {
    setsid();
    pid_t daemon = fork();
    if (daemon == 0) play(DAEMON);
    _exit(0);
  }
  expect_child(first, "the daemon's parent");
  while (roles[DAEMON].pid == 0) nap(1000);
  MUST(roles[DAEMON].session == first);

  /* A group whose leader is dead, in this session. */
  pid_t dead = fork();
  MUST(dead != -1);
  if (dead == 0) {
    setpgid(0, 0);
    while (!roles[DEAD_GROUP_MEMBER].pid) nap(1000);
    _exit(0);
  }
  MUST(setpgid(dead, dead) == 0 || errno == EACCES);
  pid_t left = spawn(DEAD_GROUP_MEMBER, dead, false);
  expect_child(dead, "the dead leader");
  MUST(roles[DEAD_GROUP_MEMBER].group == dead);

  pid_t own_group = getpgrp(), own_session = getsid(0);
  bool led_from_outside = own_session != getpid();
  pid_t sessions_before[] = {getsid(leader), getsid(member)};
  MUST(sessions_before[0] == own_session && sessions_before[1] == own_session);
  (void)own_group;

  ready();
  await_go();

  /* The outer session is the restarter's own: what counts is that all who shared it still do. */
  if (!led_from_outside) CHECK(getsid(0) == own_session, "session %d", getsid(0));
  pid_t fresh = getsid(0);
  CHECK(getpgid(leader) == leader && getpgid(member) == leader, "the first group is %d and %d", getpgid(leader), getpgid(member));
  CHECK(getpgid(other) == other, "the other group is %d", getpgid(other));
  CHECK(getsid(second) == second && getpgid(second) == second, "the second session is %d", getsid(second));
  CHECK(getpgid(left) == dead, "the dead leader's group is %d, not %d", getpgid(left), dead);
  CHECK(getsid(roles[DAEMON].pid) == first, "the daemon's session is %d, not %d", getsid(roles[DAEMON].pid), first);
  CHECK(getpgid(roles[DAEMON].pid) == first, "the daemon's group is %d, not %d", getpgid(roles[DAEMON].pid), first);
  CHECK(getsid(left) == fresh && getsid(other) == fresh, "the sessions are %d and %d, not %d", getsid(left), getsid(other), fresh);
  CHECK(kill(-leader, SIGUSR1) == 0, "cannot signal the first group");
  CHECK(kill(-dead, SIGUSR1) == 0, "cannot signal the dead leader's group");
  CHECK(kill(-first, SIGUSR1) == 0, "cannot signal the daemon's group");
  expect_hits(LEADER, 1);
  expect_hits(MEMBER, 1);
  expect_hits(DEAD_GROUP_MEMBER, 1);
  expect_hits(DAEMON, 1);
  expect_hits(OTHER_GROUP, 0);
  expect_hits(SECOND_SESSION, 0);
  for (int i = 0; i < ROLES; i++) roles[i].verdict = 1;
  expect_child(leader, "the group leader");
  expect_child(member, "the group member");
  expect_child(other, "the other group's leader");
  expect_child(second, "the second session's leader");
  expect_child(left, "the dead leader's member");
  for (int i = 0; i < 2000 && kill(roles[DAEMON].pid, 0) == 0; i++) nap(1000);
  return finish();
}

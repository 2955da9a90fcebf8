/*
 * System V shared memory: attached twice, for reading only, by two processes, in part, moved, and by nobody. Ids, keys, makers and
 * modes are what they were, shmdt takes away whole attachments, and what nobody touched takes no room.
 */
#include "fixture.h"
#include "ipc.h"

enum { PAGE = 4096, PAGES = 8 };

static int segment(key_t key, size_t size, int mode) { return noted('m', shmget(key, size, IPC_CREAT | IPC_EXCL | mode)); }

static struct shmid_ds status_of(int id) {
  struct shmid_ds status = {0};
  CHECK(shmctl(id, IPC_STAT, &status) == 0, "segment %d is gone", id);
  return status;
}

static int mappings_of_segments(void) {
  char line[512];
  int count = 0;
  FILE *maps = fopen("/proc/self/maps", "re");
  while (fgets(line, sizeof line, maps) != NULL)
    if (strstr(line, "/SYSV") != NULL) count++;
  fclose(maps);
  return count;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  key_t key = 0x43000000 | getpid();
  int twice = segment(IPC_PRIVATE, PAGES * PAGE, 0600), shared = segment(key, 3 * PAGE + 100, 0640);
  int alone = segment(key + 0x400000, 64 * PAGE, 0644), partial = segment(IPC_PRIVATE, PAGES * PAGE, 0600);
  int moved = segment(IPC_PRIVATE, PAGES * PAGE, 0600), large = segment(IPC_PRIVATE, 64UL << 20, 0600);
  MUST(twice != -1 && shared != -1 && alone != -1 && partial != -1 && moved != -1 && large != -1);

  char *first = shmat(twice, NULL, 0), *second = shmat(twice, NULL, SHM_RDONLY);
  fill(first, 4 * PAGE, 1);
  /* The last page is not whole, and yet all of it is memory. */
  char *common = shmat(shared, NULL, 0);
  fill(common, 4 * PAGE, 2);
  char *passing = shmat(alone, NULL, 0);
  fill(passing + 32 * PAGE, PAGE, 3);
  MUST(shmdt(passing) == 0);
  char *part = shmat(partial, NULL, 0);
  fill(part, PAGES * PAGE, 4);
  MUST(munmap(part + 2 * PAGE, 3 * PAGE) == 0 && mprotect(part + 6 * PAGE, PAGE, PROT_READ) == 0 && mprotect(part, PAGE, PROT_NONE) == 0);
  char *origin = shmat(moved, NULL, 0);
  fill(origin, PAGES * PAGE, 5);
  char *place = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *goal = mremap(origin + 4 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place + PAGE);
  MUST(goal == place + PAGE);
  char *untouched = shmat(large, NULL, 0);
  untouched[40UL << 20] = 'x';
  struct { int id; unsigned long attached; } expected[] = {{twice, 2}, {shared, 2}, {alone, 0}, {partial, 5}, {moved, 3}, {large, 1}};

  pid_t parent = getpid(), child = fork();
  MUST(child != -1);
  if (child == 0) {
    MUST(shmdt(first) == 0 && shmdt(second) == 0 && shmdt(part) == 0 && shmdt(untouched) == 0 && shmdt(goal - 4 * PAGE) == 0);
    /* The origin begins as the segment does, and ends a page later. */
    MUST(shmdt(origin) == 0 && mappings_of_segments() == 1);
    ((volatile char *)first)[0] = 0; /* never reached: the address is free */
    _exit(9);
  }
  int status;
  MUST(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  child = fork();
  MUST(child != -1);
  if (child == 0) {
    MUST(shmdt(first) == 0 && shmdt(second) == 0 && shmdt(part) == 0 && shmdt(untouched) == 0 && shmdt(goal - 4 * PAGE) == 0 && shmdt(origin) == 0);
    while (!is_go()) nap(2000);
    CHECK(is_filled(common, 4 * PAGE, 2), "the child's view differs");
    fill(common, PAGE, 6);
    child_ends();
  }
  while (status_of(moved).shm_nattch != 3 || status_of(twice).shm_nattch != 2) nap(1000);
  ready();
  await_go();

  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    struct shmid_ds now = status_of(expected[i].id);
    if (expected[i].id != shared) CHECK(now.shm_nattch == expected[i].attached, "segment %zu has %lu attachments, not %lu", i, now.shm_nattch, expected[i].attached);
    /* Of a segment that survived a crash nobody can change the maker, who is not to be seen from a new pid namespace. */
    CHECK(now.shm_cpid == parent || now.shm_cpid == 0, "segment %zu was made by %d, not %d", i, now.shm_cpid, parent);
    CHECK(now.shm_perm.uid == getuid() && now.shm_perm.cuid == getuid() && now.shm_perm.gid == getgid(), "segment %zu has another owner", i);
  }
  CHECK(shmget(key, 0, 0) == shared && (status_of(shared).shm_perm.mode & 0777) == 0640 && status_of(shared).shm_segsz == 3 * PAGE + 100, "the key leads elsewhere");
  CHECK(shmget(key + 0x400000, 0, 0) == alone && (status_of(alone).shm_perm.mode & 0777) == 0644, "the other key leads elsewhere");
  CHECK(is_filled(first, 4 * PAGE, 1) && is_zero(first + 4 * PAGE, 4 * PAGE), "the segment that is attached twice differs");
  first[5 * PAGE] = 7;
  CHECK(second[5 * PAGE] == 7 && memcmp(first, second, PAGES * PAGE) == 0, "the two attachments show different memory");
  CHECK(fault_of(second, true) == SIGSEGV && mprotect(second, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES, "the read-only attachment can be written");
  char *passed = shmat(alone, NULL, SHM_RDONLY);
  CHECK(is_zero(passed, 32 * PAGE) && is_filled(passed + 32 * PAGE, PAGE, 3) && is_zero(passed + 33 * PAGE, 31 * PAGE), "what nobody had attached differs");
  CHECK(shmdt(passed) == 0, "shmdt fails");
  char *copy = shmat(partial, NULL, SHM_RDONLY);
  CHECK(is_filled(copy, PAGES * PAGE, 4) && memcmp(copy + PAGE, part + PAGE, PAGE) == 0 && memcmp(copy + 5 * PAGE, part + 5 * PAGE, 3 * PAGE) == 0, "the partial attachment differs");
  CHECK(fault_of(part, false) == SIGSEGV && fault_of(part + 6 * PAGE, true) == SIGSEGV && fault_of(part + 7 * PAGE, true) == 0, "the protection of parts differs");
  part[7 * PAGE] = 8;
  CHECK(copy[7 * PAGE] == 8, "a part shows other memory than the whole");
  CHECK(shmdt(copy) == 0, "shmdt fails");
  char *whole = shmat(moved, NULL, 0);
  CHECK(is_filled(whole, PAGES * PAGE, 5) && memcmp(whole + 4 * PAGE, goal, PAGE) == 0 && memcmp(whole, origin, 4 * PAGE) == 0, "the moved part differs");
  goal[1] = 9;
  CHECK(whole[4 * PAGE + 1] == 9, "the moved part shows other memory");
  CHECK(shmdt(whole) == 0, "shmdt fails");
  CHECK(untouched[40UL << 20] == 'x', "the large segment differs");
  expect_child(child, "the child");
  CHECK(is_filled(common, PAGE, 6), "the parent does not see what the child wrote");

  CHECK(shmdt(first) == 0 && shmdt(second) == 0 && shmdt(common) == 0 && shmdt(part) == 0 && shmdt(origin) == 0 && shmdt(goal - 4 * PAGE) == 0 && shmdt(untouched) == 0, "shmdt fails");
  CHECK(mappings_of_segments() == 0, "%d mappings are left", mappings_of_segments());
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) CHECK(shmctl(expected[i].id, IPC_RMID, NULL) == 0, "segment %zu can't be removed", i);
  return finish();
}

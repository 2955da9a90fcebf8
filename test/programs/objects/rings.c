/* io_uring: rings that nothing is under way in, with and without an index array, unused, half used, shared, worn. */
#include "fixture.h"
#include <linux/io_uring.h>
#include <poll.h>

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16)
#endif

struct ring {
  int fd;
  struct io_uring_params parameters;
  char *memory, *answers;
  struct io_uring_sqe *requests;
  uint32_t *index;
  /* As liburing does: the program's own idea of how far it is, never read back from the ring. */
  uint32_t submitted, taken;
};

#define WORD(base, offset) ((volatile uint32_t *)((base) + (offset)))

static bool make(struct ring *ring, unsigned entries, unsigned flags, unsigned answers) {
  memset(ring, 0, sizeof *ring);
  struct io_uring_params *p = &ring->parameters;
  p->flags = flags | (answers > 0 ? IORING_SETUP_CQSIZE : 0);
  p->cq_entries = answers;
  ring->fd = syscall(SYS_io_uring_setup, entries, p);
  if (ring->fd == -1) return false;
  size_t bytes = p->sq_off.array + p->sq_entries * 4, other = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
  ring->memory = mmap(NULL, bytes > other ? bytes : other, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQ_RING);
  ring->answers = mmap(NULL, other, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_CQ_RING);
  ring->requests = mmap(NULL, p->sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQES);
  MUST(ring->memory != MAP_FAILED && ring->answers != MAP_FAILED && ring->requests != MAP_FAILED);
  if ((flags & IORING_SETUP_NO_SQARRAY) == 0) {
    ring->index = (uint32_t *)(ring->memory + p->sq_off.array);
    /* Backwards, so that it matters which request an index leads to. */
    for (unsigned i = 0; i < p->sq_entries; i++) ring->index[i] = p->sq_entries - 1 - i;
  }
  return true;
}

static struct io_uring_sqe *prepare(struct ring *ring, int operation, uint64_t user_data) {
  unsigned slot = ring->submitted & (ring->parameters.sq_entries - 1);
  struct io_uring_sqe *request = &ring->requests[ring->index == NULL ? slot : ring->index[slot]];
  memset(request, 0, sizeof *request);
  request->opcode = operation;
  request->user_data = user_data;
  ring->submitted++;
  __atomic_store_n(WORD(ring->memory, ring->parameters.sq_off.tail), ring->submitted, __ATOMIC_RELEASE);
  return request;
}

static long submit(struct ring *ring, unsigned count, unsigned wait) {
  return syscall(SYS_io_uring_enter, ring->fd, count, wait, wait > 0 ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
}

/* The next answer; false when there is none. */
static bool take(struct ring *ring, struct io_uring_cqe *answer) {
  struct io_uring_params *p = &ring->parameters;
  if (__atomic_load_n(WORD(ring->answers, p->cq_off.tail), __ATOMIC_ACQUIRE) == ring->taken) return false;
  *answer = ((struct io_uring_cqe *)(ring->answers + p->cq_off.cqes))[ring->taken & (p->cq_entries - 1)];
  ring->taken++;
  __atomic_store_n(WORD(ring->answers, p->cq_off.head), ring->taken, __ATOMIC_RELEASE);
  return true;
}

static void expect(struct ring *ring, uint64_t user_data, int result, const char *which) {
  struct io_uring_cqe answer = {0};
  bool is_there = take(ring, &answer);
  CHECK(is_there && answer.user_data == user_data && answer.res == result, "%s: answer %d, %lu with %d instead of %lu with %d", which, is_there, (unsigned long)answer.user_data, answer.res, (unsigned long)user_data, result);
}

static void use(struct ring *ring, unsigned count, const char *which) {
  for (unsigned i = 0; i < count; i++) {
    prepare(ring, IORING_OP_NOP, 1000 + i);
    CHECK(submit(ring, 1, 1) == 1, "%s: a request is not taken", which);
    expect(ring, 1000 + i, 0, which);
  }
}

/* A full round and a bit: every slot of both rings, a read of real bytes, and a request that waits. */
static void works(struct ring *ring, const char *which) {
  struct io_uring_params *p = &ring->parameters;
  CHECK(*WORD(ring->memory, p->sq_off.ring_mask) == p->sq_entries - 1 && *WORD(ring->answers, p->cq_off.ring_mask) == p->cq_entries - 1, "%s: the size differs", which);
  CHECK(*WORD(ring->memory, p->sq_off.head) == ring->submitted && *WORD(ring->memory, p->sq_off.tail) == ring->submitted, "%s: the kernel took %u requests of %u", which, *WORD(ring->memory, p->sq_off.head), ring->submitted);
  CHECK(*WORD(ring->answers, p->cq_off.head) == ring->taken && *WORD(ring->answers, p->cq_off.tail) == ring->taken, "%s: the kernel gave %u answers of %u", which, *WORD(ring->answers, p->cq_off.tail), ring->taken);
  unsigned room = p->sq_entries;
  for (unsigned i = 0; i < room; i++) prepare(ring, IORING_OP_NOP, i);
  CHECK(submit(ring, room, room) == (long)room, "%s: %u requests are not taken", which, room);
  for (unsigned i = 0; i < room; i++) expect(ring, i, 0, which);
  use(ring, p->cq_entries + 3, which);
  char bytes[8] = {0};
  int ends[2];
  MUST(pipe(ends) == 0);
  struct io_uring_sqe *request = prepare(ring, IORING_OP_READ, 77);
  request->fd = ends[0];
  request->addr = (uintptr_t)bytes;
  request->len = 5;
  request->off = (uint64_t)-1;
  CHECK(submit(ring, 1, 0) == 1, "%s: the read is not taken", which);
  MUST(write(ends[1], "bytes", 5) == 5);
  CHECK(submit(ring, 0, 1) >= 0, "%s: no answer comes", which);
  expect(ring, 77, 5, which);
  CHECK(strcmp(bytes, "bytes") == 0, "%s: it read \"%s\"", which, bytes);
  close(ends[0]);
  close(ends[1]);
}

static struct ring owned;
static bool has_owned;
static _Atomic bool is_made;

static void *owner(void *unused) {
  has_owned = make(&owned, 8, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0);
  if (has_owned) use(&owned, 11, "the ring of one thread");
  is_made = true;
  await_go();
  if (has_owned) works(&owned, "the ring of one thread");
  return NULL;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  struct ring plain, bare, fresh, fresh_bare, half, worn, small, closed, handed;
  if (!make(&plain, 8, 0, 0)) skip("no io_uring on this machine");
  bool has_bare = make(&bare, 256, IORING_SETUP_NO_SQARRAY, 0);
  bool has_fresh_bare = make(&fresh_bare, 4, IORING_SETUP_NO_SQARRAY, 0);
  MUST(make(&fresh, 16, 0, 0) && make(&half, 8, 0, 64) && make(&worn, 64, 0, 0) && make(&small, 1, 0, 0) && make(&handed, 32, 0, 0) && make(&closed, 8, 0, 0));
  use(&plain, 21, "the plain ring");
  if (has_bare) use(&bare, 5, "the ring without an array");
  use(&small, 3, "the smallest ring");
  /* Many, so that positions lie far beyond the size. */
  for (unsigned round = 0; round < 5000; round++) {
    for (unsigned i = 0; i < 64; i++) prepare(&worn, IORING_OP_NOP, i);
    MUST(submit(&worn, 64, 64) == 64);
    for (unsigned i = 0; i < 64; i++) expect(&worn, i, 0, "the worn ring");
  }
  /* Answers that were not taken, requests that were not submitted. */
  use(&half, 13, "the half used ring");
  for (unsigned i = 0; i < 6; i++) prepare(&half, IORING_OP_NOP, 60 + i);
  MUST(submit(&half, 6, 6) == 6);
  for (unsigned i = 0; i < 3; i++) prepare(&half, IORING_OP_NOP, 90 + i);
  /* A worker thread of the kernel's, which stays as long as the process: IOSQE_ASYNC. */
  prepare(&plain, IORING_OP_NOP, 5)->flags = IOSQE_ASYNC;
  MUST(submit(&plain, 1, 1) == 1);
  expect(&plain, 5, 0, "the plain ring");
  MUST(madvise(fresh.requests, 16 * sizeof(struct io_uring_sqe), MADV_DONTFORK) == 0);
  MUST(fcntl(fresh.fd, F_SETFD, 0) == 0);
  /* Nobody maps it any more. */
  MUST(munmap(closed.requests, 8 * sizeof(struct io_uring_sqe)) == 0);

  int done[2];
  MUST(pipe(done) == 0);
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0) {
    await_go();
    works(&handed, "the ring in the child");
    MUST(write(done[1], &handed, sizeof handed) == sizeof handed);
    child_ends();
  }
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, owner, NULL) == 0);
  while (!is_made) nap(1000);

  ready();
  await_go();

  works(&plain, "the plain ring");
  if (has_bare) works(&bare, "the ring without an array");
  works(&fresh, "the unused ring");
  if (has_fresh_bare) works(&fresh_bare, "the unused ring without an array");
  works(&small, "the smallest ring");
  works(&worn, "the worn ring");
  for (unsigned i = 0; i < 6; i++) expect(&half, 60 + i, 0, "the half used ring");
  CHECK(submit(&half, 3, 3) == 3, "the requests of the half used ring are not taken");
  for (unsigned i = 0; i < 3; i++) expect(&half, 90 + i, 0, "the half used ring");
  works(&half, "the half used ring");
  CHECK(fcntl(plain.fd, F_GETFD) == FD_CLOEXEC && fcntl(fresh.fd, F_GETFD) == 0, "close-on-exec differs");
  CHECK(has_vm_flag(fresh.requests, "dc") && !has_vm_flag(plain.requests, "dc"), "what a child does not inherit differs");
  CHECK(*WORD(closed.memory, closed.parameters.sq_off.head) == 0, "the ring that is half unmapped differs");
  /* The child's ring is ours as well, and shows what it did. */
  MUST(read(done[0], &handed, sizeof handed) == sizeof handed);
  works(&handed, "the ring shared with a child");
  MUST(pthread_join(thread, NULL) == 0);
  expect_child(child, "the child");
  return finish();
}

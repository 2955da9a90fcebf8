/* The heap by brk: what is in it, that it grows on where it ended, shrinks, and comes back zeroed. */
#include "fixture.h"

enum { CHUNK = 1 << 20 };

int main(int argc, char **argv) {
  begin(argc, argv);
  char *first = sbrk(0);
  MUST(sbrk(3 * CHUNK) != (void *)-1);
  fill(first, 2 * CHUNK, 1);
  /* The third chunk is never touched. An odd end: brk need not be on a page. */
  MUST(sbrk(1237) != (void *)-1);
  char *end = sbrk(0);

  ready();
  await_go();

  CHECK(sbrk(0) == end, "the heap ends at %p, not %p", sbrk(0), end);
  CHECK(is_filled(first, 2 * CHUNK, 1), "the heap's content differs");
  CHECK(is_zero(first + 2 * CHUNK, CHUNK), "the untouched part is not zero");
  CHECK(sbrk(2 * CHUNK) == end, "the heap does not grow where it ended (now %p)", sbrk(0));
  CHECK(is_zero(end, 2 * CHUNK), "new heap is not zero");
  fill(end - 5, 4096, 2);
  CHECK(sbrk(-4 * CHUNK) != (void *)-1, "the heap does not shrink");
  CHECK(sbrk(3 * CHUNK) != (void *)-1, "the heap does not grow again");
  char *page = (char *)(((uintptr_t)first + 1237 + CHUNK + 4095) & ~4095ul);
  CHECK(is_zero(page, CHUNK), "heap that was given back and taken again is not zero");
  for (int i = 0; i < 100; i++) {
    char *block = malloc(200000 + i);
    CHECK(block != NULL, "malloc %d fails", i);
    memset(block, i, 200000);
    if (i % 2) free(block);
  }
  return finish();
}

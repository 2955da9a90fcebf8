/*
 * Whether PAGEMAP_SCAN's walk_end can lie before the last range that it reports: random layouts of huge and small pages, lists
 * of random length. Argument: how many layouts (default 2000).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct range { uint64_t start, end, categories; };
struct scan { uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, anyof, returned; };
#define SCAN _IOWR('f', 16, struct scan)
enum { FILE_PAGE = 4, PRESENT = 8, SWAPPED = 16, ZERO = 32, PAGE = 4096, HUGE_BYTES = 2 << 20, PIECES = 8 };

static struct range ranges[4096];

int main(int argc, char **argv) {
  int layouts = argc > 1 ? atoi(argv[1]) : 2000, scans = 0, before = 0, many = 0, shown = 0;
  size_t bytes = (size_t)PIECES * HUGE_BYTES;
  srandom(6);
  for (int layout = 0; layout < layouts; layout++) {
    char *whole = mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *memory = (char *)(((uintptr_t)whole + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));
    for (int piece = 0; piece < PIECES; piece++) {
      char *at = memory + (size_t)piece * HUGE_BYTES;
      switch (random() % 5) {
        case 0: break;
        case 1: madvise(at, HUGE_BYTES, MADV_HUGEPAGE); at[random() % HUGE_BYTES] = 1; break;
        case 2: madvise(at, HUGE_BYTES, MADV_HUGEPAGE); at[0] = 1; madvise(at + PAGE * (random() % 511), PAGE, MADV_DONTNEED); break;
        case 3: madvise(at, HUGE_BYTES, MADV_HUGEPAGE); (void)*(volatile char *)at; break; // the huge zero page
        case 4: madvise(at, HUGE_BYTES, MADV_NOHUGEPAGE); for (int n = random() % 300; n > 0; n--) at[PAGE * (random() % 512)] = 1;
      }
    }
    int map = open("/proc/self/pagemap", O_RDONLY);
    for (int n = 0; n < 20; n++) {
      uint64_t start = (uint64_t)memory + (random() % 3 ? 0 : PAGE * (random() % 2000)), end = (uint64_t)memory + bytes - (random() % 3 ? 0 : PAGE * (random() % 2000));
      int length = random() % 2 ? 4096 : 1 + random() % 40;
      struct scan request = {sizeof request, 0, start, end, 0, (uint64_t)ranges, length, 0, FILE_PAGE | ZERO, FILE_PAGE | ZERO, PRESENT | SWAPPED, PRESENT};
      int count = ioctl(map, SCAN, &request);
      if (count < 0) return perror("PAGEMAP_SCAN"), 1;
      scans++;
      many += count > 512 && count < length;
      if (count == 0 || request.walk_end >= ranges[count - 1].end) continue;
      before++;
      if (shown++ < 3)
        printf("%d of %d ranges, the last +%lu to +%lu KiB; asked to +%lu KiB; walk_end at +%lu KiB\n", count, length, (ranges[count - 1].start - start) >> 10,
               (ranges[count - 1].end - start) >> 10, (end - start) >> 10, (request.walk_end - start) >> 10);
    }
    close(map);
    munmap(whole, bytes + HUGE_BYTES);
  }
  printf("%d scans, %d of them with more than 512 ranges and room for more: walk_end lay before the end of the last range in %d\n", scans, many, before);
  return 0;
}

/* What the C library holds by itself: unwritten stdio buffers, the locale, random numbers, exit handlers, the heap. */
#include "fixture.h"
#include <locale.h>
#include <malloc.h>
#include <wchar.h>

static int order[3], count;
static void first_handler(void) {
  order[count++] = 1;
  if (count != 2 || order[0] != 2) _exit(5);
}
static void second_handler(void) { order[count++] = 2; }

int main(int argc, char **argv) {
  begin(argc, argv);
  atexit(first_handler);
  atexit(second_handler);
  MUST(setlocale(LC_ALL, "C.UTF-8") != NULL);
  srandom(42);
  for (int i = 0; i < 1000; i++) random();
  struct drand48_data drand;
  srand48_r(7, &drand);

  char path[] = "stdio-XXXXXX";
  int fd = mkstemp(path);
  MUST(fd != -1);
  FILE *file = fdopen(fd, "w+");
  MUST(file != NULL);
  /* Enough to have been written in part, and in part not. */
  for (int i = 0; i < 3000; i++) fprintf(file, "line %d\n", i);
  FILE *reader = fopen("/proc/self/cmdline", "r");
  MUST(reader != NULL && fgetc(reader) != EOF);

  char text[] = "one,two,three,four", *rest = NULL;
  MUST(strcmp(strtok_r(text, ",", &rest), "one") == 0);
  enum { BLOCKS = 2000 };
  static char *blocks[BLOCKS];
  for (int i = 0; i < BLOCKS; i++) {
    size_t size = 16 + i * 37 % 40000;
    blocks[i] = malloc(size);
    MUST(blocks[i] != NULL);
    memset(blocks[i], i & 0xff, size);
  }
  for (int i = 0; i < BLOCKS; i += 3) free(blocks[i]), blocks[i] = NULL;

  ready();
  await_go();

  CHECK(strcmp(strtok_r(NULL, ",", &rest), "two") == 0, "strtok lost its place");
  CHECK(strcmp(setlocale(LC_ALL, NULL), "C.UTF-8") == 0, "the locale is %s", setlocale(LC_ALL, NULL));
  wchar_t wide[8];
  CHECK(mbstowcs(wide, "\xc3\xa4\xe2\x82\xac", 8) == 2 && wide[1] == 0x20ac, "the locale does not work");
  long next = random();
  srandom(42);
  for (int i = 0; i < 1000; i++) random();
  CHECK(next == random(), "random() lost its place");

  for (int i = 3000; i < 3010; i++) fprintf(file, "line %d\n", i);
  CHECK(fflush(file) == 0, "cannot flush");
  rewind(file);
  int expected = 0, got;
  while (fscanf(file, "line %d\n", &got) == 1) {
    if (got != expected) break;
    expected++;
  }
  CHECK(expected == 3010 && feof(file), "the file is right up to line %d", expected);
  CHECK(fclose(file) == 0 && unlink(path) == 0, "cannot close");

  for (int i = 0; i < BLOCKS; i++) {
    if (blocks[i] == NULL) continue;
    size_t size = 16 + i * 37 % 40000;
    bool same = true;
    for (size_t j = 0; j < size; j++) same &= blocks[i][j] == (char)i;
    CHECK(same, "heap block %d differs", i);
    blocks[i] = realloc(blocks[i], size * 2);
    CHECK(blocks[i] != NULL && blocks[i][size - 1] == (char)i, "realloc of block %d", i);
    free(blocks[i]);
  }
  malloc_trim(0);
  for (int round = 0; round < 100; round++) {
    char *fresh = calloc(1, 100000 + round * 4096);
    CHECK(fresh != NULL && is_zero(fresh, 100000 + round * 4096), "calloc gives memory that is not zero, round %d", round);
    memset(fresh, 0xaa, 100000);
    free(fresh);
    if (round % 10 == 9) malloc_trim(0);
  }
  return finish();
}

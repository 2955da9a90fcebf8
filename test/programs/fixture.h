/*
 * What every fixture shares. A fixture sets a thing up, says "ready", waits for the go-file (its first argument), checks
 * that all is as it was, and says "ok". What differs is said in a line each; a kernel that lacks the thing is said too.
 *
 * Output is written with write(2) and nothing is buffered: a fixture must not depend on stdio, which is itself a thing
 * to be checked (see objects/libc-state.c).
 */
#ifndef FIXTURE_H
#define FIXTURE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *go_path;
static _Atomic int differences;

static void say(const char *format, ...) {
  char line[4096];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (length > (int)sizeof line - 2) length = sizeof line - 2;
  if (write(1, line, length) != length) _exit(3);
}

/* Something is not as it was: the fixture goes on, so that one run tells everything that differs. */
#define CHECK(condition, ...)        \
  do {                               \
    if (!(condition)) {              \
      char what_[3072];              \
      int errno_ = errno;            \
      snprintf(what_, sizeof what_, __VA_ARGS__); \
      differences++;                 \
      say("differs: %s (line %d, errno %d)\n", what_, __LINE__, errno_); \
    }                                \
  } while (0)

/* The fixture itself cannot go on: not a finding about a checkpoint unless it comes after "ready". */
#define MUST(condition)              \
  do {                               \
    if (!(condition)) {              \
      say("broken: %s (line %d, %s)\n", #condition, __LINE__, strerror(errno)); \
      _exit(2);                      \
    }                                \
  } while (0)

static void skip(const char *reason) {
  say("%s\n", reason);
  _exit(77);
}

static void begin(int argc, char **argv) {
  if (argc < 2) {
    say("broken: the go-file's path is missing\n");
    _exit(2);
  }
  go_path = argv[1];
}

static void ready(void) { say("ready\n"); }

static bool is_go(void) { return access(go_path, F_OK) == 0; }

/* A signal may shorten one nap, that is all. */
static void nap(long microseconds) {
  struct timespec pause = {microseconds / 1000000, microseconds % 1000000 * 1000};
  nanosleep(&pause, NULL);
}

static void await_go(void) {
  while (!is_go()) nap(2000);
}

static int finish(void) {
  if (differences > 0) return 1;
  say("ok\n");
  return 0;
}

static int64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* A child's verdict is its exit status: it has said what differs itself. */
static void child_ends(void) { _exit(differences > 0 ? 1 : 0); }

static void expect_child(pid_t pid, const char *who) {
  int status = -1;
  pid_t got;
  do got = waitpid(pid, &status, __WALL);
  while (got == -1 && errno == EINTR);
  CHECK(got == pid, "waitpid for %s gives %d, not %d", who, got, pid);
  CHECK(status == 0, "%s ended with wait status %#x", who, status);
}

/* Reads exactly `length` bytes; -1 when they do not come. */
static int read_fully(int fd, void *buffer, size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t got = read(fd, (char *)buffer + done, length - done);
    if (got == -1 && errno == EINTR) continue;
    if (got <= 0) return -1;
    done += got;
  }
  return 0;
}

/* A number from a line "KEY: ..." of a file of /proc; base 16 for masks. */
static uint64_t proc_number(const char *path, const char *key, int base) {
  char text[16384];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd == -1) return (uint64_t)-1;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length < 0) return (uint64_t)-1;
  text[length] = 0;
  char *line = strncmp(text, key, strlen(key)) == 0 ? text : NULL;
  if (line == NULL) {
    char wanted[128];
    snprintf(wanted, sizeof wanted, "\n%s", key);
    line = strstr(text, wanted);
    if (line == NULL) return (uint64_t)-1;
    line++;
  }
  return strtoull(line + strlen(key) + 1, NULL, base);
}

/* Fills memory with a pattern that says where it belongs, and looks whether it still does. */
static void fill(void *memory, size_t length, uint64_t seed) {
  uint64_t *words = memory;
  for (size_t i = 0; i < length / 8; i++) words[i] = seed * 0x9e3779b97f4a7c15ULL + i * 0xbf58476d1ce4e5b9ULL;
}

static bool is_filled(const void *memory, size_t length, uint64_t seed) {
  const uint64_t *words = memory;
  for (size_t i = 0; i < length / 8; i++)
    if (words[i] != seed * 0x9e3779b97f4a7c15ULL + i * 0xbf58476d1ce4e5b9ULL) return false;
  return true;
}

static bool is_zero(const void *memory, size_t length) {
  const unsigned char *bytes = memory;
  for (size_t i = 0; i < length; i++)
    if (bytes[i] != 0) return false;
  return true;
}

/* Whether touching an address faults, and how: the signal, or 0. */
static __thread volatile sig_atomic_t fault_signal;
static __thread void *volatile fault_return;
static void on_fault_(int signal, siginfo_t *info, void *context);
#include <setjmp.h>
static __thread sigjmp_buf fault_jump_;
static void on_fault_(int signal, siginfo_t *info, void *context) {
  fault_signal = signal;
  siglongjmp(fault_jump_, 1);
}

static int fault_of(volatile char *address, bool writing) {
  struct sigaction action = {.sa_sigaction = on_fault_, .sa_flags = SA_SIGINFO}, old_segv, old_bus;
  sigaction(SIGSEGV, &action, &old_segv);
  sigaction(SIGBUS, &action, &old_bus);
  fault_signal = 0;
  if (sigsetjmp(fault_jump_, 1) == 0) {
    char byte = *address;
    if (writing) *address = byte;
  }
  sigaction(SIGSEGV, &old_segv, NULL);
  sigaction(SIGBUS, &old_bus, NULL);
  return fault_signal;
}

/* The VmFlags line of the mapping that holds `address`; an empty text when there is none. */
static void vm_flags(const void *address, char *flags, size_t size) {
  flags[0] = 0;
  FILE *file = fopen("/proc/self/smaps", "re");
  if (file == NULL) return;
  char line[8192];
  bool inside = false;
  while (fgets(line, sizeof line, file) != NULL) {
    unsigned long start, end;
    char permissions[8];
    if (sscanf(line, "%lx-%lx %7s", &start, &end, permissions) == 3) inside = start <= (unsigned long)address && (unsigned long)address < end;
    else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
      snprintf(flags, size, "%s", line + 8);
      break;
    }
  }
  fclose(file);
}

static bool has_vm_flag(const void *address, const char *flag) {
  char flags[256], wanted[8];
  vm_flags(address, flags, sizeof flags);
  snprintf(wanted, sizeof wanted, " %s ", flag);
  return strstr(flags, wanted) != NULL;
}
#endif

/*
 * Holds one thing that may not be saved, on descriptor 42 where it is one; says "ready", waits for the go-file, and says
 * "ok" if the thing still works. Arguments: the go-file, the kind.
 */
#include "fixture.h"
#include <arpa/inet.h>
#include <asm/ldt.h>
#include <linux/aio_abi.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>

enum { HELD = 42, PAGE = 4096 };

static int hold(int fd) {
  if (fd == -1) skip("this machine or user does not have it");
  MUST(dup2(fd, HELD) == HELD);
  close(fd);
  return HELD;
}

static char *memory;
static pid_t helper;
static int helper_pipe[2];

/* A UDP socket that takes only what a program of the kernel lets through: everything. */
static int filtered_socket(void) {
  struct sock_filter all = {BPF_RET | BPF_K, 0, 0, 0xffffffff};
  struct sock_fprog program = {1, &all};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  MUST(fd != -1 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
  return fd;
}

/* A ring on which a poll of an empty pipe waits. */
static volatile uint32_t *ring_answers;

static void wait_on_ring(void) {
  struct io_uring_params parameters = {0};
  hold(syscall(SYS_io_uring_setup, 4, &parameters));
  char *rings = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, HELD, IORING_OFF_SQ_RING);
  struct io_uring_sqe *request = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, HELD, IORING_OFF_SQES);
  MUST(rings != MAP_FAILED && request != MAP_FAILED && pipe(helper_pipe) == 0);
  request->opcode = IORING_OP_POLL_ADD;
  request->fd = helper_pipe[0];
  request->poll32_events = 1; /* POLLIN */
  *(volatile uint32_t *)(rings + parameters.sq_off.tail) = 1;
  ring_answers = (volatile uint32_t *)(rings + parameters.cq_off.tail);
  MUST(syscall(SYS_io_uring_enter, HELD, 1, 0, 0, NULL, 0) == 1 && *ring_answers == 0);
}

/* Something registered with a ring: `operation` of io_uring_register(2). */
static void register_with_ring(unsigned operation, void *argument) {
  struct io_uring_params parameters = {0};
  hold(syscall(SYS_io_uring_setup, 4, &parameters));
  if (syscall(SYS_io_uring_register, HELD, operation, argument, 1) < 0) skip("this kernel has no such registration");
}

#define IS(name) (strcmp(kind, name) == 0)

/* A thread, or a process that clone(2) made to share something, which waits until it is told to end. */
static _Atomic int helper_is_set_up, helper_may_end;
static pthread_t helper_thread;

static void *be_a_thread(void *kind) {
  struct sock_filter instructions[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {1, instructions};
  if (IS("thread-directory")) MUST(unshare(CLONE_FS) == 0 && chdir("/usr") == 0);
  else if (IS("thread-descriptors")) MUST(unshare(CLONE_FILES) == 0);
  else if (IS("thread-namespace")) {
    /* A user namespace would help an ordinary user, but not one thread of several. */
    if (unshare(CLONE_NEWNET) != 0) skip(geteuid() != 0 ? "needs root" : "this user may not make namespaces");
  } else if (IS("thread-seccomp-strict")) {
    char byte;
    MUST(pipe(helper_pipe) == 0);
    helper = gettid();
    helper_is_set_up = 1;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) skip("no seccomp on this machine");
    syscall(SYS_exit, read(helper_pipe[0], &byte, 1) != 1);
  } else {
    struct sock_filter with[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IS("thread-seccomp-munmap") ? SYS_munmap : IS("thread-seccomp-fatal") ? SYS_sigaltstack : SYS_getpriority, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, IS("thread-seccomp-listener") ? SECCOMP_RET_USER_NOTIF : IS("thread-seccomp-fatal") ? SECCOMP_RET_KILL_THREAD : SECCOMP_RET_ERRNO),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    if (!IS("thread-seccomp")) program = (struct sock_fprog){4, with};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
  }
  helper_is_set_up = 1;
  while (!helper_may_end) nap(2000);
  char directory[1024];
  if (IS("thread-directory")) CHECK(getcwd(directory, sizeof directory) != NULL && strcmp(directory, "/usr") == 0, "the thread's directory is %s", directory);
  if (IS("thread-seccomp")) CHECK(prctl(PR_GET_SECCOMP) == 2, "the thread's filter is gone");
  return NULL;
}

static int be_a_sharer(void *kind) {
  char byte;
  if (read(helper_pipe[0], &byte, 1) != 1) _exit(6);
  if (IS("shared-memory")) helper_is_set_up = 2;
  if (IS("shared-descriptors")) dup2(helper_pipe[0], HELD);
  if (IS("shared-directory") && chdir("/usr") != 0) _exit(7);
  _exit(5);
}

static void start_sharer(const char *kind, int flags) {
  static char stack[65536] __attribute__((aligned(16)));
  MUST(pipe(helper_pipe) == 0);
  helper = clone(be_a_sharer, stack + sizeof stack, flags | SIGCHLD, (void *)kind);
  MUST(helper != -1);
}

/* A thread whose system calls are turned into SIGSYS while `dispatch` says so; it makes none meanwhile. */
static volatile char dispatch;
static volatile bool is_dispatching, is_over;
static pthread_t dispatcher;

static void *dispatch_calls(void *unused) {
  (void)unused;
  if (prctl(59, 1, 0UL, 0UL, &dispatch) != 0) skip("this kernel has no syscall user dispatch"); /* PR_SET_SYSCALL_USER_DISPATCH */
  dispatch = 1;
  is_dispatching = true;
  while (!is_over) __builtin_ia32_pause();
  dispatch = 0;
  return NULL;
}

static void set_up(const char *kind) {
  int fd;
  if (IS("filtered-socket")) hold(filtered_socket());
  else if (IS("message-queue-notify")) {
    char name[64];
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 7};
    snprintf(name, sizeof name, "/cairn-test-%d", getpid());
    signal(SIGUSR1, SIG_IGN);
    fd = mq_open(name, O_RDWR | O_CREAT, 0600, NULL);
    if (fd != -1) mq_unlink(name);
    hold(fd);
    MUST(mq_notify(HELD, &event) == 0);
  }
  else if (IS("packet-socket")) hold(socket(AF_PACKET, SOCK_RAW, 0));
  else if (IS("raw-socket")) hold(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  else if (IS("message-queue")) {
    char name[64];
    snprintf(name, sizeof name, "/cairn-test-%d", getpid());
    struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 32};
    fd = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
    if (fd != -1) mq_unlink(name);
    hold(fd);
    MUST(mq_send(HELD, "message", 7, 3) == 0);
  } else if (IS("io-uring")) {
    /* Idle rings are carried over, but not one that a thread of the kernel watches. */
    struct io_uring_params parameters = {.flags = IORING_SETUP_SQPOLL};
    hold(syscall(SYS_io_uring_setup, 4, &parameters));
  } else if (IS("io-uring-waiting")) wait_on_ring();
  else if (IS("io-uring-files")) register_with_ring(IORING_REGISTER_FILES, (int[]){1});
  else if (IS("io-uring-eventfd")) register_with_ring(IORING_REGISTER_EVENTFD, (int[]){eventfd(0, 0)});
  else if (IS("io-uring-thread")) register_with_ring(20, &(struct io_uring_rsrc_update){.offset = -1U, .data = HELD}); /* IORING_REGISTER_RING_FDS */
  else if (IS("other-name")) {
    fd = open("first", O_RDWR | O_CREAT | O_TRUNC, 0600);
    MUST((mkdir("apart", 0700) == 0 || errno == EEXIST) && (unlink("apart/second") == 0 || errno == ENOENT));
    MUST(fd != -1 && link("first", "apart/second") == 0 && unlink("first") == 0);
    hold(fd);
  } else if (IS("huge-memfd")) hold(memfd_create("huge", MFD_HUGETLB));
  else if (IS("ended-process")) {
    char path[64];
    MUST(pipe(helper_pipe) == 0);
    helper = fork();
    if (helper == 0) _exit(read(helper_pipe[0], &fd, 1) == 1 ? 0 : 1);
    snprintf(path, sizeof path, "/proc/%d/stat", helper);
    hold(open(path, O_RDONLY));
    MUST(write(helper_pipe[1], "x", 1) == 1 && waitpid(helper, &fd, 0) == helper);
  } else if (IS("aio")) {
    static aio_context_t context;
    if (syscall(SYS_io_setup, 4, &context) != 0) skip("no asynchronous I/O on this machine");
    memory = (char *)context;
  } else if (IS("inotify-removed")) {
    helper = open("removed", O_CREAT | O_WRONLY, 0600);
    hold(inotify_init());
    MUST(helper != -1 && inotify_add_watch(HELD, "removed", IN_MODIFY) == 1 && unlink("removed") == 0);
  } else if (IS("fanotify")) hold(fanotify_init(FAN_CLASS_CONTENT, O_RDONLY));
  else if (IS("userfaultfd")) hold(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
  else if (IS("perf-event")) {
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attributes, .config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1};
    hold(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
  } else if (IS("bpf-map")) {
    union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 4};
    hold(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
  } else if (IS("lease-breaking")) {
    signal(SIGIO, SIG_IGN);
    close(open("leased", O_CREAT | O_WRONLY, 0600));
    hold(open("leased", O_RDONLY));
    if (fcntl(HELD, F_SETLEASE, F_RDLCK) != 0) skip("no leases on this file system");
    helper = fork();
    if (helper == 0) _exit(open("leased", O_WRONLY) == -1);
    while (fcntl(HELD, F_GETLEASE) == F_RDLCK) nap(1000);
  } else if (IS("pidfd-outside")) {
    hold(syscall(SYS_pidfd_open, getppid(), 0));
  } else if (IS("seccomp-filter")) {
    struct sock_filter instructions[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {1, instructions};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) skip("no seccomp on this machine");
  } else if (IS("syscall-dispatch")) {
    struct utsname system;
    int major = 0, minor = 0;
    MUST(uname(&system) == 0 && sscanf(system.release, "%d.%d", &major, &minor) == 2);
    if (major < 6 || (major == 6 && minor < 4)) skip("this kernel does not tell of syscall user dispatch");
    MUST(pthread_create(&dispatcher, NULL, dispatch_calls, NULL) == 0);
    while (!is_dispatching) nap(1000);
  } else if (IS("tracer")) {
    MUST(pipe(helper_pipe) == 0);
    helper = fork();
    if (helper == 0) _exit(read(helper_pipe[0], &fd, 1) == 1 ? 5 : 6);
    if (ptrace(PTRACE_SEIZE, helper, 0, 0) != 0) skip("this user may not trace");
  } else if (IS("secret-memory") || IS("secret-memory-mapped")) {
    hold(syscall(447, 0)); /* memfd_secret */
    MUST(ftruncate(HELD, PAGE) == 0);
    memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, HELD, 0);
    MUST(memory != MAP_FAILED);
    fill(memory, PAGE, 1);
    if (IS("secret-memory-mapped")) close(HELD);
  } else if (IS("protection-key")) {
    int key = pkey_alloc(0, 0);
    if (key == -1) skip("no protection keys on this machine");
    memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(pkey_mprotect(memory, PAGE, PROT_READ | PROT_WRITE, key) == 0);
    fill(memory, PAGE, 1);
    MUST(pkey_set(key, PKEY_DISABLE_WRITE) == 0);
  } else if (IS("sealed-memory")) {
    memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fill(memory, PAGE, 1);
    if (syscall(462, memory, PAGE, 0) != 0) skip("no mseal on this machine");
  } else if (IS("guard-region")) {
    memory = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fill(memory, PAGE, 1);
    if (madvise(memory + PAGE, PAGE, 102) != 0) skip("no guard regions on this machine"); /* MADV_GUARD_INSTALL */
  } else if (IS("mount-namespace")) {
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) skip("this user may not make namespaces");
  } else if (IS("network-namespace")) {
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) skip("this user may not make namespaces");
  } else if (IS("address-space-limit") || IS("data-limit")) {
    /* As little as a process can have: all that is mapped is allowed, and not a page more. */
    struct rlimit limit = {1, 1};
    MUST(setrlimit(IS("data-limit") ? RLIMIT_DATA : RLIMIT_AS, &limit) == 0);
  } else if (IS("pid-namespace-of-children")) {
    if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) skip("this user may not make namespaces");
  } else if (IS("time-namespace-of-children")) {
    enum { NEWTIME = 0x80 };
    if (unshare(NEWTIME) != 0 && unshare(CLONE_NEWUSER | NEWTIME) != 0) skip("this user may not make namespaces");
  } else if (IS("local-descriptors")) {
    struct user_desc segment = {.entry_number = 5, .base_addr = PAGE, .limit = PAGE - 1, .seg_32bit = 1, .useable = 1};
    if (syscall(SYS_modify_ldt, 1, &segment, sizeof segment) != 0) skip("no local descriptor table on this machine");
  } else if (strncmp(kind, "thread-", 7) == 0) {
    MUST(pthread_create(&helper_thread, NULL, be_a_thread, (void *)kind) == 0);
    while (!helper_is_set_up) nap(1000);
    /* In strict mode it can't say so itself. */
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/status", helper);
    while (IS("thread-seccomp-strict") && proc_number(path, "Seccomp:", 10) != 1) nap(1000);
  } else if (IS("shared-memory")) start_sharer(kind, CLONE_VM);
  else if (IS("shared-signal-actions")) start_sharer(kind, CLONE_VM | CLONE_SIGHAND);
  else if (IS("shared-descriptors")) start_sharer(kind, CLONE_FILES);
  else if (IS("shared-directory")) start_sharer(kind, CLONE_FS);
  else if (IS("semaphore-undo")) {
    int id = semget(IPC_PRIVATE, 1, 0600);
    if (id == -1) skip("no System V semaphores on this machine");
    struct sembuf up = {0, 1, SEM_UNDO};
    MUST(semop(id, &up, 1) == 0);
    helper = id;
  } else {
    say("broken: no such kind: %s\n", kind);
    _exit(2);
  }
}

static void look(const char *kind) {
  char text[64] = {0};
  int status = 0;
  if (IS("filtered-socket")) {
    CHECK(setsockopt(HELD, SOL_SOCKET, SO_DETACH_FILTER, &status, sizeof status) == 0, "the filter is gone");
  } else if (IS("message-queue")) {
    CHECK(mq_receive(HELD, text, 64, NULL) == 7 && strcmp(text, "message") == 0, "the message is lost");
  } else if (IS("inotify-removed")) {
    MUST(write(helper, "x", 1) == 1);
    CHECK(read(HELD, text, sizeof text) > 0, "the watch is blind");
  } else if (IS("lease-breaking")) {
    fcntl(HELD, F_SETLEASE, F_UNLCK);
    expect_child(helper, "the helper");
  } else if (IS("tracer")) {
    CHECK(ptrace(PTRACE_INTERRUPT, helper, 0, 0) == 0 && waitpid(helper, &status, 0) == helper && WIFSTOPPED(status), "the child is not traced any more");
    CHECK(ptrace(PTRACE_DETACH, helper, 0, 0) == 0, "the child cannot be let go");
    MUST(write(helper_pipe[1], "x", 1) == 1);
    CHECK(waitpid(helper, &status, 0) == helper && WEXITSTATUS(status) == 5, "the child ended with %#x", status);
  } else if (IS("seccomp-filter")) {
    CHECK(prctl(PR_GET_SECCOMP) == 2, "the filter is gone");
  } else if (IS("syscall-dispatch")) {
    is_over = true;
    MUST(pthread_join(dispatcher, NULL) == 0);
  } else if (IS("sealed-memory")) {
    CHECK(munmap(memory, PAGE) == -1 && errno == EPERM && is_filled(memory, PAGE, 1), "the seal is broken");
  } else if (IS("guard-region")) {
    CHECK(fault_of(memory + PAGE, false) == SIGSEGV && is_filled(memory, PAGE, 1) && fault_of(memory + 2 * PAGE, true) == 0, "the guard is gone");
  } else if (IS("protection-key")) {
    CHECK(is_filled(memory, PAGE, 1) && fault_of(memory, true) == SIGSEGV, "the key does not protect");
  } else if (strncmp(kind, "thread-", 7) == 0) {
    helper_may_end = 1;
    if (IS("thread-seccomp-strict")) MUST(write(helper_pipe[1], "x", 1) == 1);
    pthread_join(helper_thread, NULL);
  } else if (strncmp(kind, "shared-", 7) == 0) {
    MUST(write(helper_pipe[1], "x", 1) == 1);
    CHECK(waitpid(helper, &status, 0) == helper && WEXITSTATUS(status) == 5, "the child ended with %#x", status);
    if (IS("shared-memory")) CHECK(helper_is_set_up == 2, "the memory is no longer shared");
    if (IS("shared-descriptors")) CHECK(fcntl(HELD, F_GETFD) != -1, "the descriptors are no longer shared");
    if (IS("shared-directory")) CHECK(getcwd(text, sizeof text) != NULL && strcmp(text, "/usr") == 0, "the directory is no longer shared: %s", text);
  } else if (IS("local-descriptors")) {
    uint64_t table[8] = {0};
    CHECK(syscall(SYS_modify_ldt, 0, table, sizeof table) == sizeof table && table[5] != 0, "the segment is gone");
  } else if (IS("semaphore-undo")) {
    CHECK(semctl(helper, 0, GETVAL) == 1, "the semaphore is %d", semctl(helper, 0, GETVAL));
    semctl(helper, 0, IPC_RMID);
  } else if (IS("io-uring-waiting")) {
    MUST(write(helper_pipe[1], "x", 1) == 1);
    CHECK(syscall(SYS_io_uring_enter, HELD, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 0 && *ring_answers == 1, "the poll does not end");
  } else if (IS("aio")) {
    struct timespec at_once = {0, 0};
    CHECK(syscall(SYS_io_getevents, (aio_context_t)memory, 0, 1, NULL, &at_once) == 0, "the context is gone");
  } else if (memory != NULL) {
    CHECK(is_filled(memory, PAGE, 1), "the memory differs");
  } else {
    CHECK(fcntl(HELD, F_GETFD) != -1 || strstr(kind, "namespace") != NULL || strstr(kind, "-limit") != NULL, "the descriptor is gone");
  }
}

int main(int argc, char **argv) {
  begin(argc, argv);
  if (argc < 3) return 2;
  /* A second process of the tree: it is to run on as well. */
  _Atomic long *ticks = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t child = fork();
  MUST(child != -1);
  if (child == 0)
    for (;;) {
      (*ticks)++;
      if (is_go()) _exit(0);
      nap(2000);
    }
  while (*ticks == 0) nap(1000);
  set_up(argv[2]);
  ready();
  await_go();
  look(argv[2]);
  expect_child(child, "the child");
  return finish();
}

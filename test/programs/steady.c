/*
 * A job that notices every harm: three processes of three threads pass a token around through pipes, compute the same
 * sums over and over, wake one another, count signals that carry numbers, and write a log. A line "alive N" appears each
 * time that every one of them has gone on since the line before; at the go-file they end and the totals are checked.
 *
 * Nothing here allocates after the start, so that the address space stays as it is.
 */
#include "fixture.h"
#include <sys/time.h>

enum { PROCESSES = 3, COUNTERS = 5, BALLAST = 2 << 20 };

struct shared {
  _Atomic long counters[PROCESSES][COUNTERS];
  _Atomic int harmed, stopping, ready_count;
  _Atomic long signals_sent[PROCESSES];
};

static struct shared *all;
static int self;
static int ring[PROCESSES][2];
static pid_t pids[PROCESSES];
static char *ballast;
static _Atomic long signals_seen;
static volatile sig_atomic_t ticks;

static void harm(const char *what, long seen, long wanted) {
  all->harmed = 1;
  say("differs: process %d: %s: %ld, not %ld (errno %d)\n", self, what, seen, wanted, errno);
}

static void on_numbered(int signal, siginfo_t *info, void *context) {
  long wanted = signals_seen++;
  if (info->si_value.sival_int == (int)wanted) return;
  harm("a numbered signal", info->si_value.sival_int, wanted);
  /* One that is lost is told once. */
  signals_seen = info->si_value.sival_int + 1;
}
static void on_tick(int signal) { ticks++; }

/* The token carries the number of hops; each process knows which numbers it may see. */
static void *pass_token(void *unused) {
  long token, wanted = self == 0 ? PROCESSES : self;
  int from = ring[self][0], to = ring[(self + 1) % PROCESSES][1];
  if (self == 0) {
    token = 1;
    if (write(to, &token, sizeof token) != sizeof token) harm("the first token", -1, 8);
  }
  for (;;) {
    ssize_t got = read(from, &token, sizeof token);
    if (got != sizeof token) {
      harm("read of the token", got, sizeof token);
      return NULL;
    }
    if (token < 0) break;
    if (token != wanted) harm("the token", token, wanted);
    wanted = token + PROCESSES;
    token++;
    all->counters[self][0]++;
    if (self == 0 && all->stopping) token = -1;
    if (self == 0) nap(300);
    if (write(to, &token, sizeof token) != sizeof token) harm("write of the token", -1, 8);
    if (token < 0) {
      /* Process 0 waits until the end has gone all the way round. */
      if (read(from, &token, sizeof token) != sizeof token || token != -1) harm("the last token", token, -1);
      return NULL;
    }
  }
  if (write(to, &token, sizeof token) != sizeof token) harm("write of the last token", -1, 8);
  return NULL;
}

__attribute__((target_clones("avx512f", "avx2", "default"))) static double sum_of(const double *values, int count) {
  double sum = 0;
  for (int i = 0; i < count; i++) sum += values[i] * 1.0009765625;
  return sum;
}

static void *compute(void *unused) {
  static double values[20000];
  for (int i = 0; i < 20000; i++) values[i] = (i * 7 + self) % 1000;
  double first = sum_of(values, 20000);
  long slice = 0;
  while (!all->stopping) {
    for (int i = 0; i < 20; i++) {
      double again = sum_of(values, 20000);
      if (memcmp(&again, &first, sizeof again) != 0) harm("a sum", (long)again, (long)first);
    }
    /* A piece of the ballast each time: memory must stay what it is. */
    char *piece = ballast + slice++ % (BALLAST / 65536) * 65536;
    if (!is_filled(piece, 65536, self * 1000 + (piece - ballast) / 65536)) harm("memory at a slice", slice, 0);
    all->counters[self][1]++;
    nap(500);
  }
  return NULL;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static bool ball;
static bool last_ball;
static void *play(void *unused) {
  for (;;) {
    pthread_mutex_lock(&mutex);
    while (!ball) {
      int error = pthread_cond_wait(&condition, &mutex);
      if (error != 0) harm("pthread_cond_wait", error, 0);
    }
    ball = false;
    bool is_last = last_ball;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
    all->counters[self][2]++;
    if (is_last) return NULL;
  }
}

static void serve(bool last) {
  pthread_mutex_lock(&mutex);
  ball = true;
  last_ball = last;
  pthread_cond_signal(&condition);
  while (ball) pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
}

static int live(void) {
  struct sigaction numbered = {.sa_sigaction = on_numbered, .sa_flags = SA_SIGINFO | SA_RESTART}, tick = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
  sigaction(SIGRTMIN + 1, &numbered, NULL);
  sigaction(SIGALRM, &tick, NULL);
  for (int i = 0; i < BALLAST / 65536; i++) fill(ballast + i * 65536, 65536, self * 1000 + i);
  struct itimerval interval = {{0, 7000}, {0, 7000}};
  setitimer(ITIMER_REAL, &interval, NULL);
  /* Numbered signals are for the first thread alone: two threads would take them in any order. */
  sigset_t numbers;
  sigemptyset(&numbers);
  sigaddset(&numbers, SIGRTMIN + 1);
  pthread_t threads[3];
  pthread_sigmask(SIG_BLOCK, &numbers, NULL);
  pthread_create(&threads[0], NULL, pass_token, NULL);
  pthread_create(&threads[1], NULL, compute, NULL);
  pthread_create(&threads[2], NULL, play, NULL);
  pthread_sigmask(SIG_UNBLOCK, &numbers, NULL);
  all->ready_count++;
  long alive = 0, last[PROCESSES][COUNTERS] = {0};
  int last_ticks = 0;
  while (!all->stopping) {
    serve(false);
    /* Each process numbers the signals that it sends to the next one. */
    int next = (self + 1) % PROCESSES;
    union sigval value = {.sival_int = (int)all->signals_sent[self]};
    if (pids[next] != 0 && sigqueue(pids[next], SIGRTMIN + 1, value) == 0) all->signals_sent[self]++;
    all->counters[self][3] = signals_seen;
    if (ticks != last_ticks) {
      all->counters[self][4]++;
      last_ticks = ticks;
    }
    nap(1000);
    if (self != 0) continue;
    bool everybody = all->ready_count == PROCESSES;
    for (int i = 0; i < PROCESSES; i++)
      for (int j = 0; j < COUNTERS; j++) everybody &= all->counters[i][j] > last[i][j];
    if (everybody) {
      for (int i = 0; i < PROCESSES; i++)
        for (int j = 0; j < COUNTERS; j++) last[i][j] = all->counters[i][j];
      if (alive == 0) ready();
      say("alive %ld\n", alive++);
    }
    if (is_go()) all->stopping = 1;
  }
  pthread_join(threads[0], NULL);
  pthread_join(threads[1], NULL);
  serve(true);
  pthread_join(threads[2], NULL);
  return 0;
}

int main(int argc, char **argv) {
  begin(argc, argv);
  all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ballast = mmap(NULL, BALLAST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MUST(all != MAP_FAILED && ballast != MAP_FAILED);
  for (int i = 0; i < PROCESSES; i++) MUST(pipe(ring[i]) == 0);
  pids[0] = getpid();
  /* The last one first: each knows the pid of the one that it signals, and the signals are blocked until it is ready. */
  sigset_t numbered;
  sigemptyset(&numbered);
  sigaddset(&numbered, SIGRTMIN + 1);
  sigprocmask(SIG_BLOCK, &numbered, NULL);
  for (int i = PROCESSES - 1; i > 0; i--) {
    pids[i] = fork();
    MUST(pids[i] != -1);
    if (pids[i] == 0) {
      pids[i] = getpid();
      self = i;
      struct sigaction action = {.sa_sigaction = on_numbered, .sa_flags = SA_SIGINFO | SA_RESTART};
      sigaction(SIGRTMIN + 1, &action, NULL);
      sigprocmask(SIG_UNBLOCK, &numbered, NULL);
      live();
      while (all->stopping < 2) nap(1000);
      long wanted = all->signals_sent[i - 1];
      if (signals_seen != wanted) harm("signals seen", signals_seen, wanted);
      _exit(0);
    }
  }
  struct sigaction action = {.sa_sigaction = on_numbered, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGRTMIN + 1, &action, NULL);
  sigprocmask(SIG_UNBLOCK, &numbered, NULL);
  live();
  all->stopping = 2;
  for (int i = 1; i < PROCESSES; i++) expect_child(pids[i], "a process of the ring");
  long wanted = all->signals_sent[PROCESSES - 1];
  if (signals_seen != wanted) harm("signals seen", signals_seen, wanted);
  CHECK(!all->harmed, "something was harmed");
  return finish();
}

/* SPDX-License-Identifier: MIT */
/* Processes that use a dictionary are killed at any time: nothing is half done,
   nothing is lost but what they were doing, and nobody waits for them.
   FCGI_SHARED_KILLS and FCGI_SHARED_INCREMENTS make the runs longer; `./dev
   soak shared` does so. */
#include "shared/visit.h"
#include "support/sound.h"
#include "support/unit.h"

#include "os/clock.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  WORKERS = 4,
  THREADS = 4,
  KEYS = 40,
  LONGEST = 60000,   /* Bytes of a value: writing it takes some time. */
  PAUSE_US = 100000, /* Between two kills of those that count. */
  PROMPT_MS = 5000   /* Far more than it takes to notice a dead owner. */
};

/* What a thread has done, for whoever kills it. */
typedef struct deed {
  _Atomic uint64_t begun; /* Increments. */
  _Atomic uint64_t done;  /* Those that have returned. */
} deed;

typedef struct scene {
  deed deeds[WORKERS][THREADS]; /* Of the present workers. */
  _Atomic int over;             /* 1: stop. */
  uint64_t done;                /* Increments of all that were, */
  uint64_t in_flight;           /* and those that may have been lost. */
} scene;

static unsigned long setting(const char *name, unsigned long standard) {
  const char *text = getenv(name);
  return text ? strtoul(text, NULL, 10) : standard;
}

static scene *new_scene(void) {
  scene *made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(made != MAP_FAILED);
  return made;
}

static void sleep_us(long us) {
  const struct timespec length = {us / 1000000, us % 1000000 * 1000};
  nanosleep(&length, NULL);
}

static uint32_t next_random(uint32_t *random) {
  *random = *random * 1664525 + 1013904223;
  return *random >> 8;
}

static void expect_sound(fcgi_shared *d) {
  fcgi__visit v;
  const char *why;
  long long began = fcgi__now();
  assert_int_equal(fcgi__visit_begin(&v, d), 0);
  assert_in_range(fcgi__now() - began, 0, PROMPT_MS);
  why = unit_unsound(d);
  assert_int_equal(fcgi__visit_end(&v, 0), 0);
  if (why)
    fail_msg("%s", why);
}

static void kill_one(pid_t pid) {
  int status;
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static uint64_t counted(fcgi_shared *d, fcgi_shared_count which) {
  uint64_t all[FCGI_SHARED_COUNTS];
  assert_int_equal(fcgi_shared_counts(d, all, FCGI_SHARED_COUNTS), 0);
  return all[which];
}

/* --- Values that are whole ------------------------------------------------ */

/* A value says what each of its bytes must be. */
static void compose(unsigned char *bytes, size_t len, uint32_t number) {
  uint32_t random = number;
  memcpy(bytes, &number, sizeof number);
  for (size_t i = sizeof number; i < len; i++)
    bytes[i] = (unsigned char)next_random(&random);
}

/* Most of the time is spent inside the dictionary. */
static void write_on(fcgi_shared *d, uint32_t random) {
  unsigned char *bytes = malloc(LONGEST);
  for (unsigned turn = 0;; turn++) {
    char key = (char)('0' + next_random(&random) % KEYS);
    size_t most = turn % 2 ? LONGEST : 200;
    size_t len = 4 + next_random(&random) % (most - 4);
    const fcgi_shared_value value = {
        .kind = FCGI_SHARED_BYTES, .data = bytes, .len = len};
    if (turn % 256 == 0)
      compose(bytes, LONGEST, next_random(&random));
    if (turn % 8 == 7)
      fcgi_shared_delete(d, &key, 1);
    else
      fcgi_shared_set(d, &key, 1, &value);
  }
}

static void expect_whole_values(fcgi_shared *d, unsigned char *bytes,
                                unsigned char *wanted) {
  for (int i = 0; i < KEYS; i++) {
    char key = (char)('0' + i);
    fcgi_shared_value value;
    uint32_t number;
    int found = fcgi_shared_get(d, &key, 1, bytes, LONGEST, &value);
    assert_in_range(found, 0, 1);
    if (!found)
      continue;
    memcpy(&number, bytes, sizeof number);
    compose(wanted, value.len, number);
    assert_memory_equal(bytes, wanted, value.len);
  }
}

static pid_t start_writer(fcgi_shared *d, uint32_t random) {
  pid_t pid = fork();
  if (pid == 0) {
    write_on(d, random);
    _exit(0);
  }
  assert_true(pid > 0);
  return pid;
}

static void test_values_are_whole_after_kills(void **state) {
  unsigned long kills = setting("FCGI_SHARED_KILLS", 100), midway = 0;
  fcgi_shared *d = unit_shared(1 << 20);
  unsigned char *bytes = malloc(LONGEST), *wanted = malloc(LONGEST);
  pid_t writers[2];
  uint32_t random = 1;
  (void)state;
  for (uint32_t i = 0; i < 2; i++)
    writers[i] = start_writer(d, i);
  for (unsigned long i = 0; i < kills; i++) {
    pid_t *writer = &writers[i % 2];
    sleep_us(1000 + next_random(&random) % 3000);
    kill_one(*writer);
    midway += (atomic_load(&d->head->latch.word) & FCGI__OWNER_PID) ==
              (uint64_t)*writer;
    expect_sound(d);
    if (i % 10 == 9)
      expect_whole_values(d, bytes, wanted);
    *writer = start_writer(d, next_random(&random));
  }
  kill_one(writers[0]);
  kill_one(writers[1]);
  expect_sound(d);
  expect_whole_values(d, bytes, wanted);
  print_message("%lu kills, %lu of them inside an operation, %lu undone\n",
                kills, midway,
                (unsigned long)counted(d, FCGI_SHARED_RECOVERED));
  assert_true(midway > kills / 10);
  assert_int_equal(counted(d, FCGI_SHARED_EMPTIED), 0);
  fcgi_shared_free(d);
  free(bytes);
  free(wanted);
}

/* --- Sums that are exact -------------------------------------------------- */

typedef struct counter {
  fcgi_shared *d; /* The dictionary. */
  scene *scene;   /* What all see. */
  deed *deed;     /* What this one has done. */
} counter;

static void *count_on(void *data) {
  const counter *c = data;
  const int64_t zero = 0;
  int64_t sum;
  uint32_t random = (uint32_t)(uintptr_t)c;
  char text[600] = {0};
  while (!atomic_load(&c->scene->over)) {
    atomic_fetch_add(&c->deed->begun, 1);
    if (fcgi_shared_incr(c->d, "sum", 3, 1, &zero, 0, &sum) != 1)
      _exit(1);
    atomic_fetch_add(&c->deed->done, 1);
    if (sum % 8 == 0) {
      uint32_t key = next_random(&random) % 2000;
      const fcgi_shared_value value = {.kind = FCGI_SHARED_BYTES,
                                       .data = text,
                                       .len =
                                           next_random(&random) % sizeof text};
      fcgi_shared_set(c->d, &key, sizeof key, &value);
    }
  }
  return NULL;
}

static pid_t start_counters(fcgi_shared *d, scene *s, int worker) {
  pthread_t threads[THREADS];
  counter counters[THREADS];
  pid_t pid = fork();
  if (pid != 0)
    return pid;
  for (int i = 0; i < THREADS; i++) {
    counters[i] = (counter){d, s, &s->deeds[worker][i]};
    if (pthread_create(&threads[i], NULL, count_on, &counters[i]))
      _exit(1);
  }
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  _exit(0);
}

/* A worker has ended: what it did is done, what it was doing may be. */
static void settle(scene *s, int worker) {
  for (int i = 0; i < THREADS; i++) {
    deed *at = &s->deeds[worker][i];
    uint64_t done = atomic_exchange(&at->done, 0);
    s->done += done;
    s->in_flight += atomic_exchange(&at->begun, 0) - done;
  }
}

static uint64_t sum_of(fcgi_shared *d) {
  fcgi_shared_value value;
  int found = fcgi_shared_get(d, "sum", 3, NULL, 0, &value);
  assert_in_range(found, 0, 1);
  return found ? (uint64_t)value.integer : 0;
}

static void finish(scene *s, const pid_t *workers) {
  atomic_store(&s->over, 1);
  for (int i = 0; i < WORKERS; i++) {
    int status;
    assert_int_equal(waitpid(workers[i], &status, 0), workers[i]);
    assert_int_equal(status, 0);
    settle(s, i);
  }
}

static void test_sums_are_exact_after_kills(void **state) {
  unsigned long wanted = setting("FCGI_SHARED_INCREMENTS", 200000), kills = 0;
  fcgi_shared *d = unit_shared(1 << 18);
  scene *s = new_scene();
  pid_t workers[WORKERS];
  uint32_t random = 7;
  (void)state;
  for (int i = 0; i < WORKERS; i++)
    workers[i] = start_counters(d, s, i);
  for (; sum_of(d) < wanted || kills < 10; kills++) {
    int victim = (int)(next_random(&random) % WORKERS);
    sleep_us(PAUSE_US);
    kill_one(workers[victim]);
    settle(s, victim);
    expect_sound(d);
    workers[victim] = start_counters(d, s, victim);
  }
  finish(s, workers);
  expect_sound(d);
  print_message("sum %lu, counted %lu, in flight %lu, kills %lu, undone %lu\n",
                (unsigned long)sum_of(d), (unsigned long)s->done,
                (unsigned long)s->in_flight, kills,
                (unsigned long)counted(d, FCGI_SHARED_RECOVERED));
  assert_in_range(sum_of(d), s->done, s->done + s->in_flight);
  assert_true(counted(d, FCGI_SHARED_EVICTED) > 0);
  assert_int_equal(counted(d, FCGI_SHARED_EMPTIED), 0);
  munmap(s, sizeof *s);
  fcgi_shared_free(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_values_are_whole_after_kills),
      cmocka_unit_test(test_sums_are_exact_after_kills),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

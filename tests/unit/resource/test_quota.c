/* SPDX-License-Identifier: MIT */
/* What all workers may have open together: the slots of a table, whose time is
   a number that the test chooses. */
#include "resource/quota.h"
#include "support/keeping.h"
#include "support/unit.h"

#include <fastcgi/error.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  START = 1000000,
  LATER = START + FCGI__QUOTA_TENURE_MS, /* What began then may be asked. */
  PROCESSES = 4,
  ROUNDS = 5000
};

static int table_fd = -1;

static fcgi__quota *open_quota(const char *name, unsigned limit, int is_split) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  fcgi__quota *quota;
  assert_int_equal(fcgi__quota_open(&quota, name, limit, is_split, &allocator),
                   0);
  return quota;
}

static void announce(int fd) {
  char text[64];
  snprintf(text, sizeof text, "%ld:%d", (long)getpid(), fd);
  setenv(FCGI__QUOTA_VARIABLE, text, 1);
}

static int set_up(void **state) {
  (void)state;
  table_fd = fcgi__quota_make();
  assert_true(table_fd >= 0);
  announce(table_fd);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  unsetenv(FCGI__QUOTA_VARIABLE);
  close(table_fd);
  return 0;
}

static unsigned take(fcgi__quota *quota, long long now) {
  return fcgi__quota_take(quota, 1, now);
}

static fcgi_resource_stats count(fcgi__quota *quota) {
  fcgi_resource_stats stats = {.size = sizeof stats};
  fcgi__quota_count(quota, START, &stats);
  return stats;
}

/* --- Slots ---------------------------------------------------------------- */

static void test_no_more_than_the_limit(void **state) {
  fcgi__quota *a = open_quota("db", 3, 0), *b = open_quota("db", 3, 0);
  fcgi__quota *other = open_quota("other", 1, 0);
  (void)state;
  assert_int_equal(take(a, START), 1);
  assert_int_equal(take(b, START), 2);
  assert_int_equal(take(a, START), 3);
  assert_int_equal(fcgi__quota_take(b, 0, START), 0);
  assert_int_equal(take(other, START), 1);
  assert_int_equal(count(a).total, 3);
  assert_int_equal(count(b).limit_total, 3);
  fcgi__quota_give(a, 1);
  assert_int_equal(count(b).total, 2);
  assert_int_equal(take(b, START), 1);
  fcgi__quota_close(a);
  fcgi__quota_close(b);
  fcgi__quota_close(other);
}

static void test_the_longest_idle_gives_way(void **state) {
  fcgi__quota *a = open_quota("db", 3, 0), *b = open_quota("db", 3, 0),
              *c = open_quota("db", 3, 0);
  (void)state;
  for (unsigned i = 1; i <= 3; i++)
    assert_int_equal(take(a, START), i);
  fcgi__quota_rest(a, 3, START + 10);
  fcgi__quota_rest(a, 2, START + 20);
  assert_int_equal(take(b, LATER), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 1, LATER), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 2, LATER), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 3, LATER), 1);
  assert_int_equal(take(c, LATER), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 2, LATER), 1);
  fcgi__quota_give(a, 3);
  assert_int_equal(take(c, LATER), 0); /* It is for whoever has asked. */
  assert_int_equal(take(a, LATER), 0);
  assert_int_equal(take(b, LATER), 3);
  assert_int_equal(fcgi__quota_is_asked(b, 3, LATER), 0);
  fcgi__quota_close(a);
  fcgi__quota_close(b);
  fcgi__quota_close(c);
}

static void test_what_is_in_use_is_asked_last(void **state) {
  fcgi__quota *a = open_quota("db", 3, 0), *b = open_quota("db", 3, 0);
  (void)state;
  assert_int_equal(take(a, START + 200), 1);
  assert_int_equal(take(a, START + 100), 2);
  assert_int_equal(take(a, START + LATER), 3);
  fcgi__quota_rest(a, 3, START + LATER);
  fcgi__quota_use(a, 3);
  assert_int_equal(take(b, START + LATER), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 2, START + LATER), 1);
  fcgi__quota_close(a);
  fcgi__quota_close(b);
}

static void test_what_was_just_opened_stays(void **state) {
  fcgi__quota *a = open_quota("db", 1, 0), *b = open_quota("db", 1, 0);
  (void)state;
  assert_int_equal(take(a, START), 1);
  fcgi__quota_rest(a, 1, START + 1);
  assert_int_equal(take(b, START + 2), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 1, LATER - 1), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 1, LATER), 1);
  fcgi__quota_close(a);
  fcgi__quota_close(b);
}

static void test_who_is_gone_does_not_wait(void **state) {
  fcgi__quota *a = open_quota("db", 1, 0), *b = open_quota("db", 1, 0);
  long long gone = LATER + FCGI__QUOTA_LEASE_MS;
  (void)state;
  assert_int_equal(take(a, START), 1);
  fcgi__quota_rest(a, 1, START);
  assert_int_equal(take(b, LATER), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 1, gone - 1), 1);
  assert_int_equal(fcgi__quota_is_asked(a, 1, gone), 0);
  assert_int_equal(take(b, LATER + 10), 0); /* It is not: it has looked. */
  assert_int_equal(fcgi__quota_is_asked(a, 1, gone), 1);
  fcgi__quota_give(a, 1);
  assert_int_equal(take(a, gone), 0);
  assert_int_equal(take(a, gone + 10), 1);
  fcgi__quota_close(a);
  fcgi__quota_close(b);
}

/* Who was asked is in a handler for long. */
static void test_another_one_is_asked_in_time(void **state) {
  fcgi__quota *a = open_quota("db", 2, 0), *b = open_quota("db", 2, 0);
  long long patient = LATER + FCGI__QUOTA_PATIENCE_MS;
  (void)state;
  for (unsigned i = 1; i <= 2; i++) {
    assert_int_equal(take(a, START), i);
    fcgi__quota_rest(a, i, START + i);
  }
  assert_int_equal(take(b, LATER), 0);
  assert_int_equal(take(b, patient - 1), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 1, patient), 1);
  assert_int_equal(fcgi__quota_is_asked(a, 2, patient), 0);
  assert_int_equal(take(b, patient), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 2, patient), 1);
  fcgi__quota_give(a, 2);
  assert_int_equal(take(b, patient), 2);
  assert_int_equal(fcgi__quota_is_asked(a, 1, patient), 0);
  fcgi__quota_close(a);
  fcgi__quota_close(b);
}

static void test_one_that_rests_at_last_is_asked_at_once(void **state) {
  fcgi__quota *a = open_quota("db", 3, 0), *b = open_quota("db", 3, 0);
  (void)state;
  for (unsigned i = 1; i <= 3; i++)
    assert_int_equal(take(a, START + i), i);
  assert_int_equal(take(b, LATER + 3), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 1, LATER + 3), 1);
  fcgi__quota_rest(a, 2, LATER + 3);
  fcgi__quota_rest(a, 3, LATER + 3);
  assert_int_equal(take(b, LATER + 4), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 2, LATER + 4) +
                       fcgi__quota_is_asked(a, 3, LATER + 4),
                   1);
  assert_int_equal(take(b, LATER + 5), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 2, LATER + 5) +
                       fcgi__quota_is_asked(a, 3, LATER + 5),
                   1);
  fcgi__quota_close(a);
  fcgi__quota_close(b);
}

/* Any thread may have what a pool has; what a thread has only that one. */
static void test_only_threads_give_way_to_their_own(void **state) {
  fcgi__quota *pool = open_quota("pool", 1, 0),
              *threads = open_quota("threads", 1, 1);
  (void)state;
  assert_int_equal(take(pool, START), 1);
  assert_int_equal(take(threads, START), 1);
  fcgi__quota_rest(pool, 1, START);
  fcgi__quota_rest(threads, 1, START);
  assert_int_equal(take(pool, LATER), 0);
  assert_int_equal(take(threads, LATER), 0);
  assert_int_equal(fcgi__quota_is_asked(pool, 1, LATER), 0);
  assert_int_equal(fcgi__quota_is_asked(threads, 1, LATER), 1);
  fcgi__quota_close(pool);
  fcgi__quota_close(threads);
}

static void test_the_last_limit_holds(void **state) {
  fcgi__quota *a = open_quota("db", 3, 0), *b;
  (void)state;
  assert_int_equal(a->before, 0);
  for (unsigned i = 1; i <= 3; i++)
    take(a, START);
  b = open_quota("db", 2, 0);
  assert_int_equal(b->before, 3);
  assert_int_equal(fcgi__quota_is_asked(a, 2, START), 0);
  assert_int_equal(fcgi__quota_is_asked(a, 3, START), 1);
  fcgi__quota_give(a, 1);
  assert_int_equal(take(b, START), 0); /* Two are left. */
  assert_int_equal(count(b).total, 2);
  fcgi__quota_give(a, 3);
  assert_int_equal(take(b, START), 1);
  fcgi__quota_close(b);
  b = open_quota("db", 4, 0);
  assert_int_equal(take(a, START), 3);
  assert_int_equal(take(a, START), 4);
  fcgi__quota_close(a);
  fcgi__quota_close(b);
}

/* --- Processes ------------------------------------------------------------ */

static pid_t start(void (*run)(fcgi__quota *), fcgi__quota *quota) {
  pid_t pid = fork();
  if (pid == 0) {
    fcgi__quota_renew(quota);
    run(quota);
    _exit(0);
  }
  assert_true(pid > 0);
  return pid;
}

static void take_two_and_stay(fcgi__quota *quota) {
  take(quota, START);
  take(quota, START);
  for (;;)
    pause();
}

static void kill_one(pid_t pid) {
  int status;
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void test_slots_of_the_killed_are_freed(void **state) {
  fcgi__quota *a = open_quota("db", 2, 0);
  pid_t child = start(take_two_and_stay, a);
  (void)state;
  while (count(a).total < 2)
    usleep(1000);
  assert_int_equal(take(a, START + 1000), 0);
  assert_int_equal(count(a).abandoned, 0);
  kill_one(child);
  assert_int_equal(take(a, START + 1000 + FCGI__QUOTA_SWEEP_MS), 1);
  assert_int_equal(count(a).total, 1);
  assert_int_equal(count(a).abandoned, 2);
  fcgi__quota_close(a);
}

typedef struct seen {
  atomic_uint now;  /* Slots that are taken. */
  atomic_uint most; /* The most there were at once, */
  atomic_uint done; /* and how often. */
} seen;

static seen *all;

static void take_often(fcgi__quota *quota) {
  for (long long i = 0; i < ROUNDS; i++) {
    unsigned slot = take(quota, START + i), now, most;
    if (!slot) {
      usleep(50);
      continue;
    }
    now = atomic_fetch_add(&all->now, 1) + 1;
    most = atomic_load(&all->most);
    while (now > most && !atomic_compare_exchange_weak(&all->most, &most, now))
      ;
    atomic_fetch_add(&all->done, 1);
    if (i % 64 == 0)
      usleep(100);
    atomic_fetch_sub(&all->now, 1);
    fcgi__quota_give(quota, slot);
  }
}

static void test_processes_contend(void **state) {
  fcgi__quota *a = open_quota("db", 2, 0);
  pid_t pids[PROCESSES];
  (void)state;
  all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < PROCESSES; i++)
    pids[i] = start(take_often, a);
  for (int i = 0; i < PROCESSES; i++) {
    int status;
    assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
    assert_int_equal(status, 0);
  }
  assert_int_equal(atomic_load(&all->most), 2);
  assert_true(atomic_load(&all->done) > ROUNDS / 4);
  assert_int_equal(count(a).total, 0);
  munmap(all, sizeof *all);
  fcgi__quota_close(a);
}

static uint64_t dead_process(void) {
  pid_t pid = fork();
  if (pid == 0)
    _exit(0);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
  return (uint64_t)pid;
}

static void test_a_name_that_was_begun_is_ended(void **state) {
  fcgi__quota_table *table;
  (void)state;
  assert_int_equal(fcgi__quota_map(table_fd, &table), 0);
  atomic_store(&table->rows[0].maker, dead_process());
  memset(table->rows[0].name, 'x', 7);
  fcgi__quota *a = open_quota("db", 2, 0), *b = open_quota("db", 2, 0);
  assert_string_equal(table->rows[0].name, "db");
  assert_int_equal(atomic_load(&table->rows[1].maker), 0);
  assert_int_equal(take(a, START), 1);
  assert_int_equal(take(b, START), 2);
  fcgi__quota_close(a);
  fcgi__quota_close(b);
  fcgi__quota_unmap(table);
}

/* --- The table ------------------------------------------------------------ */

static int refusal(char why[FCGI_RESOURCE_WHY], const char *name,
                   unsigned limit) {
  keeping k = {.resource = NULL};
  fcgi_resource_config config = keeping_config(&k);
  fcgi_resource *made = NULL;
  config.name = name;
  config.limit_total = limit;
  int error = fcgi_resource_new(&made, &config, why, FCGI_RESOURCE_WHY);
  fcgi_resource_free(made);
  return error;
}

static void test_a_full_table_is_told(void **state) {
  char why[FCGI_RESOURCE_WHY], name[16];
  (void)state;
  for (int i = 0; i < FCGI__QUOTA_ROWS; i++) {
    snprintf(name, sizeof name, "db%d", i);
    assert_int_equal(refusal(why, name, 1), 0);
  }
  assert_int_equal(refusal(why, "db", 1), FCGI_ERR_LIMIT);
  assert_non_null(strstr(why, "limit_total"));
  assert_int_equal(refusal(why, "db7", 1), 0);
  assert_int_equal(refusal(why, "db7", FCGI_RESOURCE_TOTAL), 0);
  assert_int_equal(refusal(why, "db7", FCGI_RESOURCE_TOTAL + 1),
                   FCGI_ERR_INVALID);
  assert_string_equal(why, "resource 'db7': limit_total is 1024 at most");
}

static void expect_none(int fd) {
  char why[FCGI_RESOURCE_WHY];
  announce(fd);
  assert_int_equal(refusal(why, "db", 1), FCGI_ERR_DAMAGED);
  assert_non_null(strstr(why, "that this version knows"));
}

static void test_what_is_no_table_is_refused(void **state) {
  fcgi__quota_table *table;
  int pipes[2], unsealed = memfd_create("unit", 0),
                short_one = memfd_create("unit", MFD_ALLOW_SEALING);
  (void)state;
  assert_int_equal(fcgi__quota_map(table_fd, &table), 0);
  assert_int_equal(pipe(pipes), 0);
  expect_none(pipes[0]);
  assert_int_equal(write(unsealed, table, sizeof *table), sizeof *table);
  expect_none(unsealed);
  assert_int_equal(ftruncate(short_one, 4096), 0);
  assert_int_equal(fcntl(short_one, F_ADD_SEALS, F_SEAL_SHRINK), 0);
  expect_none(short_one);
  table->version++;
  expect_none(table_fd);
  table->version--;
  table->magic[0]++;
  expect_none(table_fd);
  close(pipes[0]);
  close(pipes[1]);
  close(unsealed);
  close(short_one);
  fcgi__quota_unmap(table);
}

static void test_another_namespace_is_refused(void **state) {
  char why[FCGI_RESOURCE_WHY];
  fcgi__quota_table *table;
  (void)state;
  assert_int_equal(fcgi__quota_map(table_fd, &table), 0);
  table->home++;
  assert_int_equal(refusal(why, "db", 1), FCGI_ERR_STATE);
  assert_non_null(strstr(why, "namespace"));
  fcgi__quota_unmap(table);
}

/* Whatever others write, a look neither leaves the table nor hangs. */
static void test_bad_memory_does_no_harm(void **state) {
  fcgi__quota *a = open_quota("db", 4, 0), *b = open_quota("db", 4, 1);
  uint64_t random = 5;
  (void)state;
  for (int turn = 0; turn < 3000; turn++) {
    uint64_t *words = (uint64_t *)a->row;
    for (int i = 0; i < 20; i++) {
      random = random * UINT64_C(6364136223846793005) + 1;
      words[(random >> 32) % (turn % 2 ? 60 : sizeof *a->row / 8)] = random;
    }
    unsigned slot = take(a, START + turn);
    assert_true(slot <= FCGI_RESOURCE_TOTAL);
    take(b, START + turn);
    if (slot) {
      fcgi__quota_rest(a, slot, START);
      fcgi__quota_is_asked(a, slot, LATER);
      fcgi__quota_give(a, slot);
    }
    assert_true(count(b).total <= FCGI_RESOURCE_TOTAL);
  }
  fcgi__quota_close(a);
  fcgi__quota_close(b);
}

static void test_a_lone_process_counts_alone(void **state) {
  static const char *const texts[] = {"1:100", "x", "", NULL};
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (texts[i])
      setenv(FCGI__QUOTA_VARIABLE, texts[i], 1);
    else
      unsetenv(FCGI__QUOTA_VARIABLE);
    fcgi__quota *a = open_quota("db", 1, 0), *b = open_quota("db", 1, 0);
    assert_int_equal(take(a, START), 1);
    assert_int_equal(take(a, START), 0);
    assert_int_equal(take(b, START), 1);
    fcgi__quota_renew(a);
    assert_int_equal(take(a, START), 1);
    fcgi__quota_close(a);
    fcgi__quota_close(b);
  }
}

#define QUOTA_TEST(name)                                                       \
  cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      QUOTA_TEST(test_no_more_than_the_limit),
      QUOTA_TEST(test_the_longest_idle_gives_way),
      QUOTA_TEST(test_what_is_in_use_is_asked_last),
      QUOTA_TEST(test_what_was_just_opened_stays),
      QUOTA_TEST(test_who_is_gone_does_not_wait),
      QUOTA_TEST(test_another_one_is_asked_in_time),
      QUOTA_TEST(test_one_that_rests_at_last_is_asked_at_once),
      QUOTA_TEST(test_only_threads_give_way_to_their_own),
      QUOTA_TEST(test_the_last_limit_holds),
      QUOTA_TEST(test_slots_of_the_killed_are_freed),
      QUOTA_TEST(test_processes_contend),
      QUOTA_TEST(test_a_name_that_was_begun_is_ended),
      QUOTA_TEST(test_a_full_table_is_told),
      QUOTA_TEST(test_what_is_no_table_is_refused),
      QUOTA_TEST(test_another_namespace_is_refused),
      QUOTA_TEST(test_bad_memory_does_no_harm),
      QUOTA_TEST(test_a_lone_process_counts_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

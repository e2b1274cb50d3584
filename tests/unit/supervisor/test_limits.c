/* SPDX-License-Identifier: MIT */
/* Which workers are too old, too large or too late, by what their supervisor
   knows of them. None of these runs. */
#include "os/clock.h"
#include "supervisor/limits.h"
#include "supervisor/supervisor.h"
#include "support/unit.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 3, NOW = 1000000, SECOND = 1000, GRACE = 30 * SECOND };

typedef struct scene {
  fcgi__supervisor s;            /* Of the workers. */
  fcgi__worker workers[WORKERS]; /* They, all of them ready. */
  char line[512];                /* What was logged last. */
} scene;

static void log_line(fcgi_log_level level, const char *line, void *data) {
  scene *all = data;
  (void)level;
  snprintf(all->line, sizeof all->line, "%s", line);
}

static int set_up(void **state) {
  scene *all = calloc(1, sizeof *all);
  fcgi__supervisor *s = &all->s;
  *state = all;
  s->config.log = log_line;
  s->config.log_data = all;
  s->config.graceful_timeout_ms = GRACE;
  s->config.timeout_ms = 60 * SECOND;
  s->phase = FCGI__SUPERVISOR_SERVING;
  s->current = 1;
  s->workers = all->workers;
  s->worker_count = WORKERS;
  s->measure_due = LLONG_MAX;
  if (fcgi__board_new(&s->board, WORKERS))
    return -1;
  for (int i = 0; i < WORKERS; i++)
    all->workers[i] = (fcgi__worker){.pid = getpid(),
                                     .generation = 1,
                                     .state = FCGI__LIFE_READY,
                                     .slot = fcgi__board_take(&s->board, 1),
                                     .started = NOW - 2 * SECOND,
                                     .alive_due = LLONG_MAX,
                                     .retire_due = LLONG_MAX};
  return 0;
}

static int tear_down(void **state) {
  scene *all = *state;
  fcgi__board_free(&all->s.board);
  free(all);
  return 0;
}

static uint64_t events(const scene *all, fcgi_supervised event) {
  return atomic_load(&all->s.board.head->events[event]);
}

/* Which workers are being replaced, as bits. */
static unsigned retiring(const scene *all) {
  unsigned which = 0;
  for (unsigned i = 0; i < WORKERS; i++)
    which |= (unsigned)all->workers[i].retiring << i;
  return which;
}

static void test_one_at_a_time_is_replaced(void **state) {
  scene *all = *state;
  all->workers[1].spent = all->workers[2].spent = 1;
  fcgi__limits_tick(&all->s, NOW);
  assert_int_equal(retiring(all), 2);
  assert_non_null(strstr(all->line, "as many requests as it may"));
  fcgi__limits_tick(&all->s, NOW);
  assert_int_equal(retiring(all), 2);
  all->workers[1].state = FCGI__LIFE_LEAVING;
  fcgi__limits_tick(&all->s, NOW);
  assert_int_equal(retiring(all), 6);
  assert_int_equal(events(all, FCGI_SUPERVISED_RETIRED), 2);
}

static void test_an_age_is_reached(void **state) {
  scene *all = *state;
  all->workers[1].retire_due = NOW;
  fcgi__limits_tick(&all->s, NOW - 1);
  assert_int_equal(retiring(all), 0);
  fcgi__limits_tick(&all->s, NOW);
  assert_int_equal(retiring(all), 2);
  assert_non_null(strstr(all->line, "has served for 2.0 s, and is replaced"));
}

static void expect_none_replaced(scene *all) {
  fcgi__limits_tick(&all->s, NOW);
  assert_int_equal(retiring(all), 0);
  assert_string_equal(all->line, "");
}

static void test_who_is_replaced_anyway_is_not(void **state) {
  scene *all = *state;
  for (int i = 0; i < WORKERS; i++)
    all->workers[i].spent = 1;
  all->s.next = 2;
  expect_none_replaced(all);
  all->s.next = 0;
  all->s.phase = FCGI__SUPERVISOR_STOPPING;
  expect_none_replaced(all);
  all->s.phase = FCGI__SUPERVISOR_STARTING;
  expect_none_replaced(all);
  all->s.phase = FCGI__SUPERVISOR_SERVING;
  all->workers[0].state = FCGI__LIFE_STARTING;
  all->workers[1].state = FCGI__LIFE_LEAVING;
  all->workers[2].generation = 0;
  expect_none_replaced(all);
}

/* It is measured once a second, if at all. */
static void test_a_worker_that_has_grown(void **state) {
  scene *all = *state;
  if (fcgi__limits_rss(getpid()) < 0)
    skip();
  all->s.measure_due = NOW;
  all->s.config.max_worker_rss = UINT64_MAX;
  expect_none_replaced(all);
  all->s.config.max_worker_rss = 0;
  all->s.measure_due = NOW;
  expect_none_replaced(all);
  all->s.config.max_worker_rss = 1;
  assert_int_equal(all->s.measure_due, NOW + SECOND);
  expect_none_replaced(all);
  fcgi__limits_tick(&all->s, NOW + SECOND);
  assert_int_equal(retiring(all), 1);
  assert_non_null(strstr(all->line, "KiB of memory, and is replaced"));
  assert_int_equal(all->s.measure_due, NOW + 2 * SECOND);
}

static void test_the_memory_of_a_process(void **state) {
  (void)state;
  assert_int_equal(fcgi__limits_rss(INT_MAX), -1);
#ifdef __linux__
  assert_in_range(fcgi__limits_rss(getpid()), 4096, 1ll << 40);
#endif
}

/* A handler of that worker has been past its deadline for so long. */
static void be_late(scene *all, int number, uint64_t ms) {
  fcgi__board_slot *slot = fcgi__board_slot_at(&all->s.board, number);
  atomic_store(&slot->entries[0].overdue_us, fcgi__now_us() - 1000 * ms);
  atomic_store(&slot->entries[0].phase, FCGI_PHASE_OVERDUE);
  atomic_store(&slot->counts.values[FCGI_METRIC_OVERDUE], 1);
  atomic_store(&slot->counts.values[FCGI_METRIC_ACTIVE], 1);
}

static void look(scene *all) {
  all->s.measure_due = NOW;
  fcgi__limits_tick(&all->s, NOW);
}

static void test_a_handler_that_does_not_return(void **state) {
  scene *all = *state;
  be_late(all, 0, GRACE / 3);
  look(all);
  assert_int_equal(retiring(all), 0);
  be_late(all, 0, 2 * GRACE);
  be_late(all, 1, 2 * GRACE);
  look(all);
  assert_int_equal(retiring(all), 3); /* Nobody waits for the other. */
  assert_non_null(strstr(all->line, "has a handler that is past the deadline"));
  look(all);
  assert_int_equal(events(all, FCGI_SUPERVISED_HUNG), 2);
}

/* Nothing is lost with it: it has a last second. */
static void test_a_stop_does_not_wait_for_what_is_lost(void **state) {
  scene *all = *state;
  fcgi__worker *w = &all->workers[0];
  fcgi__board_slot *slot = fcgi__board_slot_at(&all->s.board, 0);
  w->state = FCGI__LIFE_LEAVING;
  be_late(all, 0, 2 * GRACE);
  w->kill_due = NOW + SECOND;
  look(all);
  assert_int_equal(w->kill_due, NOW + SECOND);
  w->kill_due = NOW + 20 * SECOND;
  atomic_store(&slot->counts.values[FCGI_METRIC_ACTIVE], 2);
  look(all);
  assert_int_equal(w->kill_due, NOW + 20 * SECOND);
  atomic_store(&slot->counts.values[FCGI_METRIC_ACTIVE], 1);
  look(all);
  assert_int_equal(w->kill_due, NOW + SECOND);
  assert_int_equal(events(all, FCGI_SUPERVISED_HUNG), 0);
}

/* It tells no more that it is alive, but the scoreboard does. */
static void test_a_worker_that_is_busy_is_not_killed(void **state) {
  scene *all = *state;
  fcgi__worker *w = &all->workers[0];
  fcgi__board_slot *slot = fcgi__board_slot_at(&all->s.board, 0);
  atomic_store(&slot->alive_us, fcgi__now_us() + 60000000);
  assert_int_equal(fcgi__limits_is_busy(&all->s, w, NOW), 1);
  assert_int_equal(w->alive_due, NOW + 60 * SECOND);
  assert_int_equal(retiring(all), 1);
  assert_non_null(strstr(all->line, "busy in every handler for 60.0 s"));
  assert_int_equal(fcgi__limits_is_busy(&all->s, w, NOW + 5), 1);
  assert_int_equal(w->alive_due, NOW + 60 * SECOND + 5);
  assert_int_equal(events(all, FCGI_SUPERVISED_HUNG), 1);
  atomic_store(&slot->alive_us, fcgi__now_us() - 600000);
  assert_int_equal(fcgi__limits_is_busy(&all->s, w, NOW), 0);
}

static void test_a_worker_of_which_nothing_is_known(void **state) {
  scene *all = *state;
  fcgi__worker *w = &all->workers[0];
  fcgi__board_slot *slot = fcgi__board_slot_at(&all->s.board, 0);
  atomic_store(&slot->alive_us, fcgi__now_us() + 60000000);
  all->s.phase = FCGI__SUPERVISOR_STOPPING;
  assert_int_equal(fcgi__limits_is_busy(&all->s, w, NOW), 0);
  all->s.phase = FCGI__SUPERVISOR_SERVING;
  w->slot = -1;
  assert_int_equal(fcgi__limits_is_busy(&all->s, w, NOW), 0);
  assert_int_equal(retiring(all), 0);
}

static void test_when_to_look_again(void **state) {
  scene *all = *state;
  all->s.measure_due = NOW + SECOND;
  assert_int_equal(fcgi__limits_due(&all->s), NOW + SECOND);
  all->workers[2].retire_due = NOW + 5;
  assert_int_equal(fcgi__limits_due(&all->s), NOW + 5);
  all->workers[2].state = FCGI__LIFE_LEAVING;
  assert_int_equal(fcgi__limits_due(&all->s), NOW + SECOND);
  all->workers[2].state = FCGI__LIFE_READY;
  all->workers[1].retiring = 1;
  assert_int_equal(fcgi__limits_due(&all->s), NOW + SECOND);
  all->s.phase = FCGI__SUPERVISOR_STARTING;
  assert_int_equal(fcgi__limits_due(&all->s), LLONG_MAX);
}

static long long age_of(int64_t age, int64_t jitter, pid_t pid) {
  const fcgi_supervisor_config config = {.max_worker_age_ms = age,
                                         .max_worker_age_jitter_ms = jitter};
  long long due = fcgi__limits_age_due(&config, NOW, pid);
  return due == LLONG_MAX ? -1 : due - NOW;
}

/* Each number from the age less the jitter to the age comes up. */
static void test_ages_are_spread(void **state) {
  int seen[5] = {0};
  (void)state;
  assert_int_equal(age_of(0, 0, 1), -1);
  assert_int_equal(age_of(0, 5, 1), -1);
  assert_int_equal(age_of(1, 0, 1), 1);
  for (pid_t pid = 1; pid <= 1000; pid++) {
    long long age = age_of(100, 4, pid);
    assert_in_range(age, 96, 100);
    seen[age - 96]++;
  }
  for (int i = 0; i < 5; i++)
    assert_true(seen[i] > 100);
}

#define LIMIT_TEST(name)                                                       \
  cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      LIMIT_TEST(test_one_at_a_time_is_replaced),
      LIMIT_TEST(test_an_age_is_reached),
      LIMIT_TEST(test_who_is_replaced_anyway_is_not),
      LIMIT_TEST(test_a_worker_that_has_grown),
      cmocka_unit_test(test_the_memory_of_a_process),
      LIMIT_TEST(test_a_handler_that_does_not_return),
      LIMIT_TEST(test_a_stop_does_not_wait_for_what_is_lost),
      LIMIT_TEST(test_a_worker_that_is_busy_is_not_killed),
      LIMIT_TEST(test_a_worker_of_which_nothing_is_known),
      LIMIT_TEST(test_when_to_look_again),
      cmocka_unit_test(test_ages_are_spread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

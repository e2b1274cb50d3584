/* SPDX-License-Identifier: MIT */
/* Which workers a supervisor stops, and what it says of those that are lost.
   None of them runs, and none is started: each has a pipe that counts how often
   it was asked to stop. */
#include "os/clock.h"
#include "supervisor/generation.h"
#include "supervisor/supervisor.h"
#include "support/unit.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 4, GRACE = 30000, FAR_MS = 1000000 };

typedef struct scene {
  fcgi__supervisor s;            /* Of the workers. */
  fcgi__worker workers[WORKERS]; /* As the test says. */
  int asked[WORKERS];            /* The other ends of their pipes. */
  fcgi_log_level level;          /* Of the first line that was logged, */
  char line[768];                /* and the line, until it is looked at. */
} scene;

static void log_line(fcgi_log_level level, const char *line, void *data) {
  scene *all = data;
  if (all->line[0])
    return;
  all->level = level;
  strncpy(all->line, line, sizeof all->line - 1);
}

static int set_up(void **state) {
  scene *all = calloc(1, sizeof *all);
  fcgi__supervisor *s = &all->s;
  *state = all;
  s->config.log = log_line;
  s->config.log_data = all;
  s->config.graceful_timeout_ms = GRACE;
  s->phase = FCGI__SUPERVISOR_SERVING;
  s->handover[0] = s->share[0] = s->pidfile.fd = -1;
  s->reload_due = LLONG_MAX;
  s->backoff.until = LLONG_MAX; /* Nobody is started. */
  s->current = s->last = 1;
  s->owns = 1;
  s->workers = all->workers;
  return fcgi__board_new(&s->board, WORKERS);
}

static int tear_down(void **state) {
  scene *all = *state;
  for (size_t i = 0; i < all->s.worker_count; i++) {
    close(all->asked[i]);
    close(all->workers[i].lifeline);
  }
  fcgi__board_free(&all->s.board);
  free(all);
  return 0;
}

/* One more. No process has its id. */
static fcgi__worker *add(scene *all, unsigned generation,
                         fcgi__worker_life life) {
  size_t at = all->s.worker_count++;
  int ends[2];
  assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  all->asked[at] = ends[0];
  all->workers[at] = (fcgi__worker){.pid = INT_MAX - (pid_t)at,
                                    .generation = generation,
                                    .state = life,
                                    .slot = (int)at,
                                    .lifeline = ends[1],
                                    .hears = 1,
                                    .started = fcgi__now(),
                                    .start_due = LLONG_MAX};
  return &all->workers[at];
}

static void add_ready(scene *all, unsigned generation, int count) {
  while (count-- > 0)
    add(all, generation, FCGI__LIFE_READY);
}

/* Which of them were asked to stop since the last time, as bits. */
static unsigned stopped(scene *all) {
  unsigned which = 0;
  char byte;
  for (size_t i = 0; i < all->s.worker_count; i++)
    if (read(all->asked[i], &byte, 1) == 1)
      which |= 1u << i;
  return which;
}

static void expect_line(scene *all, fcgi_log_level level, const char *part) {
  if (!strstr(all->line, part))
    fail_msg("\"%s\" is not in \"%s\"", part, all->line);
  assert_int_equal(all->level, level);
  all->line[0] = '\0';
}

static uint64_t events(const scene *all, fcgi_supervised event) {
  return atomic_load(&all->s.board.head->events[event]);
}

static void test_one_that_is_too_many_stops(void **state) {
  scene *all = *state;
  add_ready(all, 1, 3);
  all->s.wanted = 3;
  fcgi__generations_settle(&all->s);
  assert_int_equal(stopped(all), 0);
  all->s.wanted = 1;
  fcgi__generations_settle(&all->s);
  assert_int_equal(stopped(all), 3);
  assert_int_equal(fcgi__generations_serving(&all->s), 1);
}

/* It serves until another one does so in its place. */
static void test_one_that_retires_waits_for_another(void **state) {
  scene *all = *state;
  add_ready(all, 1, 2);
  all->s.wanted = 2;
  all->workers[1].retiring = 1;
  fcgi__generations_settle(&all->s);
  assert_int_equal(stopped(all), 0);
  add(all, 1, FCGI__LIFE_STARTING);
  fcgi__generations_settle(&all->s);
  assert_int_equal(stopped(all), 0);
  all->workers[2].state = FCGI__LIFE_READY;
  fcgi__generations_settle(&all->s);
  assert_int_equal(stopped(all), 2);
}

/* The old workers stop when all of the new ones serve. */
static void test_a_generation_takes_over(void **state) {
  scene *all = *state;
  add_ready(all, 1, 2);
  add(all, 2, FCGI__LIFE_READY);
  add(all, 2, FCGI__LIFE_STARTING);
  all->s.wanted = all->s.coming.wanted = 2;
  all->s.coming.config = all->s.config;
  all->s.next = 2;
  fcgi__generations_settle(&all->s);
  assert_int_equal(stopped(all), 0);
  assert_int_equal(all->s.current, 1);
  all->workers[3].state = FCGI__LIFE_READY;
  fcgi__generations_settle(&all->s);
  assert_int_equal(stopped(all), 3);
  assert_int_equal(all->s.current, 2);
  assert_int_equal(all->s.next, 0);
  assert_int_equal(atomic_load(&all->s.board.head->generation), 2);
  expect_line(all, FCGI_LOG_INFO, "generation 2 is ready after");
}

static void test_the_first_generation_serves(void **state) {
  scene *all = *state;
  add(all, 1, FCGI__LIFE_READY);
  add(all, 1, FCGI__LIFE_STARTING);
  all->s.phase = FCGI__SUPERVISOR_STARTING;
  all->s.wanted = 2;
  fcgi__generations_settle(&all->s);
  assert_int_equal(all->s.phase, FCGI__SUPERVISOR_STARTING);
  all->workers[1].state = FCGI__LIFE_READY;
  fcgi__generations_settle(&all->s);
  assert_int_equal(all->s.phase, FCGI__SUPERVISOR_SERVING);
  expect_line(all, FCGI_LOG_INFO, "2 workers are ready after");
}

/* The first early death costs nothing, the next one a pause. */
static void test_one_that_serves_is_lost(void **state) {
  scene *all = *state;
  fcgi__worker *w = add(all, 1, FCGI__LIFE_READY);
  all->s.wanted = 1;
  fcgi__generation_lost(&all->s, w, "exited with status 3", 0);
  expect_line(all, FCGI_LOG_WARNING, "exited with status 3; starting another");
  fcgi__generation_lost(&all->s, w, "exited with status 0", 1);
  expect_line(all, FCGI_LOG_INFO, "status 0; starting another in 0.1 s");
  w->state = FCGI__LIFE_LEAVING;
  fcgi__generation_lost(&all->s, w, "exited with status 3", 0);
  assert_string_equal(all->line, "");
}

/* Of one that is not of this generation nobody hears. */
static void test_one_of_before_is_lost(void **state) {
  scene *all = *state;
  fcgi__worker *w = add(all, 1, FCGI__LIFE_READY);
  all->s.current = 2;
  fcgi__generation_lost(&all->s, w, "exited with status 3", 0);
  assert_string_equal(all->line, "");
}

static void test_a_reload_fails_with_one_of_its_workers(void **state) {
  scene *all = *state;
  add_ready(all, 1, 1);
  add(all, 2, FCGI__LIFE_READY);
  add(all, 2, FCGI__LIFE_STARTING);
  all->s.wanted = 1;
  all->s.coming.wanted = 2;
  all->s.next = 2;
  fcgi__generation_lost(&all->s, &all->workers[2], "exited with status 3", 0);
  expect_line(all, FCGI_LOG_ERROR,
              "exited with status 3 before it was ready; generation 1 goes on "
              "serving");
  assert_int_equal(stopped(all), 6);
  assert_int_equal(all->s.next, 0);
  assert_int_equal(events(all, FCGI_SUPERVISED_RELOADS_FAILED), 1);
}

/* A script for plain CGI ends well and at once. */
static void test_a_start_fails_with_one_of_its_workers(void **state) {
  for (int clean = 0; clean < 2; clean++) {
    scene *all;
    void *one;
    assert_int_equal(set_up(&one), 0);
    all = one;
    add(all, 1, FCGI__LIFE_STARTING);
    all->s.phase = FCGI__SUPERVISOR_STARTING;
    all->s.wanted = 1;
    fcgi__generation_lost(&all->s, &all->workers[0], "has ended", clean);
    assert_int_equal(strstr(all->line, "as a plain CGI program does") != NULL,
                     clean);
    expect_line(all, FCGI_LOG_ERROR, "cannot start: worker ");
    assert_int_equal(all->s.phase, FCGI__SUPERVISOR_STOPPING);
    assert_int_equal(all->s.status, FCGI_SUPERVISOR_NO_WORKERS);
    tear_down(&one);
  }
  (void)state;
}

/* A tenth of a second lies between the beginnings of two generations. */
static void test_several_reloads_are_one(void **state) {
  scene *all = *state;
  long long before = fcgi__now(), due;
  all->s.next_started = before;
  fcgi__generation_want(&all->s);
  due = all->s.reload_due;
  assert_int_equal(due, before + 100);
  all->s.next_started = before - FAR_MS;
  fcgi__generation_want(&all->s);
  assert_int_equal(all->s.reload_due, due);
  all->s.reload_due = LLONG_MAX;
  fcgi__generation_want(&all->s);
  assert_in_range(all->s.reload_due, before, fcgi__now());
  all->s.reload_due = LLONG_MAX;
  all->s.phase = FCGI__SUPERVISOR_STOPPING;
  fcgi__generation_want(&all->s);
  assert_int_equal(all->s.reload_due, LLONG_MAX);
}

static void test_when_there_is_something_to_do(void **state) {
  scene *all = *state;
  fcgi__supervisor *s = &all->s;
  s->wanted = 2;
  s->backoff.until = FAR_MS;
  add_ready(all, 1, 1);
  assert_int_equal(fcgi__generations_due(s), FAR_MS);
  add(all, 1, FCGI__LIFE_STARTING);
  assert_int_equal(fcgi__generations_due(s), LLONG_MAX);
  s->reload_due = FAR_MS + 1;
  assert_int_equal(fcgi__generations_due(s), FAR_MS + 1);
  all->workers[1].retiring = 1;
  assert_int_equal(fcgi__generations_due(s), FAR_MS);
  s->reload_due = FAR_MS - 1;
  assert_int_equal(fcgi__generations_due(s), FAR_MS - 1);
  s->phase = FCGI__SUPERVISOR_STARTING;
  assert_int_equal(fcgi__generations_due(s), FAR_MS);
  s->phase = FCGI__SUPERVISOR_STOPPING;
  assert_int_equal(fcgi__generations_due(s), LLONG_MAX);
}

#define GENERATION_TEST(name)                                                  \
  cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      GENERATION_TEST(test_one_that_is_too_many_stops),
      GENERATION_TEST(test_one_that_retires_waits_for_another),
      GENERATION_TEST(test_a_generation_takes_over),
      GENERATION_TEST(test_the_first_generation_serves),
      GENERATION_TEST(test_one_that_serves_is_lost),
      GENERATION_TEST(test_one_of_before_is_lost),
      GENERATION_TEST(test_a_reload_fails_with_one_of_its_workers),
      cmocka_unit_test(test_a_start_fails_with_one_of_its_workers),
      GENERATION_TEST(test_several_reloads_are_one),
      GENERATION_TEST(test_when_there_is_something_to_do),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What a supervisor tells the service manager, and the one that it replaces. */
#include "os/clock.h"
#include "parent/notify.h"
#include "supervisor/supervisor.h"
#include "supervisor/upstream.h"
#include "support/mailbox.h"
#include "support/unit.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOW = 1000000 };

typedef struct scene {
  fcgi__supervisor s;      /* Who tells. */
  fcgi__worker workers[3]; /* Its workers, two of them ready. */
  mailbox manager;         /* Who hears, */
  mailbox before;          /* and the one that it replaces. */
} scene;

static int set_up(void **state) {
  scene *all = calloc(1, sizeof *all);
  fcgi__supervisor *s = &all->s;
  *state = all;
  s->workers = all->workers;
  s->worker_count = 3;
  all->workers[0].state = all->workers[2].state = FCGI__LIFE_READY;
  mailbox_open(&all->manager);
  mailbox_open(&all->before);
  snprintf(s->upstream, sizeof s->upstream, "%s", all->manager.name);
  return 0;
}

static int tear_down(void **state) {
  scene *all = *state;
  mailbox_close(&all->manager);
  mailbox_close(&all->before);
  free(all);
  return 0;
}

static void expect_told(scene *all, const char *text) {
  assert_string_equal(mailbox_take(&all->manager), text);
}

static void ready(scene *all, unsigned generation) {
  all->s.current = generation;
  fcgi__upstream_is_ready(&all->s);
}

static void test_what_is_told(void **state) {
  scene *all = *state;
  ready(all, 3);
  expect_told(all, "READY=1\nSTATUS=generation 3, 2 workers");
  fcgi__upstream_is_reloading(&all->s);
  assert_non_null(
      strstr(mailbox_take(&all->manager), "RELOADING=1\nMONOTONIC_USEC="));
  fcgi__upstream_is_stopping(&all->s);
  expect_told(all, "STOPPING=1\nSTATUS=stopping");
  expect_told(all, "");
  assert_int_equal(fcgi__upstream_due(&all->s), LLONG_MAX);
}

static void test_nobody_is_told(void **state) {
  scene *all = *state;
  all->s.upstream[0] = '\0';
  ready(all, 1);
  assert_int_equal(fcgi__upstream_due(&all->s), LLONG_MAX);
}

/* The service is another process then. */
static void test_one_that_has_moved_says_no_more(void **state) {
  scene *all = *state;
  all->s.upstream_ms = 1000;
  fcgi__upstream_moves(&all->s, 77);
  expect_told(all, "MAINPID=77");
  fcgi__upstream_is_stopping(&all->s);
  fcgi__upstream_tick(&all->s, LLONG_MAX - 1000000);
  expect_told(all, "");
  assert_int_equal(fcgi__upstream_due(&all->s), LLONG_MAX);
}

/* Four messages are kept: what is said last is what counts. */
static void test_what_finds_no_room_is_told_later(void **state) {
  scene *all = *state;
  long long due, before = fcgi__now();
  mailbox_fill(&all->manager);
  for (unsigned generation = 1; generation <= 6; generation++)
    ready(all, generation);
  due = fcgi__upstream_due(&all->s);
  assert_in_range(due, before, fcgi__now() + FCGI__NOTIFY_AGAIN_MS);
  fcgi__upstream_tick(&all->s, due);
  assert_int_equal(fcgi__upstream_due(&all->s), due + FCGI__NOTIFY_AGAIN_MS);
  mailbox_empty(&all->manager);
  fcgi__upstream_tick(&all->s, due + FCGI__NOTIFY_AGAIN_MS - 1);
  expect_told(all, "");
  fcgi__upstream_tick(&all->s, due + FCGI__NOTIFY_AGAIN_MS);
  for (unsigned generation = 3; generation <= 6; generation++) {
    char text[64];
    snprintf(text, sizeof text, "READY=1\nSTATUS=generation %u, 2 workers",
             generation);
    expect_told(all, text);
  }
  expect_told(all, "");
  assert_int_equal(fcgi__upstream_due(&all->s), LLONG_MAX);
}

static void test_what_is_owed_at_the_end_is_told(void **state) {
  scene *all = *state;
  mailbox_fill(&all->manager);
  fcgi__upstream_is_stopping(&all->s);
  mailbox_empty(&all->manager);
  fcgi__upstream_end(&all->s);
  expect_told(all, "STOPPING=1\nSTATUS=stopping");
}

static void test_signs_of_life(void **state) {
  scene *all = *state;
  all->s.upstream_ms = 1000;
  all->s.upstream_due = NOW;
  assert_int_equal(fcgi__upstream_due(&all->s), NOW);
  fcgi__upstream_tick(&all->s, NOW - 1);
  expect_told(all, "");
  fcgi__upstream_tick(&all->s, NOW);
  expect_told(all, "WATCHDOG=1");
  assert_int_equal(fcgi__upstream_due(&all->s), NOW + 1000);
}

/* It is due again soon, but not sooner than was asked for. */
static void test_signs_of_life_without_room(void **state) {
  scene *all = *state;
  mailbox_fill(&all->manager);
  all->s.upstream_ms = 1000;
  fcgi__upstream_tick(&all->s, NOW);
  assert_int_equal(all->s.upstream_due, NOW + FCGI__NOTIFY_AGAIN_MS);
  all->s.upstream_ms = 50;
  fcgi__upstream_tick(&all->s, NOW + 1000);
  assert_int_equal(all->s.upstream_due, NOW + 1050);
}

static void replace(scene *all) {
  snprintf(all->s.predecessor, sizeof all->s.predecessor, "%s",
           all->before.name);
}

static void test_the_one_before_hears_once(void **state) {
  scene *all = *state;
  replace(all);
  ready(all, 1);
  ready(all, 2);
  assert_string_equal(mailbox_take(&all->before), "READY=1");
  assert_string_equal(mailbox_take(&all->before), "");
}

static void test_the_one_before_hears_later(void **state) {
  scene *all = *state;
  replace(all);
  mailbox_fill(&all->before);
  ready(all, 1);
  expect_told(all, "READY=1\nSTATUS=generation 1, 2 workers");
  mailbox_empty(&all->before);
  assert_true(fcgi__upstream_due(&all->s) < LLONG_MAX);
  fcgi__upstream_tick(&all->s, fcgi__upstream_due(&all->s));
  assert_string_equal(mailbox_take(&all->before), "READY=1");
  assert_int_equal(fcgi__upstream_due(&all->s), LLONG_MAX);
}

static void test_whom_the_environment_names(void **state) {
  scene *all = *state;
  setenv("WATCHDOG_USEC", "4000000", 1);
  unsetenv("WATCHDOG_PID");
  setenv("FASTCGI_UPGRADE_NOTIFY", "@before", 1);
  fcgi__upstream_find(&all->s);
  assert_string_equal(all->s.upstream, "");
  assert_string_equal(all->s.predecessor, "@before");
  assert_int_equal(all->s.upstream_ms, 0);
  setenv("NOTIFY_SOCKET", all->manager.name, 1);
  unsetenv("FASTCGI_UPGRADE_NOTIFY");
  fcgi__upstream_find(&all->s);
  assert_string_equal(all->s.upstream, all->manager.name);
  assert_string_equal(all->s.predecessor, "");
  assert_int_equal(all->s.upstream_ms, 2000);
  unsetenv("NOTIFY_SOCKET");
  unsetenv("WATCHDOG_USEC");
}

#define UPSTREAM_TEST(name)                                                    \
  cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      UPSTREAM_TEST(test_what_is_told),
      UPSTREAM_TEST(test_nobody_is_told),
      UPSTREAM_TEST(test_one_that_has_moved_says_no_more),
      UPSTREAM_TEST(test_what_finds_no_room_is_told_later),
      UPSTREAM_TEST(test_what_is_owed_at_the_end_is_told),
      UPSTREAM_TEST(test_signs_of_life),
      UPSTREAM_TEST(test_signs_of_life_without_room),
      UPSTREAM_TEST(test_the_one_before_hears_once),
      UPSTREAM_TEST(test_the_one_before_hears_later),
      UPSTREAM_TEST(test_whom_the_environment_names),
  };
  unsetenv("NOTIFY_SOCKET");
  return cmocka_run_group_tests(tests, NULL, NULL);
}

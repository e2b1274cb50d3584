/* SPDX-License-Identifier: MIT */
/* Deadlines: what they cost is counted in steps, and does not depend on how
   many there are. */
#include "os/wheel.h"
#include "support/unit.h"

#include <limits.h>
#include <stdlib.h>

enum {
  MANY = 65000,     /* Connections of one server, about. */
  SPAN_MS = 90000,  /* One idle timeout. */
  START_MS = 123456 /* On the clock of these tests. */
};

/* Some timers and what is expected of them. */
typedef struct scene {
  fcgi__wheel wheel;   /* What is tested. */
  fcgi__timer *timers; /* In no order. */
  long long *due;      /* When each was asked for. */
  long long now;       /* The clock. */
  uint64_t looks;      /* How often the wheel was asked. */
  uint64_t taken;      /* How many timers it gave. */
} scene;

static int set_up(void **state) {
  scene *s = calloc(1, sizeof *s);
  s->timers = calloc(MANY, sizeof *s->timers);
  s->due = calloc(MANY, sizeof *s->due);
  s->now = START_MS;
  fcgi__wheel_init(&s->wheel, s->now);
  for (int i = 0; i < MANY; i++)
    fcgi__timer_init(&s->timers[i]);
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  scene *s = *state;
  fcgi__wheel_end(&s->wheel);
  free(s->timers);
  free(s->due);
  free(s);
  return 0;
}

static fcgi__timer *take(scene *s, long long now) {
  fcgi__wheel_turn(&s->wheel, now);
  return fcgi__wheel_take(&s->wheel);
}

static void arm(scene *s, int which, long long when) {
  long long next;
  s->due[which] = when;
  next = fcgi__wheel_arm(&s->wheel, &s->timers[which], when, s->now);
  assert_true(fcgi__wheel_next(&s->wheel) <= next);
}

/* Neither too soon nor too late. */
static void check_taken(scene *s, const fcgi__timer *timer,
                        long long asked_at) {
  long long due = s->due[timer - s->timers];
  assert_true(s->now >= due);
  assert_true(s->now - due <= (due - asked_at) / 64);
  s->taken++;
}

/* Let the clock go to each time that the wheel asks for, up to `end`. */
static void go_on(scene *s, long long end, long long asked_at) {
  long long next;
  while ((next = fcgi__wheel_next(&s->wheel)) <= end) {
    const fcgi__timer *timer;
    assert_true(next >= s->now);
    s->now = next;
    s->looks++;
    fcgi__wheel_turn(&s->wheel, s->now);
    while ((timer = fcgi__wheel_take(&s->wheel)) != NULL)
      check_taken(s, timer, asked_at);
    assert_true(fcgi__wheel_next(&s->wheel) > s->now);
  }
  s->now = end;
}

/* One step for setting it, one for each level on its way down, one when it is
   due; and the clock stops for many together. */
static void test_many_deadlines_cost_a_few_steps_each(void **state) {
  scene *s = *state;
  for (int i = 0; i < MANY; i++)
    arm(s, i, s->now + 1 + (long long)i * SPAN_MS / MANY);
  assert_int_equal(s->wheel.steps, MANY);
  go_on(s, START_MS + 2 * SPAN_MS, START_MS);
  assert_int_equal(s->taken, MANY);
  assert_int_equal(fcgi__wheel_next(&s->wheel), LLONG_MAX);
  assert_true(s->wheel.steps <= 4ull * MANY);
  assert_true(s->looks <= MANY / 16);
}

/* Idle connections, one after the other, each set again when it is due: a pass
   over all of them for each would be 65,000 times as much. */
static void test_staggered_deadlines_that_come_again(void **state) {
  scene *s = *state;
  uint64_t before;
  for (int i = 0; i < MANY; i++) {
    go_on(s, START_MS + (long long)i * SPAN_MS / MANY, s->now - SPAN_MS);
    arm(s, i, s->now + SPAN_MS);
  }
  before = s->wheel.steps;
  for (long long round = 0; round < 3; round++)
    for (int i = 0; i < MANY; i++) {
      long long end = START_MS + (round + 1) * (SPAN_MS + SPAN_MS / 64) +
                      (long long)i * SPAN_MS / MANY;
      go_on(s, end, end - SPAN_MS - SPAN_MS / 32);
      assert_int_equal(atomic_load(&s->timers[i].when), LLONG_MAX);
      arm(s, i, s->now + SPAN_MS);
    }
  assert_true(s->wheel.steps - before <= 3ull * 4 * MANY);
}

/* A later time is left to whoever takes the timer. */
static void test_only_a_sooner_time_changes_anything(void **state) {
  scene *s = *state;
  assert_int_equal(
      fcgi__wheel_arm(&s->wheel, &s->timers[0], s->now + 50, s->now),
      s->now + 50);
  assert_int_equal(
      fcgi__wheel_arm(&s->wheel, &s->timers[0], s->now + 60, s->now),
      LLONG_MAX);
  assert_int_equal(s->wheel.steps, 1);
  assert_int_equal(
      fcgi__wheel_arm(&s->wheel, &s->timers[0], s->now + 40, s->now),
      s->now + 40);
  assert_null(take(s, s->now + 39));
  assert_ptr_equal(take(s, s->now + 40), &s->timers[0]);
  assert_null(take(s, s->now + 100));
}

/* What is put off over and over, as the end of an idle connection, stays where
   it is, also while the time at which it is taken lies a little behind. */
static void test_a_time_that_is_put_off_changes_nothing(void **state) {
  scene *s = *state;
  long long start = s->now, when = s->now + SPAN_MS, set;
  arm(s, 0, when);
  set = atomic_load(&s->timers[0].when);
  assert_in_range(set, when, when + SPAN_MS / 64);
  for (long long now = start; now < start + SPAN_MS / 2; now++)
    assert_true(fcgi__timer_is_soon(&s->timers[0], now + SPAN_MS, now));
  assert_false(fcgi__timer_is_soon(&s->timers[0], set - SPAN_MS, start));
  assert_false(fcgi__timer_is_soon(&s->timers[0], start, start));
  assert_false(fcgi__timer_is_soon(&s->timers[1], when, start));
  assert_true(fcgi__timer_is_soon(&s->timers[1], LLONG_MAX, 0));
}

static void test_what_is_due_already_is_taken_at_once(void **state) {
  scene *s = *state;
  assert_int_equal(fcgi__wheel_arm(&s->wheel, &s->timers[0], 1, s->now),
                   s->now);
  assert_int_equal(fcgi__wheel_next(&s->wheel), s->now);
  /* It moves out of the list of those that are due as out of any. */
  fcgi__wheel_arm(&s->wheel, &s->timers[1], s->now - 5, s->now);
  fcgi__wheel_arm(&s->wheel, &s->timers[0], 0, s->now);
  assert_int_equal(fcgi__wheel_turn(&s->wheel, s->now), 2);
  assert_ptr_equal(take(s, s->now), &s->timers[1]);
  assert_ptr_equal(take(s, s->now), &s->timers[0]);
  assert_null(take(s, s->now));
}

/* A sweep counts what is due, and comes to an end however slow it is. */
static void test_what_is_due_again_is_behind_the_others(void **state) {
  scene *s = *state;
  for (int i = 0; i < 3; i++)
    fcgi__wheel_arm(&s->wheel, &s->timers[i], s->now - 3 + i, s->now);
  for (int i = 0; i < 9; i++) {
    assert_int_equal(fcgi__wheel_turn(&s->wheel, s->now), 3);
    assert_ptr_equal(take(s, s->now), &s->timers[i % 3]);
    fcgi__wheel_arm(&s->wheel, &s->timers[i % 3], s->now, s->now);
  }
}

/* A wheel that nobody has asked for long is as exact as any. */
static void test_a_clock_that_has_jumped(void **state) {
  scene *s = *state;
  arm(s, 0, s->now + 10);
  s->now += 3600000;
  assert_ptr_equal(take(s, s->now), &s->timers[0]);
  s->now += 36000000;
  assert_int_equal(
      fcgi__wheel_arm(&s->wheel, &s->timers[1], s->now + 20, s->now),
      s->now + 20);
}

/* Against a plain look at all of them, with times of every size. */
static void test_times_of_every_size(void **state) {
  scene *s = *state;
  uint32_t seed = 1;
  for (int i = 0; i < 2000; i++) {
    seed = seed * 1664525u + 1013904223u;
    arm(s, i, s->now + (long long)(seed >> (1 + seed % 31)));
  }
  go_on(s, s->now + INT_MAX * 2ll, START_MS);
  assert_int_equal(s->taken, 2000);
}

static void test_never_is_in_no_slot(void **state) {
  scene *s = *state;
  assert_int_equal(fcgi__wheel_arm(&s->wheel, &s->timers[0], LLONG_MAX, s->now),
                   LLONG_MAX);
  assert_int_equal(fcgi__wheel_next(&s->wheel), LLONG_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
      TEST(test_many_deadlines_cost_a_few_steps_each),
      TEST(test_staggered_deadlines_that_come_again),
      TEST(test_only_a_sooner_time_changes_anything),
      TEST(test_a_time_that_is_put_off_changes_nothing),
      TEST(test_what_is_due_already_is_taken_at_once),
      TEST(test_what_is_due_again_is_behind_the_others),
      TEST(test_a_clock_that_has_jumped),
      TEST(test_times_of_every_size),
      TEST(test_never_is_in_no_slot),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

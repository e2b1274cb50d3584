/* SPDX-License-Identifier: MIT */
/* Waiting for a handle: for how long, who is next, and what is counted. */
#include "resource/policy.h"
#include "resource/resource.h"
#include "support/keeping.h"
#include "support/unit.h"

#include <fastcgi/error.h>
#include <stdlib.h>

enum { START = 1000000, ACQUIRE = 2000, ME = 1, YOU = 2 };

static const fcgi_resource_config usual = {.size = sizeof usual,
                                           .scope = FCGI_RESOURCE_POOL,
                                           .most = 2,
                                           .steps = 1,
                                           .acquire_timeout_ms = ACQUIRE};

typedef struct scene {
  fcgi_resource resource;   /* Only its policy is used. */
  fcgi_allocator allocator; /* Of its handles. */
  fcgi__policy *policy;     /* Under test. */
} scene;

static int set_up(void **state) {
  scene *s = calloc(1, sizeof *s);
  char why[200];
  s->allocator = fcgi__allocator(NULL);
  s->policy = &s->resource.policy;
  s->policy->resource = &s->resource;
  s->policy->allocator = &s->allocator;
  *state = s;
  return fcgi__policy_init(s->policy, &usual, why, sizeof why);
}

static int tear_down(void **state) {
  scene *s = *state;
  while (s->policy->all) {
    fcgi_handle *handle = s->policy->all;
    s->policy->all = handle->next;
    free(handle);
  }
  free(s);
  return 0;
}

/* Waits in buckets that double: the first has those of less than 1 ms. */
static void test_waits_are_counted_by_their_length(void **state) {
  static const long long lengths[] = {0, 1, 2, 3, 4, 16383, 16384, 99999999};
  static const int buckets[] = {0, 1, 2, 2, 3, 14, 15, 15};
  scene *s = *state;
  uint64_t all = 0, sum = 0;
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    uint64_t before = s->policy->stats.waits[buckets[i]];
    fcgi__policy_waited(s->policy, lengths[i]);
    assert_int_equal(s->policy->stats.waits[buckets[i]], before + 1);
    sum += (uint64_t)lengths[i];
  }
  for (int i = 0; i < FCGI_RESOURCE_WAITS; i++)
    all += s->policy->stats.waits[i];
  assert_int_equal(all, sizeof lengths / sizeof *lengths);
  assert_int_equal(s->policy->stats.waited_ms, sum);
}

static void test_a_wait_ends_at_its_end(void **state) {
  scene *s = *state;
  const fcgi__ask ask = {.thread = ME, .until = START};
  assert_false(fcgi__policy_is_late(s->policy, &ask, START - 1));
  assert_true(fcgi__policy_is_late(s->policy, &ask, START));
}

/* It ends sooner where an outage has lasted for longer than anybody waits. */
static void test_a_wait_ends_with_an_outage_that_lasts(void **state) {
  scene *s = *state;
  const fcgi__ask ask = {.thread = ME, .until = START + ACQUIRE};
  s->policy->away = 1;
  s->policy->away_since = START - 500;
  assert_false(fcgi__policy_is_late(s->policy, &ask, START + ACQUIRE - 501));
  assert_true(fcgi__policy_is_late(s->policy, &ask, START + ACQUIRE - 500));
  s->policy->away_since = START + 500;
  assert_false(fcgi__policy_is_late(s->policy, &ask, START + ACQUIRE - 1));
  assert_true(fcgi__policy_is_late(s->policy, &ask, START + ACQUIRE));
}

/* Nobody but the first of the queue looks again before the end, and that one
   when the next attempt may be made. */
static void test_who_looks_again_in_an_outage(void **state) {
  scene *s = *state;
  fcgi__waiter waiter = {.given = NULL};
  fcgi__ask ask = {.thread = ME, .until = START + 1000, .queue = &waiter};
  fcgi__policy *p = s->policy;
  assert_int_equal(fcgi__policy_look_at(p, &ask, START), START + 1000);
  p->away = 1;
  p->away_since = START;
  p->first = &waiter;
  p->try_at = START + 70;
  assert_int_equal(fcgi__policy_look_at(p, &ask, START), START + 70);
  assert_int_equal(fcgi__policy_look_at(p, &ask, START + 80), START + 80);
  p->try_at = START + 1000;
  assert_int_equal(fcgi__policy_look_at(p, &ask, START), START + 1000);
  p->try_at = START + 1001;
  assert_int_equal(fcgi__policy_look_at(p, &ask, START), START + 1000);
  p->try_at = START + 70;
  p->trying = 1;
  assert_int_equal(fcgi__policy_look_at(p, &ask, START), START + 1000);
  p->trying = 0;
  p->used = 2;
  assert_int_equal(fcgi__policy_look_at(p, &ask, START), START + 1000);
  p->used = 1;
  ask.queue = NULL;
  assert_int_equal(fcgi__policy_look_at(p, &ask, START), START + 1000);
}

static int take(scene *s, uintptr_t thread, long long now, fcgi_handle **out) {
  fcgi__ask ask = {.thread = thread, .until = now + ACQUIRE};
  return fcgi__policy_take(s->policy, &ask, now, out);
}

/* The pause before an attempt is from a half to all of 40 ms and its doubles,
   up to 640. */
static void test_pauses_between_attempts(void **state) {
  scene *s = *state;
  long long now = START;
  fcgi_handle *handle;
  for (int i = 0; i < 12; i++) {
    long long most = 40ll << (i < 4 ? i : 4);
    assert_int_equal(take(s, ME, now, &handle), FCGI_RESOURCE_OPEN);
    assert_int_equal(fcgi__policy_done(s->policy, handle, FCGI_ERR_CLOSED, now),
                     FCGI_ERR_AGAIN);
    assert_in_range(s->policy->try_at - now, most / 2, most);
    assert_int_equal(take(s, ME, s->policy->try_at - 1, &handle),
                     FCGI__RESOURCE_WAIT);
    now = s->policy->try_at;
  }
}

/* Two that were under way when it went away are one outage. */
static void test_those_that_fail_together_are_one_outage(void **state) {
  scene *s = *state;
  fcgi_handle *first, *second;
  long long try_at;
  assert_int_equal(take(s, ME, START, &first), FCGI_RESOURCE_OPEN);
  assert_int_equal(take(s, YOU, START, &second), FCGI_RESOURCE_OPEN);
  fcgi__policy_done(s->policy, first, FCGI_ERR_CLOSED, START);
  try_at = s->policy->try_at;
  fcgi__policy_done(s->policy, second, FCGI_ERR_CLOSED, START + 5);
  assert_int_equal(s->policy->try_at, try_at);
  assert_int_equal(s->policy->away_since, START);
  assert_int_equal(s->policy->tries, 1);
  assert_int_equal(s->policy->stats.failed, 2);
}

/* Take those out of the queue that `which` has bits of, and let the last one
   come again: the order is that of their coming. */
static void test_whoever_leaves_the_queue_leaves_the_others(void **state) {
  scene *s = *state;
  for (unsigned which = 0; which < 8; which++) {
    fcgi__waiter waiters[4] = {{.queued = 0}};
    const fcgi__waiter *at;
    for (int i = 0; i < 3; i++)
      fcgi__policy_queue(s->policy, &waiters[i]);
    for (int i = 0; i < 3; i++)
      if (which & 1u << i)
        fcgi__policy_unqueue(s->policy, &waiters[i]);
    fcgi__policy_unqueue(s->policy, &waiters[3]); /* It has never been there. */
    fcgi__policy_queue(s->policy, &waiters[3]);
    at = s->policy->first;
    for (int i = 0; i < 3; i++)
      if (!(which & 1u << i)) {
        assert_ptr_equal(at, &waiters[i]);
        at = at->next;
      }
    assert_ptr_equal(at, &waiters[3]);
    assert_null(at->next);
    assert_int_equal(s->policy->stats.waiting,
                     4 - (unsigned)__builtin_popcount(which));
    while (s->policy->first)
      fcgi__policy_unqueue(s->policy, s->policy->first);
  }
  assert_int_equal(s->policy->stats.waiting, 0);
}

static const fcgi__ask woken;

static void wake(fcgi__waiter *waiter) {
  waiter->ask = &woken;
}

static void test_one_or_all_are_woken(void **state) {
  scene *s = *state;
  fcgi__waiter waiters[3] = {{.wake = wake}, {.wake = wake}, {.wake = wake}};
  fcgi__policy_wake(s->policy);
  for (int i = 0; i < 3; i++)
    fcgi__policy_queue(s->policy, &waiters[i]);
  fcgi__policy_wake(s->policy);
  assert_ptr_equal(waiters[0].ask, &woken);
  assert_null(waiters[1].ask);
  fcgi__policy_wake_all(s->policy);
  assert_ptr_equal(waiters[1].ask, &woken);
  assert_ptr_equal(waiters[2].ask, &woken);
}

static int check(const fcgi_resource_config *config) {
  fcgi__policy policy = {.used = 0};
  char why[200];
  return fcgi__policy_init(&policy, config, why, sizeof why);
}

/* The last number that is right, and the first that is wrong. */
static void test_the_bounds_of_options(void **state) {
  fcgi_resource_config config = usual;
  (void)state;
  config.least = 2;
  assert_int_equal(check(&config), 0);
  config.least = 3;
  assert_int_equal(check(&config), FCGI_ERR_INVALID);
  config.scope = FCGI_RESOURCE_THREAD; /* They have no pool. */
  assert_int_equal(check(&config), 0);
  config = usual;
  config.most = 0;
  config.least = 8;
  assert_int_equal(check(&config), 0);
  config.least = 9;
  assert_int_equal(check(&config), FCGI_ERR_INVALID);
  config = usual;
  config.most = 65536;
  assert_int_equal(check(&config), 0);
  config.most = 65537;
  assert_int_equal(check(&config), FCGI_ERR_INVALID);
  config = usual;
  config.retry = FCGI_RETRIES;
  assert_int_equal(check(&config), FCGI_ERR_INVALID);
}

static void test_the_bounds_of_times(void **state) {
  (void)state;
  for (int ms = FCGI_WAIT_NEVER - 1; ms <= 1; ms++) {
    fcgi_resource_config config = usual;
    const int waits = ms < FCGI_WAIT_NEVER ? FCGI_ERR_INVALID : 0;
    const int ages = ms < FCGI_WAIT_FOREVER ? FCGI_ERR_INVALID : 0;
    config.acquire_timeout_ms = ms;
    assert_int_equal(check(&config), waits);
    config = usual;
    config.check_after_ms = ms;
    assert_int_equal(check(&config), waits);
    config = usual;
    config.max_age_ms = ms;
    assert_int_equal(check(&config), ages);
    config = usual;
    config.max_idle_ms = ms;
    assert_int_equal(check(&config), ages);
  }
}

static int tidy_ms(int age_ms, int idle_ms) {
  static keeping k;
  fcgi_resource_config config = keeping_config(&k);
  int ms;
  config.max_age_ms = age_ms;
  config.max_idle_ms = idle_ms;
  keeping_begin(&k, &config);
  ms = fcgi_resource_tidy_ms(k.resource);
  keeping_end(&k);
  return ms;
}

/* An eighth of the shorter time, which is at least a tenth of a second, and at
   most a quarter of a minute. */
static void test_how_often_it_is_tidied_up(void **state) {
  (void)state;
  assert_int_equal(tidy_ms(16000, 8000), 1000);
  assert_int_equal(tidy_ms(8000, 16000), 1000);
  assert_int_equal(tidy_ms(1, 16000), 100);
  assert_int_equal(tidy_ms(808, 16000), 101);
  assert_int_equal(tidy_ms(119992, 200000), 14999);
  assert_int_equal(tidy_ms(120008, 200000), 15000);
  assert_int_equal(tidy_ms(FCGI_WAIT_FOREVER, FCGI_WAIT_FOREVER), 15000);
}

#define WAIT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      WAIT_TEST(test_waits_are_counted_by_their_length),
      WAIT_TEST(test_a_wait_ends_at_its_end),
      WAIT_TEST(test_a_wait_ends_with_an_outage_that_lasts),
      WAIT_TEST(test_who_looks_again_in_an_outage),
      WAIT_TEST(test_pauses_between_attempts),
      WAIT_TEST(test_those_that_fail_together_are_one_outage),
      WAIT_TEST(test_whoever_leaves_the_queue_leaves_the_others),
      WAIT_TEST(test_one_or_all_are_woken),
      WAIT_TEST(test_the_bounds_of_options),
      WAIT_TEST(test_the_bounds_of_times),
      cmocka_unit_test(test_how_often_it_is_tidied_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The policy by itself: its time is a number that the test chooses. */
#include "resource/policy.h"
#include "resource/resource.h"
#include "support/unit.h"

#include <fastcgi/error.h>
#include <stdlib.h>
#include <string.h>

enum { START = 1000000, ME = 1, YOU = 2, THIRD = 3 };

typedef struct scene {
  fcgi_resource resource; /* Only its policy is used. */
  fcgi_allocator allocator;
  fcgi__policy *policy;
  long long now;   /* The clock. */
  int values[256]; /* What is opened, */
  int opened;      /* and how many there were. */
  int woken;       /* Waiters that were woken. */
} scene;

static fcgi_resource_config pool_of(unsigned most) {
  return (fcgi_resource_config){.size = sizeof(fcgi_resource_config),
                                .scope = FCGI_RESOURCE_POOL,
                                .most = most,
                                .steps = 1,
                                .wanted = 1u << FCGI_RESOURCE_CHECK |
                                          1u << FCGI_RESOURCE_RESET};
}

static scene *begin(const fcgi_resource_config *config) {
  scene *s = calloc(1, sizeof *s);
  char why[200];
  s->allocator = fcgi__allocator(NULL);
  s->policy = &s->resource.policy;
  s->policy->resource = &s->resource;
  s->policy->allocator = &s->allocator;
  s->now = START;
  assert_int_equal(fcgi__policy_init(s->policy, config, why, sizeof why), 0);
  return s;
}

static void end(scene *s) {
  while (s->policy->all) {
    fcgi_handle *handle = s->policy->all;
    s->policy->all = handle->next;
    free(handle);
  }
  free(s);
}

static int ask(scene *s, uintptr_t thread, fcgi_handle **out) {
  fcgi__ask who = {.thread = thread, .until = s->now + s->policy->acquire};
  *out = NULL;
  return fcgi__policy_take(s->policy, &who, s->now, out);
}

static int done(scene *s, fcgi_handle *handle, int outcome) {
  if (handle->step == FCGI_RESOURCE_OPEN && outcome == 0)
    handle->value = &s->values[s->opened++];
  return fcgi__policy_done(s->policy, handle, outcome, s->now);
}

static fcgi_handle *take_open(scene *s, uintptr_t thread) {
  fcgi_handle *handle;
  assert_int_equal(ask(s, thread, &handle), FCGI_RESOURCE_OPEN);
  assert_int_equal(done(s, handle, 0), FCGI_RESOURCE_READY);
  return handle;
}

static fcgi_handle *take_ready(scene *s, uintptr_t thread) {
  fcgi_handle *handle;
  assert_int_equal(ask(s, thread, &handle), FCGI_RESOURCE_READY);
  return handle;
}

static int give_one(scene *s, fcgi_handle *handle) {
  void *place;
  return fcgi__policy_give(s->policy, handle, 0, &place, s->now);
}

static void give(scene *s, fcgi_handle *handle) {
  assert_int_equal(give_one(s, handle), FCGI_RESOURCE_RESET);
  assert_int_equal(done(s, handle, 0), FCGI_RESOURCE_READY);
}

static uint64_t closed_by(const scene *s, fcgi_resource_cause cause) {
  return s->policy->stats.closed[cause];
}

static void test_opens_once_and_keeps(void **state) {
  const fcgi_resource_config config = pool_of(2);
  scene *s = begin(&config);
  fcgi_handle *first = take_open(s, ME);
  give(s, first);
  assert_ptr_equal(take_ready(s, YOU), first);
  give(s, first);
  assert_int_equal(s->policy->stats.opened, 1);
  assert_int_equal(s->policy->stats.taken, 2);
  assert_int_equal(s->policy->stats.in_use, 0);
  end(s);
  (void)state;
}

static void test_nested_takes_have_one_handle(void **state) {
  const fcgi_resource_config config = pool_of(2);
  scene *s = begin(&config);
  fcgi_handle *first = take_open(s, ME);
  assert_ptr_equal(take_ready(s, ME), first);
  assert_int_equal(give_one(s, first), FCGI_RESOURCE_READY);
  give(s, first);
  end(s);
  (void)state;
}

static void test_is_checked_after_a_rest(void **state) {
  fcgi_resource_config config = pool_of(1);
  config.check_after_ms = 500;
  scene *s = begin(&config);
  fcgi_handle *handle = take_open(s, ME);
  give(s, handle);
  s->now += 499;
  take_ready(s, ME);
  give(s, handle);
  s->now += 500;
  assert_int_equal(ask(s, ME, &handle), FCGI_RESOURCE_CHECK);
  assert_int_equal(done(s, handle, 0), FCGI_RESOURCE_READY);
  give(s, handle);
  end(s);
  (void)state;
}

static void test_is_checked_always_or_never(void **state) {
  fcgi_resource_config config = pool_of(1);
  config.check_after_ms = FCGI_WAIT_NEVER;
  scene *s = begin(&config);
  fcgi_handle *handle = take_open(s, ME);
  give(s, handle);
  assert_int_equal(ask(s, ME, &handle), FCGI_RESOURCE_CHECK);
  end(s);
  config.check_after_ms = FCGI_WAIT_FOREVER;
  config.max_age_ms = FCGI_WAIT_FOREVER;
  s = begin(&config);
  handle = take_open(s, ME);
  give(s, handle);
  s->now += 1000ll * 1000 * 1000 * 1000;
  take_ready(s, ME);
  end(s);
  (void)state;
}

static void test_broken_is_replaced_in_the_same_take(void **state) {
  fcgi_resource_config config = pool_of(1);
  config.check_after_ms = FCGI_WAIT_NEVER;
  scene *s = begin(&config);
  fcgi_handle *handle = take_open(s, ME);
  give(s, handle);
  assert_int_equal(ask(s, ME, &handle), FCGI_RESOURCE_CHECK);
  assert_int_equal(done(s, handle, FCGI_ERR_CLOSED), FCGI_RESOURCE_CLOSE);
  assert_int_equal(done(s, handle, 0), FCGI_RESOURCE_OPEN);
  assert_int_equal(done(s, handle, 0), FCGI_RESOURCE_READY);
  assert_ptr_equal(handle->value, &s->values[1]);
  assert_int_equal(closed_by(s, FCGI_RESOURCE_BY_CHECK), 1);
  assert_int_equal(s->policy->stats.open, 1);
  end(s);
  (void)state;
}

/* Those that were opened before one was found broken are checked; those that
   come after are not, however many of the old ones turn out broken too. */
static void test_one_that_breaks_makes_the_others_suspect(void **state) {
  const fcgi_resource_config config = pool_of(3);
  scene *s = begin(&config);
  fcgi_handle *a = take_open(s, ME), *b = take_open(s, YOU),
              *c = take_open(s, THIRD), *again;
  fcgi__policy_invalidate(s->policy, a);
  assert_int_equal(give_one(s, a), FCGI_RESOURCE_CLOSE);
  assert_int_equal(done(s, a, 0), FCGI_RESOURCE_READY);
  a = take_open(s, ME);
  give(s, b);
  s->now++;
  assert_int_equal(ask(s, YOU, &again), FCGI_RESOURCE_CHECK);
  assert_ptr_equal(again, b);
  assert_int_equal(done(s, b, FCGI_ERR_CLOSED), FCGI_RESOURCE_CLOSE);
  assert_int_equal(done(s, b, 0), FCGI_RESOURCE_OPEN);
  assert_int_equal(done(s, b, 0), FCGI_RESOURCE_READY);
  give(s, a);
  take_ready(s, ME);
  give(s, c);
  assert_int_equal(ask(s, THIRD, &again), FCGI_RESOURCE_CHECK);
  end(s);
  (void)state;
}

static void test_failed_reset_closes(void **state) {
  const fcgi_resource_config config = pool_of(1);
  scene *s = begin(&config);
  fcgi_handle *handle = take_open(s, ME);
  assert_int_equal(give_one(s, handle), FCGI_RESOURCE_RESET);
  assert_int_equal(done(s, handle, FCGI_ERR_CLOSED), FCGI_RESOURCE_CLOSE);
  assert_int_equal(done(s, handle, 0), FCGI_RESOURCE_READY);
  assert_int_equal(closed_by(s, FCGI_RESOURCE_BY_RESET), 1);
  assert_int_equal(s->policy->used, 0);
  end(s);
  (void)state;
}

static void test_ages_differ_by_a_tenth_at_most(void **state) {
  fcgi_resource_config config = pool_of(64);
  config.max_age_ms = 1000;
  scene *s = begin(&config);
  long long least = INT64_MAX, most = 0;
  for (uintptr_t i = 1; i <= 64; i++) {
    long long age = take_open(s, i)->too_old - s->now;
    least = age < least ? age : least;
    most = age > most ? age : most;
  }
  assert_true(least > 900 && most <= 1000 && most - least > 30);
  end(s);
  (void)state;
}

static void test_an_old_one_is_replaced(void **state) {
  fcgi_resource_config config = pool_of(1);
  config.max_age_ms = 1000;
  scene *s = begin(&config);
  fcgi_handle *handle = take_open(s, ME);
  give(s, handle);
  s->now += 1000;
  assert_int_equal(ask(s, ME, &handle), FCGI_RESOURCE_CLOSE);
  assert_int_equal(done(s, handle, 0), FCGI_RESOURCE_OPEN);
  assert_int_equal(done(s, handle, 0), FCGI_RESOURCE_READY);
  s->now += 1000;
  assert_int_equal(give_one(s, handle), FCGI_RESOURCE_RESET);
  assert_int_equal(done(s, handle, 0), FCGI_RESOURCE_CLOSE);
  assert_int_equal(done(s, handle, 0), FCGI_RESOURCE_READY);
  assert_int_equal(closed_by(s, FCGI_RESOURCE_BY_AGE), 2);
  end(s);
  (void)state;
}

static int tidy(scene *s, fcgi_resource_tidying what, uintptr_t thread,
                fcgi_handle **out) {
  return fcgi__policy_tidy(s->policy, what, thread, s->now, out);
}

static void test_reaping_keeps_the_least(void **state) {
  fcgi_resource_config config = pool_of(3);
  config.least = 1;
  config.max_idle_ms = 1000;
  scene *s = begin(&config);
  fcgi_handle *handles[3], *out;
  for (uintptr_t i = 0; i < 3; i++)
    handles[i] = take_open(s, i + 1);
  for (int i = 0; i < 3; i++)
    give(s, handles[i]);
  s->now += 999;
  assert_int_equal(tidy(s, FCGI_RESOURCE_REAP, ME, &out), 0);
  assert_null(out);
  s->now++;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(tidy(s, FCGI_RESOURCE_REAP, ME, &out),
                     FCGI_RESOURCE_CLOSE);
    assert_int_equal(done(s, out, 0), 0);
  }
  assert_int_equal(tidy(s, FCGI_RESOURCE_REAP, ME, &out), 0);
  assert_int_equal(closed_by(s, FCGI_RESOURCE_BY_IDLE), 2);
  fcgi__policy_invalidate(s->policy, handles[0]);
  end(s);
  (void)state;
}

static void test_the_least_are_opened(void **state) {
  fcgi_resource_config config = pool_of(4);
  config.least = 2;
  scene *s = begin(&config);
  fcgi_handle *out;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(tidy(s, FCGI_RESOURCE_REAP, ME, &out), FCGI_RESOURCE_OPEN);
    assert_int_equal(done(s, out, 0), FCGI_RESOURCE_READY);
  }
  assert_int_equal(tidy(s, FCGI_RESOURCE_REAP, ME, &out), 0);
  assert_int_equal(s->policy->stats.open, 2);
  take_ready(s, ME);
  end(s);
  (void)state;
}

static void test_drained_ones_close_when_they_rest(void **state) {
  const fcgi_resource_config config = pool_of(2);
  scene *s = begin(&config);
  fcgi_handle *a = take_open(s, ME), *b = take_open(s, YOU), *out;
  give(s, b);
  s->policy->round++;
  assert_int_equal(tidy(s, FCGI_RESOURCE_REAP, ME, &out), FCGI_RESOURCE_CLOSE);
  assert_ptr_equal(out, b);
  assert_int_equal(done(s, b, 0), 0);
  assert_int_equal(give_one(s, a), FCGI_RESOURCE_RESET);
  assert_int_equal(done(s, a, 0), FCGI_RESOURCE_CLOSE);
  assert_int_equal(done(s, a, 0), 0);
  assert_int_equal(closed_by(s, FCGI_RESOURCE_BY_DRAINED), 2);
  give(s, take_open(s, ME));
  end(s);
  (void)state;
}

static void wake(fcgi__waiter *waiter) {
  (void)waiter;
}

static void test_waiters_are_served_in_order(void **state) {
  const fcgi_resource_config config = pool_of(1);
  scene *s = begin(&config);
  fcgi_handle *handle = take_open(s, ME), *out;
  fcgi__ask asks[2] = {{.thread = YOU, .until = s->now + 100},
                       {.thread = THIRD, .until = s->now + 100}};
  fcgi__waiter waiters[2] = {{.ask = &asks[0], .wake = wake},
                             {.ask = &asks[1], .wake = wake}};
  for (int i = 0; i < 2; i++) {
    asks[i].queue = &waiters[i];
    assert_int_equal(fcgi__policy_take(s->policy, &asks[i], s->now, &out),
                     FCGI__RESOURCE_WAIT);
    fcgi__policy_queue(s->policy, &waiters[i]);
  }
  assert_int_equal(s->policy->stats.waiting, 2);
  give(s, handle);
  assert_ptr_equal(waiters[0].given, handle);
  assert_null(waiters[1].given);
  assert_int_equal(ask(s, ME, &out), FCGI__RESOURCE_WAIT);
  assert_int_equal(fcgi__policy_given(s->policy, handle, s->now), 0);
  assert_int_equal(handle->thread, YOU);
  give(s, handle);
  assert_ptr_equal(waiters[1].given, handle);
  assert_int_equal(s->policy->stats.waiting, 0);
  end(s);
  (void)state;
}

/* One attempt at a time, pauses that grow up to a bound, and a wait that ends
   with the outage's, however long the waiter's own time is. */
static void test_an_outage(void **state) {
  fcgi_resource_config config = pool_of(8);
  config.acquire_timeout_ms = 2000;
  scene *s = begin(&config);
  fcgi_handle *handle, *other;
  fcgi__ask who = {.thread = YOU, .until = s->now + 2000};
  assert_int_equal(ask(s, ME, &handle), FCGI_RESOURCE_OPEN);
  assert_int_equal(done(s, handle, FCGI_ERR_CLOSED), FCGI_ERR_AGAIN);
  assert_int_equal(ask(s, ME, &other), FCGI__RESOURCE_WAIT);
  long long longest = 0;
  for (int i = 0; i < 20; i++) {
    longest = s->policy->try_at - s->now > longest ? s->policy->try_at - s->now
                                                   : longest;
    assert_true(s->policy->try_at > s->now);
    s->now = s->policy->try_at;
    assert_int_equal(ask(s, ME, &handle), FCGI_RESOURCE_OPEN);
    assert_int_equal(ask(s, YOU, &other), FCGI__RESOURCE_WAIT);
    assert_int_equal(done(s, handle, FCGI_ERR_CLOSED), FCGI_ERR_AGAIN);
  }
  assert_true(longest > 300 && longest < 700);
  who.until = s->now + 2000;
  assert_true(fcgi__policy_is_late(s->policy, &who, s->now));
  s->now = s->policy->try_at;
  assert_int_equal(ask(s, ME, &handle), FCGI_RESOURCE_OPEN);
  assert_int_equal(done(s, handle, 0), FCGI_RESOURCE_READY);
  assert_int_equal(s->policy->away, 0);
  take_open(s, YOU);
  assert_int_equal(s->policy->stats.failed, 21);
  end(s);
  (void)state;
}

/* With every handle held, an attempt is nobody's to make: a waiter must not
   look again and again. */
static void test_an_outage_of_a_full_pool_does_not_spin(void **state) {
  const fcgi_resource_config config = pool_of(1);
  scene *s = begin(&config);
  fcgi__ask who = {.thread = YOU, .until = s->now + 2000};
  take_open(s, ME);
  s->policy->away = 1;
  s->policy->away_since = s->policy->try_at = s->now;
  assert_int_equal(fcgi__policy_look_at(s->policy, &who, s->now), who.until);
  end(s);
  (void)state;
}

static void test_a_fault_of_the_program_is_told_at_once(void **state) {
  const fcgi_resource_config config = pool_of(2);
  scene *s = begin(&config);
  fcgi_handle *handle;
  assert_int_equal(ask(s, ME, &handle), FCGI_RESOURCE_OPEN);
  assert_int_equal(done(s, handle, FCGI_ERR_INVALID), FCGI_ERR_INVALID);
  s->now = s->policy->try_at;
  handle = take_open(s, ME);
  assert_int_equal(ask(s, YOU, &handle), FCGI_RESOURCE_OPEN);
  handle->value = &s->values[0];
  assert_int_equal(fcgi__policy_done(s->policy, handle, 0, s->now),
                   FCGI_ERR_INVALID);
  assert_non_null(strstr(s->policy->fault, "open already"));
  assert_int_equal(s->policy->stats.open, 1);
  end(s);
  (void)state;
}

static void test_threads_have_their_own(void **state) {
  fcgi_resource_config config = pool_of(0);
  config.scope = FCGI_RESOURCE_THREAD;
  scene *s = begin(&config);
  fcgi_handle *mine, *yours, *out;
  fcgi_holder holder = {.wanted = 0};
  mine = take_open(s, ME);
  yours = take_open(s, YOU);
  assert_ptr_not_equal(mine, yours);
  give(s, mine);
  fcgi__ask who = {.thread = ME, .own = mine, .until = s->now};
  assert_int_equal(fcgi__policy_take(s->policy, &who, s->now, &out), 0);
  assert_ptr_equal(out, mine);
  who.holder = &holder;
  assert_int_equal(fcgi__policy_take(s->policy, &who, s->now, &out),
                   FCGI_ERR_STATE);
  give(s, mine);
  give(s, yours);
  assert_int_equal(tidy(s, FCGI_RESOURCE_LEAVE, ME, &out), FCGI_RESOURCE_CLOSE);
  assert_ptr_equal(out, mine);
  assert_int_equal(done(s, mine, 0), 0);
  assert_int_equal(tidy(s, FCGI_RESOURCE_LEAVE, ME, &out), 0);
  assert_int_equal(tidy(s, FCGI_RESOURCE_ALL, ME, &out), FCGI_RESOURCE_CLOSE);
  end(s);
  (void)state;
}

static void test_a_closed_one_gives_nothing(void **state) {
  const fcgi_resource_config config = pool_of(1);
  scene *s = begin(&config);
  fcgi_handle *handle = take_open(s, ME), *out;
  s->policy->closed = 1;
  assert_int_equal(ask(s, YOU, &out), FCGI_ERR_CLOSED);
  assert_int_equal(give_one(s, handle), FCGI_RESOURCE_RESET);
  assert_int_equal(done(s, handle, 0), FCGI_RESOURCE_CLOSE);
  assert_int_equal(done(s, handle, 0), 0);
  assert_int_equal(tidy(s, FCGI_RESOURCE_REAP, ME, &out), 0);
  end(s);
  (void)state;
}

static void test_wrong_options(void **state) {
  char why[200];
  fcgi__policy policy = {.used = 0};
  fcgi_resource_config config = pool_of(2);
  config.least = 3;
  assert_int_equal(fcgi__policy_init(&policy, &config, why, sizeof why),
                   FCGI_ERR_INVALID);
  assert_string_equal(why, "resource 'resource': least is larger than most");
  config = pool_of(2);
  config.steps = 0;
  assert_int_equal(fcgi__policy_init(&policy, &config, why, sizeof why),
                   FCGI_ERR_INVALID);
  config = pool_of(2);
  config.max_idle_ms = -7;
  assert_int_equal(fcgi__policy_init(&policy, &config, why, sizeof why),
                   FCGI_ERR_INVALID);
  config = pool_of(2);
  config.scope = FCGI_RESOURCE_SCOPES;
  assert_int_equal(fcgi__policy_init(&policy, &config, why, sizeof why),
                   FCGI_ERR_INVALID);
  (void)state;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_opens_once_and_keeps),
      cmocka_unit_test(test_nested_takes_have_one_handle),
      cmocka_unit_test(test_is_checked_after_a_rest),
      cmocka_unit_test(test_is_checked_always_or_never),
      cmocka_unit_test(test_broken_is_replaced_in_the_same_take),
      cmocka_unit_test(test_one_that_breaks_makes_the_others_suspect),
      cmocka_unit_test(test_failed_reset_closes),
      cmocka_unit_test(test_ages_differ_by_a_tenth_at_most),
      cmocka_unit_test(test_an_old_one_is_replaced),
      cmocka_unit_test(test_reaping_keeps_the_least),
      cmocka_unit_test(test_the_least_are_opened),
      cmocka_unit_test(test_drained_ones_close_when_they_rest),
      cmocka_unit_test(test_waiters_are_served_in_order),
      cmocka_unit_test(test_an_outage),
      cmocka_unit_test(test_an_outage_of_a_full_pool_does_not_spin),
      cmocka_unit_test(test_a_fault_of_the_program_is_told_at_once),
      cmocka_unit_test(test_threads_have_their_own),
      cmocka_unit_test(test_a_closed_one_gives_nothing),
      cmocka_unit_test(test_wrong_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

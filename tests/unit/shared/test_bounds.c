/* SPDX-License-Identifier: MIT */
/* What a dictionary counts, and how large and how long things may be. */
#include "os/clock.h"
#include "support/sound.h"
#include "support/unit.h"

#include <fastcgi/error.h>
#include <stdio.h>
#include <string.h>

enum { WAIT_MS = 120, MINUTE_MS = 60000 };

static int set_up(void **state) {
  *state = unit_shared(FCGI_SHARED_LEAST);
  return 0;
}

static int tear_down(void **state) {
  assert_null(unit_unsound(*state));
  fcgi_shared_free(*state);
  return 0;
}

static int set(fcgi_shared *d, const char *key, int64_t ttl_ms) {
  const fcgi_shared_value value = {
      .kind = FCGI_SHARED_STRING, .data = "hello", .len = 5, .ttl_ms = ttl_ms};
  return fcgi_shared_set(d, key, strlen(key), &value);
}

static int has(fcgi_shared *d, const char *key) {
  fcgi_shared_value value;
  return fcgi_shared_get(d, key, strlen(key), NULL, 0, &value);
}

static uint64_t count(fcgi_shared *d, fcgi_shared_count which) {
  uint64_t all[FCGI_SHARED_COUNTS];
  assert_int_equal(fcgi_shared_counts(d, all, FCGI_SHARED_COUNTS), 0);
  return all[which];
}

static void test_what_is_stored_and_found_is_counted(void **state) {
  fcgi_shared *d = *state;
  const fcgi_shared_value value = {.kind = FCGI_SHARED_INTEGER};
  const int64_t zero = 0;
  int64_t sum;
  set(d, "a", 0);
  set(d, "a", 0);
  assert_int_equal(fcgi_shared_add(d, "a", 1, &value), 0);
  assert_int_equal(fcgi_shared_replace(d, "b", 1, &value), 0);
  assert_int_equal(count(d, FCGI_SHARED_STORED), 2);
  assert_int_equal(fcgi_shared_incr(d, "n", 1, 1, &zero, 0, &sum), 1);
  assert_int_equal(count(d, FCGI_SHARED_STORED), 3);
  for (int i = 0; i < 5; i++)
    has(d, i < 3 ? "a" : "none");
  assert_int_equal(count(d, FCGI_SHARED_HITS), 3);
  assert_int_equal(count(d, FCGI_SHARED_MISSES), 2);
  assert_int_equal(count(d, FCGI_SHARED_ENTRIES), 2);
}

/* A program of before there were the last ones asks for fewer. */
static void test_no_more_counts_than_there_is_room_for(void **state) {
  enum { MORE = FCGI_SHARED_COUNTS + 2 };
  fcgi_shared *d = *state;
  uint64_t all[FCGI_SHARED_COUNTS];
  set(d, "a", 0);
  set(d, "b", 0);
  assert_int_equal(fcgi_shared_counts(d, all, FCGI_SHARED_COUNTS), 0);
  assert_true(all[FCGI_SHARED_USED] > 0);
  for (size_t room = 0; room <= MORE; room++) {
    uint64_t some[MORE + 1];
    memset(some, 0xee, sizeof some);
    assert_int_equal(fcgi_shared_counts(d, some, room), 0);
    for (size_t i = 0; i < room; i++)
      assert_int_equal(some[i], i < FCGI_SHARED_COUNTS ? all[i] : 0);
    for (size_t i = room; i <= MORE; i++)
      assert_int_equal(some[i], UINT64_C(0xeeeeeeeeeeeeeeee));
  }
}

static void test_a_value_that_just_fits_the_room(void **state) {
  fcgi_shared *d = *state;
  fcgi_shared_value value;
  char room[5];
  set(d, "a", 0);
  assert_int_equal(fcgi_shared_get(d, "a", 1, room, 5, &value), 1);
  assert_ptr_equal(value.data, room);
  assert_memory_equal(room, "hello", 5);
  assert_int_equal(fcgi_shared_get(d, "a", 1, room, 4, &value), 1);
  assert_null(value.data);
}

/* A sum of two such times does not overflow. */
static void test_the_longest_time(void **state) {
  fcgi_shared *d = *state;
  const int64_t most = INT64_MAX / 4, zero = 0;
  uint64_t token;
  int64_t sum;
  assert_int_equal(set(d, "a", most), 0);
  assert_int_equal(set(d, "b", most + 1), FCGI_ERR_INVALID);
  assert_int_equal(has(d, "a"), 1);
  assert_int_equal(fcgi_shared_expire(d, "a", 1, most), 1);
  assert_int_equal(fcgi_shared_expire(d, "a", 1, most + 1), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_shared_incr(d, "n", 1, 1, &zero, most, &sum), 1);
  assert_int_equal(fcgi_shared_incr(d, "n", 1, 1, &zero, most + 1, &sum),
                   FCGI_ERR_INVALID);
  assert_int_equal(fcgi_shared_lock(d, "l", 1, most, 0, &token), 1);
  assert_int_equal(fcgi_shared_lock(d, "m", 1, most + 1, 0, &token),
                   FCGI_ERR_INVALID);
}

/* Either way, and for the first sum too. */
static void test_sums_beyond_64_bits(void **state) {
  fcgi_shared *d = *state;
  const int64_t most = INT64_MAX, least = INT64_MIN;
  int64_t sum;
  assert_int_equal(fcgi_shared_incr(d, "a", 1, 1, &most, 0, &sum),
                   FCGI_ERR_LIMIT);
  assert_int_equal(has(d, "a"), 0);
  assert_int_equal(fcgi_shared_incr(d, "a", 1, 0, &least, 0, &sum), 1);
  assert_int_equal(fcgi_shared_incr(d, "a", 1, -1, NULL, 0, &sum),
                   FCGI_ERR_LIMIT);
  assert_int_equal(fcgi_shared_incr(d, "a", 1, 0, NULL, 0, &sum), 1);
  assert_true(sum == INT64_MIN);
}

/* An expired one is looked for among the eight oldest. */
static void expect_gone(fcgi_shared *d, int older, fcgi_shared_count which) {
  char key[16];
  uint64_t before = count(d, which);
  for (int i = 0; i < older; i++) {
    snprintf(key, sizeof key, "old%d", i);
    set(d, key, 0);
  }
  set(d, "over", 1);
  d->ahead_ms += 2;
  for (int i = 0; count(d, which) == before; i++) {
    snprintf(key, sizeof key, "key%d", i);
    assert_true(set(d, key, 0) >= 0);
    assert_true(i < 10000);
  }
  assert_int_equal(has(d, "old0"), which == FCGI_SHARED_EXPIRED);
}

static void test_the_eighth_oldest_that_is_over_goes(void **state) {
  fcgi_shared *d = *state;
  expect_gone(d, 7, FCGI_SHARED_EXPIRED);
  assert_int_equal(count(d, FCGI_SHARED_EVICTED), 0);
}

static void test_the_ninth_oldest_that_is_over_has_to_wait(void **state) {
  fcgi_shared *d = *state;
  expect_gone(d, 8, FCGI_SHARED_EVICTED);
  assert_int_equal(count(d, FCGI_SHARED_EXPIRED), 0);
}

static int try_lock(fcgi_shared *d, int64_t ttl_ms, int wait_ms) {
  uint64_t token;
  return fcgi_shared_lock(d, "key", 3, ttl_ms, wait_ms, &token);
}

/* It is waited for as long as was said, in more than one look. */
static void test_a_lock_is_waited_for(void **state) {
  fcgi_shared *d = *state;
  long long began = fcgi__now();
  assert_int_equal(try_lock(d, MINUTE_MS, FCGI_WAIT_NEVER), 1);
  assert_int_equal(try_lock(d, MINUTE_MS, WAIT_MS), 0);
  assert_true(fcgi__now() - began >= WAIT_MS);
}

static void test_a_lock_lasts_for_a_minute(void **state) {
  fcgi_shared *d = *state;
  assert_int_equal(try_lock(d, 0, FCGI_WAIT_NEVER), 1);
  d->ahead_ms += MINUTE_MS / 2;
  assert_int_equal(try_lock(d, 0, FCGI_WAIT_NEVER), 0);
  d->ahead_ms += MINUTE_MS / 2;
  assert_int_equal(try_lock(d, 0, FCGI_WAIT_NEVER), 1);
}

/* Whoever waits gets it when its time is over, though nobody gives it back. */
static void test_a_waiter_sees_the_end_of_a_lock(void **state) {
  fcgi_shared *d = *state;
  assert_int_equal(try_lock(d, WAIT_MS, FCGI_WAIT_NEVER), 1);
  assert_int_equal(try_lock(d, MINUTE_MS, MINUTE_MS), 1);
}

#define BOUND_TEST(name)                                                       \
  cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BOUND_TEST(test_what_is_stored_and_found_is_counted),
      BOUND_TEST(test_no_more_counts_than_there_is_room_for),
      BOUND_TEST(test_a_value_that_just_fits_the_room),
      BOUND_TEST(test_the_longest_time),
      BOUND_TEST(test_sums_beyond_64_bits),
      BOUND_TEST(test_the_eighth_oldest_that_is_over_goes),
      BOUND_TEST(test_the_ninth_oldest_that_is_over_has_to_wait),
      BOUND_TEST(test_a_lock_is_waited_for),
      BOUND_TEST(test_a_lock_lasts_for_a_minute),
      BOUND_TEST(test_a_waiter_sees_the_end_of_a_lock),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

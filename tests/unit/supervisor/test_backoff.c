/* SPDX-License-Identifier: MIT */
#include "supervisor/backoff.h"
#include "support/unit.h"

static void test_first_early_death_costs_nothing(void **state) {
  fcgi__backoff b = {.until = 0};
  (void)state;
  assert_int_equal(fcgi__backoff_died(&b, 5000, 10, 0), 0);
  assert_true(b.until <= 5000);
}

static void test_early_deaths_cost_twice_as_much_each_time(void **state) {
  static const int delays[] = {0,    100,  200,  400,   800,
                               1600, 3200, 6400, 10000, 10000};
  fcgi__backoff b = {.until = 0};
  long long now = 1000;
  (void)state;
  for (size_t i = 0; i < sizeof delays / sizeof *delays; i++, now += 10) {
    assert_int_equal(fcgi__backoff_died(&b, now, 10, 0), delays[i]);
    assert_int_equal(b.until, now + delays[i]);
  }
}

static void test_late_deaths_cost_nothing(void **state) {
  fcgi__backoff b = {.until = 0};
  (void)state;
  for (int i = 0; i < 5; i++)
    assert_int_equal(fcgi__backoff_died(&b, 9000, FCGI__BACKOFF_YOUNG_MS, 0),
                     0);
  assert_int_equal(b.until, 0);
}

/* A program that ends by itself, with status 0, does so on purpose. */
static void test_clean_deaths_count_only_when_very_early(void **state) {
  fcgi__backoff b = {.until = 0};
  (void)state;
  for (int i = 0; i < 5; i++)
    assert_int_equal(
        fcgi__backoff_died(&b, 9000, FCGI__BACKOFF_YOUNG_CLEAN_MS, 1), 0);
  assert_int_equal(fcgi__backoff_died(&b, 9000, 5, 1), 0);
  assert_int_equal(fcgi__backoff_died(&b, 9010, 5, 1), 100);
}

static void test_a_worker_that_lives_makes_them_forgotten(void **state) {
  fcgi__backoff b = {.until = 0};
  (void)state;
  fcgi__backoff_died(&b, 1000, 10, 0);
  fcgi__backoff_died(&b, 1010, 10, 0);
  fcgi__backoff_lives(&b, 5000, 500);
  assert_int_equal(fcgi__backoff_died(&b, 1020, 10, 0), 200);
  fcgi__backoff_lives(&b, 1500, 1030);
  assert_int_equal(fcgi__backoff_died(&b, 1510, 10, 0), 400);
  fcgi__backoff_lives(&b, 1520 + FCGI__BACKOFF_YOUNG_MS, 1520);
  assert_int_equal(fcgi__backoff_died(&b, 4000, 10, 0), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_first_early_death_costs_nothing),
      cmocka_unit_test(test_early_deaths_cost_twice_as_much_each_time),
      cmocka_unit_test(test_late_deaths_cost_nothing),
      cmocka_unit_test(test_clean_deaths_count_only_when_very_early),
      cmocka_unit_test(test_a_worker_that_lives_makes_them_forgotten),
  };
  return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}

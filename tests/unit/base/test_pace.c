/* SPDX-License-Identifier: MIT */
#include "base/pace.h"
#include "support/unit.h"

static void test_a_step_gives_one_right(void **state) {
  fcgi__pace pace = {.step = 4, .most = 64, .used_until = 1000};
  (void)state;
  assert_int_equal(fcgi__pace_take(&pace, 1003, 9), 0);
  assert_int_equal(fcgi__pace_take(&pace, 1004, 9), 1);
  assert_int_equal(fcgi__pace_take(&pace, 1007, 9), 0);
  assert_int_equal(fcgi__pace_take(&pace, 1012, 9), 2);
  assert_int_equal(fcgi__pace_take(&pace, 1012, 9), 0);
}

static void test_what_is_not_wanted_is_left(void **state) {
  fcgi__pace pace = {.step = 4, .most = 64, .used_until = 1000};
  (void)state;
  assert_int_equal(fcgi__pace_take(&pace, 1040, 0), 0);
  assert_int_equal(fcgi__pace_take(&pace, 1040, 3), 3);
  assert_int_equal(fcgi__pace_take(&pace, 1040, 100), 7);
}

static void test_a_pause_leaves_so_many(void **state) {
  fcgi__pace pace = {.step = 4, .most = 64};
  (void)state;
  assert_int_equal(fcgi__pace_take(&pace, 1000000, 1000), 64);
  assert_int_equal(fcgi__pace_take(&pace, 9000000, 1000), 64);
  assert_int_equal(fcgi__pace_take(&pace, 9000004, 1000), 1);
}

static void test_who_comes_late_with_an_earlier_time_has_none(void **state) {
  fcgi__pace pace = {.step = 4, .most = 64};
  (void)state;
  assert_int_equal(fcgi__pace_take(&pace, 1000, 1000), 64);
  assert_int_equal(fcgi__pace_take(&pace, 980, 1000), 0);
  assert_int_equal(fcgi__pace_take(&pace, 1004, 1000), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_step_gives_one_right),
      cmocka_unit_test(test_what_is_not_wanted_is_left),
      cmocka_unit_test(test_a_pause_leaves_so_many),
      cmocka_unit_test(test_who_comes_late_with_an_earlier_time_has_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

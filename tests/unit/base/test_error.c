/* SPDX-License-Identifier: MIT */
#include "support/unit.h"

#include <fastcgi/error.h>
#include <fastcgi/version.h>
#include <stdio.h>
#include <string.h>

static void test_error_text_is_the_lists(void **state) {
  (void)state;
#define CHECK(name, number, text)                                              \
  assert_string_equal(fcgi_error_text(number), text);
  FCGI_ERROR_MAP(CHECK)
#undef CHECK
}

static void test_error_name_is_the_lists(void **state) {
  (void)state;
#define CHECK(name, number, text)                                              \
  assert_string_equal(fcgi_error_name(number), #name);
  FCGI_ERROR_MAP(CHECK)
#undef CHECK
}

static void test_error_numbers_are_negative_and_distinct(void **state) {
  (void)state;
  int seen[64] = {0};
#define CHECK(name, number, text)                                              \
  assert_in_range(-number, 1, 63);                                             \
  assert_int_equal(seen[-number]++, 0);
  FCGI_ERROR_MAP(CHECK)
#undef CHECK
}

static void test_error_success_is_any_number_from_0(void **state) {
  (void)state;
  assert_string_equal(fcgi_error_text(0), "success");
  assert_string_equal(fcgi_error_text(7), "success");
  assert_string_equal(fcgi_error_name(0), "OK");
}

static void test_error_unknown_code_has_a_text(void **state) {
  (void)state;
  assert_string_equal(fcgi_error_text(-999), "unknown error");
  assert_string_equal(fcgi_error_name(-999), "UNKNOWN");
}

static void test_version_text_is_made_of_its_numbers(void **state) {
  (void)state;
  char expected[32];
  snprintf(expected, sizeof expected, "%d.%d.%d", FCGI_VERSION_MAJOR,
           FCGI_VERSION_MINOR, FCGI_VERSION_PATCH);
  assert_string_equal(FCGI_VERSION_TEXT, expected);
  assert_string_equal(fcgi_version(), expected);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_error_text_is_the_lists),
      cmocka_unit_test(test_error_name_is_the_lists),
      cmocka_unit_test(test_error_numbers_are_negative_and_distinct),
      cmocka_unit_test(test_error_success_is_any_number_from_0),
      cmocka_unit_test(test_error_unknown_code_has_a_text),
      cmocka_unit_test(test_version_text_is_made_of_its_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

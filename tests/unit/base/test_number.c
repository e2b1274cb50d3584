/* SPDX-License-Identifier: MIT */
#include "base/number.h"
#include "support/unit.h"

#include <limits.h>
#include <stdint.h>

/* None of these is a number, whatever strtol(3) makes of them. */
static const char *const wrong[] = {
    "",    " ",   "-1", "+5",  " 5",  "5 ",    "5\n", "0x10", "1e3",
    "5a",  "a5",  "1.", ".5",  "--1", "1_000", "1,5", "nan",  "inf",
    "\t5", "0b1", "5-", "1 2", "-0",  "1.5s",  "0x",  "5.5.5"};

static void test_whole_numbers_are_read_whole(void **state) {
  uint64_t number = 7;
  (void)state;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_int_equal(fcgi__number_parse(wrong[i], 0, UINT64_MAX, &number), -1);
  assert_int_equal(fcgi__number_parse("1.5", 0, 100, &number), -1);
  assert_int_equal(number, 7);
  assert_int_equal(fcgi__number_parse("0", 0, 0, &number), 0);
  assert_int_equal(number, 0);
  assert_int_equal(fcgi__number_parse("00042", 0, 100, &number), 0);
  assert_int_equal(number, 42);
}

static void test_range_is_kept(void **state) {
  uint64_t number = 7;
  (void)state;
  assert_int_equal(fcgi__number_parse("4294967295", 0, UINT32_MAX, &number), 0);
  assert_int_equal(number, UINT32_MAX);
  assert_int_equal(fcgi__number_parse("4294967296", 0, UINT32_MAX, &number),
                   -1);
  assert_int_equal(
      fcgi__number_parse("18446744073709551615", 0, UINT64_MAX, &number), 0);
  assert_true(number == UINT64_MAX);
  assert_int_equal(
      fcgi__number_parse("18446744073709551616", 0, UINT64_MAX, &number), -1);
  assert_int_equal(
      fcgi__number_parse("99999999999999999999", 0, UINT64_MAX, &number), -1);
  assert_int_equal(fcgi__number_parse("4", 5, 9, &number), -1);
  assert_int_equal(fcgi__number_parse("5", 5, 9, &number), 0);
  assert_int_equal(fcgi__number_parse("9", 0, 5, &number), -1);
}

static void test_digits_alone_are_a_number(void **state) {
  (void)state;
  assert_true(fcgi__number_is("99999999999999999999"));
  assert_true(fcgi__number_is("0"));
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_false(fcgi__number_is(wrong[i]));
}

static void test_list_has_so_many(void **state) {
  static const char *const bad[] = {
      "",     "1:2",  "1:2:3:4", "1:2:3:",  "1:-2:3",        "1: 2:3",
      "1::3", ":1:2", "1:2:3x",  "1:2:0x3", "1:2:2147483648"};
  int list[3] = {0};
  (void)state;
  assert_int_equal(fcgi__number_list("0012:3:2147483647", list, 3), 0);
  assert_int_equal(list[0], 12);
  assert_int_equal(list[1], 3);
  assert_int_equal(list[2], INT_MAX);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(fcgi__number_list(bad[i], list, 3), -1);
}

static void assert_seconds(const char *text, int result, uint64_t ms) {
  uint64_t number = 0;
  assert_int_equal(fcgi__number_seconds(text, INT_MAX, &number), result);
  assert_int_equal(number, ms);
}

static void test_seconds_may_have_a_fraction(void **state) {
  (void)state;
  assert_seconds("30", 0, 30000);
  assert_seconds("0.25", 0, 250);
  assert_seconds("1.5009", 0, 1500);
  assert_seconds("0.0001", 0, 1);
  assert_seconds("0", 0, 0);
  assert_seconds("0.000", 0, 0);
  assert_seconds("2147483.647", 0, INT_MAX);
  assert_seconds("2147483.648", -1, 0);
  assert_seconds("99999999999999999999", -1, 0);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_seconds(wrong[i], -1, 0);
}

static void assert_bytes(const char *text, int result, uint64_t wanted) {
  uint64_t number = 7;
  assert_int_equal(fcgi__number_bytes(text, UINT64_MAX / 2, &number), result);
  assert_int_equal(number, result ? 7 : wanted);
}

static void test_bytes_may_have_a_unit(void **state) {
  (void)state;
  assert_bytes("4096", 0, 4096);
  assert_bytes("64K", 0, 65536);
  assert_bytes("4M", 0, 4 << 20);
  assert_bytes("1G", 0, 1 << 30);
  assert_bytes("8589934591G", 0, 8589934591ull << 30);
  assert_bytes("8589934592G", -1, 0);
  assert_bytes("0", -1, 0);
  assert_bytes("0M", -1, 0);
  assert_bytes("4MB", -1, 0);
  assert_bytes("4m", -1, 0);
  assert_bytes("4 M", -1, 0);
  assert_bytes("M", -1, 0);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_bytes(wrong[i], -1, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_whole_numbers_are_read_whole),
      cmocka_unit_test(test_range_is_kept),
      cmocka_unit_test(test_digits_alone_are_a_number),
      cmocka_unit_test(test_list_has_so_many),
      cmocka_unit_test(test_seconds_may_have_a_fraction),
      cmocka_unit_test(test_bytes_may_have_a_unit),
  };
  return cmocka_run_group_tests_name("number", tests, NULL, NULL);
}

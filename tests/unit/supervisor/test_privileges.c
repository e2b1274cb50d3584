/* SPDX-License-Identifier: MIT */
#include "supervisor/privileges.h"
#include "support/unit.h"

#include <string.h>
#include <unistd.h>

/* 4294967296 is 0 in 32 bits, which is root. */
static const char *const nobody_has[] = {"4294967296",
                                         "4294967295",
                                         "18446744073709551616",
                                         "99999999999999999999",
                                         "-1",
                                         "0x10",
                                         " 5",
                                         "5 ",
                                         "+5",
                                         "1e3",
                                         "",
                                         "65534x"};

static void test_numbers_that_nobody_has_are_refused(void **state) {
  fcgi__identity found;
  char why[256];
  (void)state;
  for (size_t i = 0; i < sizeof nobody_has / sizeof *nobody_has; i++) {
    assert_int_equal(
        fcgi__identity_find(&found, nobody_has[i], NULL, why, sizeof why), -1);
    assert_non_null(strstr(why, nobody_has[i]));
    assert_int_equal(
        fcgi__identity_find(&found, NULL, nobody_has[i], why, sizeof why), -1);
    assert_non_null(strstr(why, nobody_has[i]));
  }
}

static void test_numbers_and_names_are_found(void **state) {
  fcgi__identity found;
  char why[256];
  (void)state;
  assert_int_equal(
      fcgi__identity_find(&found, "4294967294", "0", why, sizeof why), 0);
  assert_true(found.uid == 4294967294u);
  assert_int_equal(found.gid, 0);
  assert_int_equal(fcgi__identity_find(&found, "root", NULL, why, sizeof why),
                   0);
  assert_int_equal(found.uid, 0);
  assert_string_equal(found.name, "root");
  assert_int_equal(fcgi__identity_find(&found, NULL, NULL, why, sizeof why), 0);
  assert_int_equal(found.uid, geteuid());
  assert_int_equal(found.wanted, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_numbers_that_nobody_has_are_refused),
      cmocka_unit_test(test_numbers_and_names_are_found),
  };
  return cmocka_run_group_tests_name("privileges", tests, NULL, NULL);
}

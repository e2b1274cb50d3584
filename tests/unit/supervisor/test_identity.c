/* SPDX-License-Identifier: MIT */
#include "supervisor/privileges.h"
#include "support/unit.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int find(fcgi__identity *out, const char *user, const char *group,
                const char *complaint) {
  char why[256] = "";
  int result = fcgi__identity_find(out, user, group, why, sizeof why);
  assert_int_equal(result, complaint ? -1 : 0);
  if (complaint)
    assert_non_null(strstr(why, complaint));
  else
    assert_string_equal(why, "");
  return result;
}

static void test_nobody_named_changes_nothing(void **state) {
  fcgi__identity is;
  (void)state;
  find(&is, NULL, NULL, NULL);
  assert_int_equal(is.asked, 0);
  assert_int_equal(is.wanted, 0);
  assert_int_equal(is.uid, geteuid());
  assert_int_equal(is.gid, getegid());
  char why[64] = "";
  assert_int_equal(fcgi__identity_become(&is, why, sizeof why), 0);
}

static void test_names_and_numbers_are_the_same(void **state) {
  const char *const words[] = {"root", "0"};
  (void)state;
  for (int i = 0; i < 2; i++) {
    fcgi__identity is;
    find(&is, words[i], NULL, NULL);
    assert_int_equal(is.asked, 1);
    assert_int_equal(is.uid, 0);
    assert_int_equal(is.gid, 0);
    assert_string_equal(is.name, "root");
    assert_string_equal(is.home, getpwuid(0)->pw_dir);
    assert_int_equal(is.wanted, geteuid() != 0 || getegid() != 0);
    find(&is, NULL, words[i], NULL);
    assert_int_equal(is.asked, 1);
    assert_int_equal(is.uid, geteuid());
    assert_int_equal(is.gid, 0);
    assert_string_equal(is.name, "");
  }
}

static void test_a_number_that_nobody_has(void **state) {
  fcgi__identity is;
  (void)state;
  find(&is, "54321", "54322", NULL);
  assert_int_equal(is.uid, 54321);
  assert_int_equal(is.gid, 54322);
  assert_int_equal(is.wanted, 1);
  assert_string_equal(is.name, "");
  find(&is, "54321", NULL, NULL);
  assert_int_equal(is.gid, 54321);
}

static void test_only_a_group_is_somebody_else_too(void **state) {
  char group[16];
  fcgi__identity is;
  (void)state;
  snprintf(group, sizeof group, "%u", (unsigned)getegid() + 1);
  find(&is, NULL, group, NULL);
  assert_int_equal(is.wanted, 1);
  snprintf(group, sizeof group, "%u", (unsigned)getegid());
  find(&is, NULL, group, NULL);
  assert_int_equal(is.wanted, 0);
}

static void test_unknown_names_are_explained(void **state) {
  fcgi__identity is;
  (void)state;
  find(&is, "no-such-user", NULL, "user no-such-user");
  find(&is, NULL, "no-such-group", "group no-such-group");
  find(&is, "12x", NULL, "12x");
  find(&is, "-1", NULL, "-1");
  find(&is, "", NULL, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nobody_named_changes_nothing),
      cmocka_unit_test(test_names_and_numbers_are_the_same),
      cmocka_unit_test(test_a_number_that_nobody_has),
      cmocka_unit_test(test_only_a_group_is_somebody_else_too),
      cmocka_unit_test(test_unknown_names_are_explained),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

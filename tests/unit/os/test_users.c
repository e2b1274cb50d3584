/* SPDX-License-Identifier: MIT */
/* Lists of users as a configuration has them. */
#include "base/alloc.h"
#include "os/users.h"
#include "support/failing.h"
#include "support/unit.h"

#include <fastcgi/error.h>
#include <stdio.h>
#include <string.h>

static int parse(fcgi__users *users, const char *text, char why[200]) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  why[0] = '\0';
  return fcgi__users_parse(users, &allocator, text, why, 200);
}

static void test_names_and_numbers(void **state) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  fcgi__users users;
  char why[200];
  (void)state;
  assert_int_equal(parse(&users, "root, 7\t,\t 4294967294 ", why), 0);
  assert_int_equal(users.count, 3);
  assert_true(fcgi__users_has(&users, 0));
  assert_true(fcgi__users_has(&users, 7));
  assert_true(fcgi__users_has(&users, 4294967294));
  assert_false(fcgi__users_has(&users, 8));
  fcgi__users_clear(&users, &allocator);
  assert_false(fcgi__users_has(&users, 0));
}

static void expect_refused(const char *text, const char *line) {
  fcgi__users users;
  char why[200];
  assert_int_equal(parse(&users, text, why), FCGI_ERR_INVALID);
  assert_string_equal(why, line);
  assert_null(users.ids);
  assert_int_equal(users.count, 0);
}

static void test_what_names_nobody_is_refused(void **state) {
  (void)state;
  expect_refused("4294967295", "\"4294967295\" is the number of no user; they "
                               "end at 4294967294");
  expect_refused("root,nobody at all",
                 "\"nobody at all\" is no user of this machine");
  expect_refused("", "\"\" has no user between its commas");
  expect_refused("root,", "\"\" has no user between its commas");
  expect_refused("root, ,7", "\" ,7\" has no user between its commas");
}

/* Beyond it a name is none, so it is not looked up. */
static void test_the_longest_name(void **state) {
  char name[257], line[200];
  (void)state;
  memset(name, 'a', 256);
  name[256] = '\0';
  snprintf(line, sizeof line, "\"%.64s\" has no user between its commas", name);
  expect_refused(name, line);
  name[255] = '\0';
  snprintf(line, sizeof line, "\"%.64s\" is no user of this machine", name);
  expect_refused(name, line);
}

static void test_without_memory_nobody_is_listed(void **state) {
  failing memory = {.until_failure = 0};
  const fcgi_allocator allocator = failing_allocator(&memory);
  fcgi__users users;
  char why[200];
  (void)state;
  assert_int_equal(
      fcgi__users_parse(&users, &allocator, "root", why, sizeof why),
      FCGI_ERR_NOMEM);
  assert_int_equal(users.count, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names_and_numbers),
      cmocka_unit_test(test_what_names_nobody_is_refused),
      cmocka_unit_test(test_the_longest_name),
      cmocka_unit_test(test_without_memory_nobody_is_listed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

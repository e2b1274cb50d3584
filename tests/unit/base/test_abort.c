/* SPDX-License-Identifier: MIT */
#include "support/unit.h"
#include <fastcgi/event.h>

static void test_each_reason_has_a_name(void **state) {
  (void)state;
  assert_null(fcgi_abort_name(FCGI_ABORT_NONE));
  assert_string_equal(fcgi_abort_name(FCGI_ABORT_RECORD), "record");
  assert_string_equal(fcgi_abort_name(FCGI_ABORT_DEADLINE), "deadline");
  assert_string_equal(fcgi_abort_name((fcgi_abort_reason)99), "unknown");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_reason_has_a_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

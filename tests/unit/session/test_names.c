/* SPDX-License-Identifier: MIT */
/* The names that are known: each finds itself, and nothing else finds it. */
#include "session/names.h"
#include "support/unit.h"

#include <stdlib.h>
#include <string.h>

/* The text of known name `number`, in a block of just its size. */
static uint8_t *copy_of(unsigned number, size_t *len) {
  uint8_t *copy;
  *len = strlen(fcgi__names[number].text);
  copy = malloc(*len);
  assert_non_null(copy);
  memcpy(copy, fcgi__names[number].text, *len);
  return copy;
}

static void test_each_name_finds_itself(void **state) {
  (void)state;
  for (unsigned number = 1; number < FCGI__NAMES; number++) {
    size_t len;
    uint8_t *name = copy_of(number, &len);
    assert_int_equal(fcgi__name_find(name, len), number);
    assert_int_equal(fcgi__names[number].place.len, len);
    assert_int_equal(fcgi__names[number].place.at, fcgi__known | number);
    free(name);
  }
}

/* Whichever byte it is that differs. */
static void test_a_name_like_it_is_another(void **state) {
  (void)state;
  for (unsigned number = 1; number < FCGI__NAMES; number++) {
    size_t len;
    uint8_t *name = copy_of(number, &len);
    for (size_t i = 0; i < len; i++) {
      name[i] ^= 1;
      assert_int_not_equal(fcgi__name_find(name, len), number);
      assert_false(fcgi__name_is(&fcgi__names[number], name, len));
      name[i] ^= 1;
    }
    assert_int_not_equal(fcgi__name_find(name, len - 1), number);
    free(name);
  }
}

static void test_other_names_are_unknown(void **state) {
  static const char *const names[] = {"", "A", "HTTP_PROXY", "HTTP_",
                                      "content_length"};
  static const uint8_t zeros[200];
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    assert_int_equal(
        fcgi__name_find((const uint8_t *)names[i], strlen(names[i])), 0);
  for (size_t len = 0; len <= sizeof zeros; len++)
    assert_int_equal(
        fcgi__name_find(zeros, len) +
            fcgi__name_is(&fcgi__names[FCGI__NAME_NONE], zeros, len),
        0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_name_finds_itself),
      cmocka_unit_test(test_a_name_like_it_is_another),
      cmocka_unit_test(test_other_names_are_unknown),
  };
  return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}

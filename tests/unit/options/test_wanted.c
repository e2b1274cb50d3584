/* SPDX-License-Identifier: MIT */
/* What a message says of a value is true: examples and both ends of a range are
   taken, and what is beyond them is refused. */
#include "options/table.h"
#include "support/unit.h"

#include <fastcgi/fastcgi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WANTED = 160 };

static int has_range(const fcgi_option *option) {
  return option->kind >= FCGI_OPTION_COUNT &&
         option->kind != FCGI_OPTION_CHOICE &&
         option->kind != FCGI_OPTION_NAMED_SIZE;
}

static int takes(const fcgi_option *option, const char *text) {
  int64_t number;
  return fcgi_option_parse(option, text, &number) == 0;
}

/* The word that ends before a space, a comma, a bracket or the end. */
static size_t word(const char *from, char *out) {
  size_t len = strcspn(from, " ,)");
  assert_true(len < FCGI__OPTION_NUMBER);
  memcpy(out, from, len);
  out[len] = '\0';
  return len;
}

/* The word behind `before` in the text: 1 when there is one. */
static int behind(const char *text, const char *before, char *out) {
  const char *at = strstr(text, before);
  return at && word(at + strlen(before), out) > 0;
}

/* Whether a number beyond an end is taken; -1 and 0 may mean "none". */
static void refuse_beyond(const fcgi_option *option, int64_t number) {
  char text[FCGI__OPTION_NUMBER];
  if (number < 1 && (option->may_be_none || number < 0))
    return;
  fcgi__option_write(option, number, text);
  if (takes(option, text))
    fail_msg("%s takes %s", option->name, text);
}

static void check_end(const fcgi_option *option, const char *text,
                      int64_t number, int64_t beyond) {
  int64_t parsed = -2;
  assert_int_equal(fcgi_option_parse(option, text, &parsed), 0);
  assert_int_equal(parsed, number);
  refuse_beyond(option, beyond);
}

static void test_wanted_tells_both_ends(void **state) {
  const fcgi_option *option;
  (void)state;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    char wanted[WANTED], end[FCGI__OPTION_NUMBER];
    if (!has_range(option))
      continue;
    fcgi_option_wanted(option, wanted, sizeof wanted);
    assert_true(strlen(wanted) < sizeof wanted - 1);
    if (behind(wanted, " from ", end))
      check_end(option, end, option->least, option->least - 1);
    else
      assert_true(behind(wanted, " above ", end) && strcmp(end, "0") == 0);
    if (behind(wanted, " to ", end))
      check_end(option, end, option->most, option->most + 1);
    else
      assert_true(option->most > 1000000000000000);
  }
}

static void test_wanted_examples_are_taken(void **state) {
  const fcgi_option *option;
  size_t seen = 0;
  (void)state;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    char wanted[WANTED], example[FCGI__OPTION_NUMBER];
    const char *at;
    fcgi_option_wanted(option, wanted, sizeof wanted);
    at = strstr(wanted, " (such as ");
    for (at = at ? at + 10 : ""; *at && *at != ')'; seen++) {
      at += word(at, example);
      at += strspn(at, ", ");
      if (!takes(option, example))
        fail_msg("%s: %s, which is refused", option->name, example);
    }
  }
  assert_true(seen > 60);
}

/* What stands for none is taken, and 0 is refused where a word does. */
static void test_wanted_tells_what_none_is(void **state) {
  const fcgi_option *option;
  (void)state;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    char wanted[WANTED], none[64];
    int64_t number = 0;
    fcgi_option_wanted(option, wanted, sizeof wanted);
    assert_int_equal(option->may_be_none, option->none != NULL);
    if (!option->none)
      continue;
    snprintf(none, sizeof none, ", or 0 for %s", option->none);
    assert_non_null(strstr(wanted, option->by_word ? ", or never" : none));
    assert_int_equal(
        fcgi_option_parse(option, option->by_word ? "never" : "0", &number), 0);
    assert_int_equal(number, -1);
    assert_int_equal(takes(option, "0"), !option->by_word);
    assert_int_equal(takes(option, "never"), option->by_word);
  }
}

static const char *wanted(const char *name, char *out) {
  return fcgi_option_wanted(fcgi_option_find(name), out, WANTED);
}

static void test_wanted_words(void **state) {
  char out[WANTED];
  (void)state;
  assert_string_equal(wanted("log_queue", out),
                      "a size from 16K to 1G (such as 64K, 4M, 1G)");
  assert_string_equal(wanted("umask", out),
                      "an octal mode from 000 to 777 (such as 027)");
  assert_string_equal(wanted("io_timeout", out),
                      "a time above 0 up to 2147483.647s (such as 30, 0.5s, "
                      "5m), or 0 for no limit");
  assert_string_equal(wanted("max_requests", out),
                      "a whole number from 1 up, or 0 for never");
}

static void test_wanted_speaks_the_language(void **state) {
  char out[WANTED];
  const fcgi_option *mode = fcgi_option_find("socket_mode");
  const fcgi_option *time = fcgi_option_find("slow_log");
  (void)state;
  fcgi_option_wanted_in(mode, FCGI_LAUNCHER_PYTHON, out, sizeof out);
  assert_string_equal(out, "an int from 0o001 to 0o777 (such as 0o660)");
  fcgi_option_wanted_in(mode, FCGI_LAUNCHER_LUA, out, sizeof out);
  assert_string_equal(out, "octal digits in a string from \"001\" to \"777\" "
                           "(such as \"660\")");
  fcgi_option_wanted_in(time, FCGI_LAUNCHER_PYTHON, out, sizeof out);
  assert_string_equal(out, "a number of seconds above 0 up to 2147483.647, or "
                           "None or 0 for never");
  fcgi_option_wanted_in(time, FCGI_LAUNCHER_LUA, out, sizeof out);
  assert_string_equal(out, "a number of seconds above 0 up to 2147483.647, or "
                           "math.huge or 0 for never");
  fcgi__option_wanted_field(time, out, sizeof out);
  assert_string_equal(out, "a number of milliseconds from 1 to 2147483647, or "
                           "-1 for never");
}

/* A line that does not fit is cut. */
static void test_wanted_fits_its_room(void **state) {
  char out[WANTED + 1];
  const fcgi_option *option;
  (void)state;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++)
    for (size_t len = 1; len < WANTED; len++) {
      out[len] = '#';
      fcgi_option_wanted(option, out, len);
      assert_true(strlen(out) < len);
      assert_int_equal(out[len], '#');
    }
}

/* A tool has options that are in no map. */
static void test_wanted_of_ones_own(void **state) {
  const fcgi_option own = {
      .kind = FCGI_OPTION_SECONDS, .least = 100, .most = 60000};
  char out[WANTED];
  (void)state;
  assert_string_equal(fcgi_option_wanted(&own, out, sizeof out),
                      "a time from 0.100s to 60s (such as 30, 0.5s)");
  assert_true(takes(&own, "1m"));
  assert_false(takes(&own, "0.099"));
  assert_false(takes(&own, "0"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_wanted_tells_both_ends),
      cmocka_unit_test(test_wanted_examples_are_taken),
      cmocka_unit_test(test_wanted_tells_what_none_is),
      cmocka_unit_test(test_wanted_words),
      cmocka_unit_test(test_wanted_speaks_the_language),
      cmocka_unit_test(test_wanted_fits_its_room),
      cmocka_unit_test(test_wanted_of_ones_own),
  };
  return cmocka_run_group_tests_name("wanted", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "options/config.h"
#include "options/options.h"
#include "support/failing.h"
#include "support/giving.h"
#include "support/unit.h"

#include <fastcgi/fastcgi.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What one line of the map can get wrong. */
static void test_kinds_map_is_sound(void **state) {
  const fcgi_option *option, *other;
  (void)state;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    const fcgi__option_row *row = fcgi__option_row_at(i);
    size_t len = strlen(option->name);
    int64_t number;
    assert_ptr_equal(fcgi_option_find(option->name), option);
    assert_true(len < FCGI__OPTION_NUMBER);
    assert_int_equal(strspn(option->name, "abcdefghijklmnopqrstuvwxyz_"), len);
    assert_int_not_equal(option->launchers, 0);
    assert_int_equal(option->help[strlen(option->help) - 1], '.');
    assert_true(option->standard || option->unset ||
                option->kind == FCGI_OPTION_FLAG);
    assert_false(option->standard && option->unset);
    if (option->standard)
      assert_int_equal(fcgi_option_parse(option, option->standard, &number), 0);
    assert_true(option->scope != FCGI_OPTION_FOR_SERVER || row->server.size);
    for (size_t j = 0; j < i && (other = fcgi_option_at(j)); j++) {
      assert_string_not_equal(option->name, other->name);
      assert_false(option->letter && option->letter == other->letter);
      assert_false(row->server.size &&
                   row->server.at == fcgi__option_row_at(j)->server.at);
    }
  }
}

/* Each number of a range is written as a text that means it. */
static void test_kinds_numbers_are_texts(void **state) {
  const fcgi_option *option;
  (void)state;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    const int64_t numbers[] = {option->least, option->least + 1,
                               option->most / 3, option->most, -1};
    for (size_t j = 0; option->most > 0 && j < 5; j++) {
      char text[FCGI__OPTION_NUMBER];
      int64_t number = INT64_MIN;
      if (option->kind == FCGI_OPTION_CHOICE && j > 1)
        continue;
      fcgi__option_write(option, numbers[j], text);
      int fits = fcgi__option_fits(option, numbers[j]);
      if (fits) {
        assert_int_equal(fcgi_option_parse(option, text, &number), 0);
        assert_int_equal(number, numbers[j]);
      }
    }
  }
}

static const struct {
  const char *name; /* Of the option. */
  const char *text; /* What is given. */
  int64_t number;   /* What it means. */
} good[] = {
    {"threads", "1", 1},
    {"threads", "4096", 4096},
    {"limit_params_size", "64K", 65536},
    {"limit_request_body", "1G", 1 << 30},
    {"limit_params_size", "4096", 4096},
    {"io_timeout", "30", 30000},
    {"io_timeout", "0.5", 500},
    {"io_timeout", "30s", 30000},
    {"io_timeout", "5m", 300000},
    {"io_timeout", "2h", 7200000},
    {"io_timeout", "1d", 86400000},
    {"io_timeout", "0", -1},
    {"io_timeout", "0.0001", 1},
    {"max_requests", "0", -1},
    {"max_worker_rss", "0", -1},
    {"max_worker_age", "3650d", INT64_C(315360000000)},
    {"socket_mode", "660", 0660},
    {"socket_mode", "0660", 0660},
    {"umask", "0", 0},
    {"umask", "022", 022},
    {"interface", "wsgi", 2},
    {"log_level", "error", 0},
    {"poller", "poll", 2},
    {"stream", "YES", 1},
    {"stream", "off", 0},
    {"workers", "0", 0},
    {"workers", "4096", 4096},
    {"root_path", "/shop", 0},
    {"root_path", "", 0},
    {"access_logfile", "", 0},
    {"peer_users", "root, 4294967294", 0},
};

static void test_kinds_read_texts(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    int64_t number = INT64_MIN;
    const fcgi_option *option = fcgi_option_find(good[i].name);
    assert_int_equal(fcgi_option_parse(option, good[i].text, &number), 0);
    assert_int_equal(number, good[i].number);
  }
}

static void test_kinds_read_ready_after(void **state) {
  const fcgi_option *option = fcgi_option_find("ready-after");
  int64_t number;
  (void)state;
  assert_int_equal(fcgi_option_parse(option, "never", &number), 0);
  assert_int_equal(number, FCGI_WAIT_FOREVER);
  assert_int_equal(fcgi_option_parse(option, "0", &number), FCGI_ERR_INVALID);
}

static void test_kinds_auto_is_the_processors(void **state) {
  int64_t number = 0;
  (void)state;
  assert_int_equal(
      fcgi_option_parse(fcgi_option_find("workers"), "auto", &number), 0);
  assert_true(number >= 1 && number <= sysconf(_SC_NPROCESSORS_CONF));
}

/* What strtol, strtod and their like would make something of. */
static void test_kinds_refuse_half_numbers(void **state) {
  static const char *const wrong[] = {"",
                                      "-1",
                                      "0x10",
                                      " 5",
                                      "5 ",
                                      "+5",
                                      "1e3",
                                      "1_0",
                                      "\u0665",
                                      "nan",
                                      "inf",
                                      "5x",
                                      "5KK",
                                      "1.2K",
                                      "K",
                                      "s",
                                      ".5",
                                      "5.",
                                      "99999999999999999999"};
  const fcgi_option *option;
  (void)state;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++)
    for (size_t j = 0; j < sizeof wrong / sizeof *wrong; j++) {
      int64_t number = 42;
      if (option->kind < FCGI_OPTION_COUNT)
        continue;
      assert_int_equal(fcgi_option_parse(option, wrong[j], &number),
                       FCGI_ERR_INVALID);
      assert_int_equal(number, 42);
    }
}

/* Their words are those of the public headers, in the same order. */
static void test_choices_are_those_of_the_headers(void **state) {
#define WORD(name, key) ", " #key
  static const char pollers[] = FCGI_POLLER_MAP(WORD);
  static const char levels[] = FCGI_LOG_LEVEL_MAP(WORD);
#undef WORD
  (void)state;
  assert_string_equal(fcgi_option_find("poller")->words, pollers + 2);
  assert_string_equal(fcgi_option_find("log_level")->words, levels + 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_choices_are_those_of_the_headers),
      GIVING_TEST(test_kinds_map_is_sound),
      GIVING_TEST(test_kinds_numbers_are_texts),
      GIVING_TEST(test_kinds_read_texts),
      GIVING_TEST(test_kinds_read_ready_after),
      GIVING_TEST(test_kinds_auto_is_the_processors),
      GIVING_TEST(test_kinds_refuse_half_numbers),
  };
  return cmocka_run_group_tests_name("kinds", tests, NULL, NULL);
}

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

static void test_files_files(void **state) {
  giving *f = *state;
  assert_int_equal(
      giving_read(f, "bind = 'unix:a'\nstream = true\nfactory = false\n"
                     "io_timeout = 0.5\ngraceful_timeout = \"5m\"\n"
                     "idle_timeout = 0\nsocket_mode = \"600\"\n"
                     "limit_request_body = \"1K\"\nmax_requests = 10\n"),
      0);
  assert_int_equal(fcgi_options_number(f->options, "stream"), 1);
  assert_int_equal(fcgi_options_number(f->options, "factory"), 0);
  assert_int_equal(fcgi_options_number(f->options, "io_timeout"), 500);
  assert_int_equal(fcgi_options_number(f->options, "idle_timeout"), -1);
  assert_int_equal(fcgi_options_number(f->options, "socket_mode"), 0600);
  assert_int_equal(fcgi_options_number(f->options, "limit_request_body"), 1024);
  assert_int_equal(fcgi_options_number(f->options, "max_requests"), 10);
}

static void test_files_mistakes_in_files(void **state) {
  giving *f = *state;
  static const struct {
    const char *text;    /* Of the file. */
    const char *message; /* Behind the file's name. */
  } files[] = {
      {"worker = 2", "there is no option 'worker'; did you mean 'workers'?"},
      {"io-timeout = 2",
       "there is no option 'io-timeout'; did you mean 'io_timeout'?"},
      {"io_timeout = 1\nio-timeout = 2",
       "there is no option 'io-timeout'; did you mean 'io_timeout'?"},
      {"umask = 27", "umask: must be a text, such as \"027\""},
      {"threads = 1e20", "threads=100000000000000000000: must be a whole "
                         "number from 1 to 4096"},
      {"zzz = 2", "there is no option 'zzz'"},
      {"config = 'x'", "there is no option 'config' in a file"},
      {"workers = 'many'",
       "workers=many: must be a whole number from 0 to 4096, or auto"},
      {"workers = -1",
       "workers=-1: must be a whole number from 0 to 4096, or auto"},
      {"socket_mode = 0o660", "socket_mode: must be a text, such as \"660\""},
      {"stream = 'yes'", "stream: must be true or false"},
      {"threads = [1]", "threads: must be one value, not a list"},
      {"threads = true", "threads: must be a whole number from 1 to 4096"},
      {"threads = {}", "threads: must be a whole number from 1 to 4096"},
      {"chdir = 'a\\u0000b'\nx=1", "there is no option 'x'"},
      {"chdir = \"a\\u0000b\"", "chdir: must be a text without NUL"},
      {"[threads]", "threads: must be a whole number from 1 to 4096"},
      {"\"th\\u0000x\" = 1", ""},
  };
  for (size_t i = 0; i + 1 < sizeof files / sizeof *files; i++) {
    char expected[256];
    assert_int_equal(giving_read(f, files[i].text), FCGI_ERR_INVALID);
    snprintf(expected, sizeof expected, "%s: %s", f->path, files[i].message);
    assert_string_equal(fcgi_options_message(f->options), expected);
  }
}

/* A time that is not 0 is none that says "no limit". */
static void test_files_small_times(void **state) {
  giving *f = *state;
  static const char *const texts[] = {
      "io_timeout = 0.0001", "io_timeout = 1e-5", "io_timeout = 1e-12"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    assert_int_equal(giving_read(f, texts[i]), 0);
    assert_int_equal(fcgi_options_number(f->options, "io_timeout"), 1);
  }
}

/* Each option has one key, the one with "_". */
static void test_files_one_spelling(void **state) {
  giving *f = *state;
  const fcgi_option *option;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    char text[FCGI__OPTION_NUMBER + 8];
    if (!strchr(option->name, '_'))
      continue;
    snprintf(text, sizeof text, "%s = 1", option->name);
    *strchr(text, '_') = '-';
    assert_int_equal(giving_read(f, text), FCGI_ERR_INVALID);
    assert_non_null(
        strstr(fcgi_options_message(f->options), "there is no option '"));
    text[strlen(option->name)] = '\0';
    assert_int_equal(
        fcgi_options_set(f->options, FCGI_ORIGIN_PROGRAM, text, "1"),
        FCGI_ERR_INVALID);
  }
}

static void test_files_files_that_are_no_toml(void **state) {
  giving *f = *state;
  static const char *const texts[] = {
      "x = ",         "= 1",         "threads = 1\nthreads = 2",
      "[a",           "a = 'b",      "threads = 1 2",
      "\xff\xfe = 1", "a = \"\\q\"", "a = [1,",
      "a = {b = 1"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    assert_int_equal(giving_read(f, texts[i]), FCGI_ERR_INVALID);
    assert_int_equal(
        strncmp(fcgi_options_message(f->options), f->path, strlen(f->path)), 0);
  }
  char deep[20000];
  memset(deep, '[', sizeof deep);
  memcpy(deep, "a = ", 4);
  giving_write(f, deep, sizeof deep);
  assert_int_equal(fcgi_options_read_file(f->options, NULL, f->path, NULL),
                   FCGI_ERR_INVALID);
}

static void test_files_files_that_cannot_be_read(void **state) {
  giving *f = *state;
  assert_int_equal(
      fcgi_options_read_file(f->options, "/nowhere", "f.toml", NULL),
      FCGI_ERR_INVALID);
  assert_string_equal(fcgi_options_message(f->options),
                      "f.toml: No such file or directory");
  assert_int_equal(fcgi_options_read_file(f->options, NULL, "/tmp", NULL),
                   FCGI_ERR_INVALID);
  assert_int_equal(fcgi_options_read_file(f->options, NULL, "/dev/zero", NULL),
                   FCGI_ERR_INVALID);
}

static void test_files_table_of_a_project(void **state) {
  giving *f = *state;
  static const char *const none[] = {"this is = = no TOML", "[tool.other]\n"};
  static const char some[] = "[tool.fastcgi]\nthreads = 3\n";
  for (int i = 0; i < 2; i++) {
    giving_write(f, none[i], strlen(none[i]));
    assert_int_equal(
        fcgi_options_read_file(f->options, "", f->path, "tool.fastcgi"), 0);
  }
  giving_write(f, some, strlen(some));
  assert_int_equal(
      fcgi_options_read_file(f->options, "", f->path, "tool.fastcgi"), 0);
  assert_int_equal(fcgi_options_number(f->options, "threads"), 3);
  assert_int_equal(fcgi_options_origin(f->options, "threads"),
                   FCGI_ORIGIN_PROJECT);
  giving_write(f, "threads = 4\n", 12); /* Who names a file means it. */
  assert_int_equal(fcgi_options_read_file(f->options, "", f->path, NULL), 0);
  assert_int_equal(fcgi_options_number(f->options, "threads"), 4);
  giving_write(f, some, strlen(some));
  assert_int_equal(
      fcgi_options_read_file(f->options, "", f->path, "tool.fastcgi"), 0);
  assert_int_equal(fcgi_options_number(f->options, "threads"), 4);
  giving_write(f, "tool.fastcgi = 1", 16);
  assert_int_equal(
      fcgi_options_read_file(f->options, "", f->path, "tool.fastcgi"),
      FCGI_ERR_INVALID);
}

/* What is shown is a file that says the same. */
static void test_files_show_is_a_file(void **state) {
  giving *f = *state;
  size_t used;
  char *first, *again;
  setenv("FASTCGI_STATUS_PATH", "/status", 1);
  assert_int_equal(
      fcgi_options_read_words(f->options,
                              WORDS("app:app", "-b", "unix:a \"b\"\\", "-b",
                                    "unix:c", "--stream", "-m", "027"),
                              &used),
      0);
  assert_int_equal(fcgi_options_read_environment(f->options), 0);
  first = strdup(fcgi_options_show(f->options));
  assert_non_null(strstr(first, "bind = [\"unix:a \\\"b\\\"\\\\\", "
                                "\"unix:c\"]  # command line\n"));
  assert_non_null(strstr(first, "status_path = \"/status\"  # environment "
                                "FASTCGI_STATUS_PATH\n"));
  assert_non_null(strstr(first, "# threads = \"1\"  # default\n"));
  assert_non_null(strstr(first, "# allow_from: loopback  # default\n"));
  assert_null(strstr(first, "config"));
  giving_forget_environment();
  fcgi_options_free(f->options);
  assert_int_equal(fcgi_options_new(&f->options, FCGI_LAUNCHER_PYTHON), 0);
  assert_int_equal(giving_read(f, first), 0);
  again = strdup(fcgi_options_show(f->options));
  for (size_t i = 0; fcgi_option_at(i); i++)
    assert_int_equal(strstr(first, fcgi_option_at(i)->name) == NULL,
                     strstr(again, fcgi_option_at(i)->name) == NULL);
  free(first);
  free(again);
}

static void test_files_help_has_all_of_them(void **state) {
  giving *f = *state;
  const char *help = fcgi_options_help(f->options);
  const fcgi_option *option;
  for (const char *line = help; *line; line += strcspn(line, "\n") + 1)
    assert_true(strcspn(line, "\n") < 80);
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    char name[64];
    snprintf(name, sizeof name, "--%s", option->name);
    for (char *c = name; *c; c++)
      *c = *c == '_' ? '-' : *c;
    if (option->launchers & 1u << FCGI_LAUNCHER_PYTHON && !option->positional)
      assert_non_null(strstr(help, name));
  }
}

/* It is read in steps, and has an end. */
static void test_files_up_to_a_megabyte(void **state) {
  enum { MOST = 1 << 20 };
  giving *f = *state;
  char *text = malloc(MOST);
  char wanted[128];
  assert_non_null(text);
  memset(text, '#', MOST);
  memcpy(text + MOST - 14, "\nthreads = 7\n", 13);
  giving_write(f, text, MOST - 1);
  assert_int_equal(fcgi_options_read_file(f->options, NULL, f->path, NULL), 0);
  assert_int_equal(fcgi_options_number(f->options, "threads"), 7);
  giving_write(f, text, MOST);
  assert_int_equal(fcgi_options_read_file(f->options, NULL, f->path, NULL),
                   FCGI_ERR_INVALID);
  snprintf(wanted, sizeof wanted, "%s: File too large", f->path);
  assert_string_equal(fcgi_options_message(f->options), wanted);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      GIVING_TEST(test_files_files),
      GIVING_TEST(test_files_mistakes_in_files),
      GIVING_TEST(test_files_small_times),
      GIVING_TEST(test_files_one_spelling),
      GIVING_TEST(test_files_files_that_are_no_toml),
      GIVING_TEST(test_files_files_that_cannot_be_read),
      GIVING_TEST(test_files_table_of_a_project),
      GIVING_TEST(test_files_show_is_a_file),
      GIVING_TEST(test_files_help_has_all_of_them),
      GIVING_TEST(test_files_up_to_a_megabyte),
  };
  return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}

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

static void test_given_later_origins_win(void **state) {
  giving *f = *state;
  size_t used;
  setenv("FASTCGI_LIMIT_PARAMS", "3", 1);
  setenv("FASTCGI_THREADS", "3", 1);
  assert_int_equal(fcgi_options_read_words(
                       f->options, WORDS("--threads", "4", "app:app"), &used),
                   0);
  assert_int_equal(used, 3);
  assert_int_equal(fcgi_options_read_environment(f->options), 0);
  assert_int_equal(giving_read(f, "threads = 1\nlimit_params = 1\nbacklog = 1\n"
                                  "app = 'other:app'\n"),
                   0);
  assert_int_equal(fcgi_options_number(f->options, "backlog"), 1);
  assert_int_equal(fcgi_options_number(f->options, "limit_params"), 3);
  assert_int_equal(fcgi_options_number(f->options, "threads"), 4);
  assert_int_equal(fcgi_options_number(f->options, "max_multiplexed"), 1024);
  assert_int_equal(fcgi_options_origin(f->options, "backlog"),
                   FCGI_ORIGIN_FILE);
  assert_int_equal(fcgi_options_origin(f->options, "max_multiplexed"),
                   FCGI_ORIGIN_DEFAULT);
  assert_string_equal(fcgi_options_text(f->options, "app", 0), "app:app");
}

static void test_given_lists_are_of_one_origin(void **state) {
  giving *f = *state;
  setenv("FASTCGI_BIND", " unix:a  unix:b ", 1);
  assert_int_equal(giving_read(f, "bind = ['unix:x', 'unix:y']\n"), 0);
  assert_string_equal(fcgi_options_text(f->options, "bind", 1), "unix:y");
  assert_int_equal(fcgi_options_read_environment(f->options), 0);
  assert_string_equal(fcgi_options_text(f->options, "bind", 0), "unix:a");
  assert_string_equal(fcgi_options_text(f->options, "bind", 1), "unix:b");
  assert_null(fcgi_options_text(f->options, "bind", 2));
}

static void test_given_concurrency_is_a_default(void **state) {
  giving *f = *state;
  setenv("WEB_CONCURRENCY", "3", 1);
  assert_int_equal(fcgi_options_read_environment(f->options), 0);
  assert_int_equal(fcgi_options_number(f->options, "workers"), 3);
  assert_non_null(strstr(fcgi_options_show(f->options),
                         "workers = \"3\"  # environment WEB_CONCURRENCY\n"));
  assert_int_equal(giving_read(f, "workers = 5\n"), 0);
  assert_int_equal(fcgi_options_number(f->options, "workers"), 5);
  setenv("WEB_CONCURRENCY", "-1", 1);
  assert_int_equal(fcgi_options_read_environment(f->options), FCGI_ERR_INVALID);
  assert_string_equal(fcgi_options_message(f->options),
                      "WEB_CONCURRENCY=-1: must be a whole number from 0 to "
                      "4096, or auto");
}

static void test_given_words(void **state) {
  giving *f = *state;
  size_t used;
  assert_int_equal(
      fcgi_options_read_words(f->options,
                              WORDS("-bunix:a", "app:app", "-b", "unix:b",
                                    "--stream", "--io-timeout=5m", "--", "x"),
                              &used),
      0);
  assert_int_equal(used, 7);
  assert_string_equal(fcgi_options_text(f->options, "bind", 0), "unix:a");
  assert_string_equal(fcgi_options_text(f->options, "bind", 1), "unix:b");
  assert_int_equal(fcgi_options_number(f->options, "stream"), 1);
  assert_int_equal(fcgi_options_number(f->options, "io_timeout"), 300000);
}

/* What is an option is no value, unless it stands behind "=" or the letter. */
static void test_given_options_are_no_values(void **state) {
  static const char *const wrong[][2] = {
      {"--pid", "--check-config"}, {"--pid", "--"}, {"--pid", "-b"},
      {"--pid", "--nobody"},       {"-b", "--pid"}, {"-b", "-b"}};
  giving *f = *state;
  size_t used;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    assert_int_equal(fcgi_options_read_words(f->options, 2, wrong[i], &used),
                     FCGI_ERR_INVALID);
    assert_string_equal(fcgi_options_message(f->options),
                        i < 4 ? "--pid needs a value (FILE)"
                              : "-b needs a value (ADDRESS)");
  }
  assert_int_equal(
      fcgi_options_read_words(f->options,
                              WORDS("--pid=--x", "-b-y", "--access-logfile",
                                    "-", "--error-logfile", "-1",
                                    "--access-logformat", "-%(h)s"),
                              &used),
      0);
  assert_int_equal(used, 8);
  assert_string_equal(fcgi_options_text(f->options, "pid", 0), "--x");
  assert_string_equal(fcgi_options_text(f->options, "bind", 0), "-y");
  assert_string_equal(fcgi_options_text(f->options, "access_logfile", 0), "-");
  assert_string_equal(fcgi_options_text(f->options, "error_logfile", 0), "-1");
}

/* RFC 3875, 4.4: a client's query is no option. */
static void test_given_of_a_client_are_none(void **state) {
  giving *f = *state;
  size_t used;
  setenv("GATEWAY_INTERFACE", "CGI/1.1", 1);
  assert_int_equal(
      fcgi_options_read_words(f->options,
                              WORDS("app:app", "--stream", "--bogus"), &used),
      0);
  assert_int_equal(used, 1);
  assert_int_equal(fcgi_options_number(f->options, "stream"), 0);
}

static void test_given_of_a_command_end_at_it(void **state) {
  fcgi_options *options;
  size_t used;
  (void)state;
  assert_int_equal(fcgi_options_new(&options, FCGI_LAUNCHER_RUN), 0);
  assert_int_equal(fcgi_options_read_words(
                       options, WORDS("-w2", "php-cgi", "-b", "x"), &used),
                   0);
  assert_int_equal(used, 1);
  assert_int_equal(fcgi_options_read_words(
                       options, WORDS("-w2", "--", "--bind", "x"), &used),
                   0);
  assert_int_equal(used, 2);
  fcgi_options_free(options);
}

#define WRONG(message, ...)                                                    \
  {                                                                            \
    message, {                                                                 \
      __VA_ARGS__                                                              \
    }                                                                          \
  }

static void test_given_say_what_is_wrong(void **state) {
  giving *f = *state;
  static const struct {
    const char *message;  /* All of it. */
    const char *words[4]; /* The command line. */
  } lines[] = {
      WRONG("--threads=x: must be a whole number from 1 to 4096", "--threads",
            "x"),
      WRONG("--threads=0: must be a whole number from 1 to 4096",
            "--threads=0"),
      WRONG("--io-timeout=soon: must be a time above 0 up to 2147483.647s "
            "(such as 30, 0.5s, 5m), or 0 for no limit",
            "--io-timeout=soon"),
      WRONG(
          "--log-queue=1Z: must be a size from 16K to 1G (such as 64K, 4M, 1G)",
          "--log-queue", "1Z"),
      WRONG("--umask=999: must be an octal mode from 000 to 777 (such as 027)",
            "--umask=999"),
      WRONG("--interface=cgi: must be one of auto, handler, wsgi, asgi",
            "--interface=cgi"),
      WRONG("--workers=5000: must be a whole number from 0 to 4096, or auto",
            "-w", "5000"),
      WRONG("--root-path=pre: must be a path that begins with /, below 256 "
            "bytes",
            "--root-path=pre"),
      WRONG("--peer-users=no-such-user: must be users of this machine, by name "
            "or number up to 4294967294, with commas between",
            "--peer-users=no-such-user"),
      WRONG("no option --relod; did you mean --reload?", "--relod"),
      WRONG("no option --zzz", "--zzz"),
      WRONG("no option --max-request; did you mean --max-requests?",
            "--max-request=5"),
      WRONG("no option --max_requests; did you mean --max-requests?",
            "--max_requests=5"),
      WRONG("no option -x", "-x"),
      WRONG("no option --app: it needs no name", "--app", "x"),
      WRONG("no option --ready-after; fcgi run has it", "--ready-after=5"),
      WRONG("no option --keep-alive: --idle-timeout is how long an "
            "idle connection is kept",
            "--keep-alive", "5"),
      WRONG("--stream takes no value", "--stream=yes"),
      WRONG("--bind needs a value (ADDRESS)", "--bind"),
      WRONG("-b needs a value (ADDRESS)", "-b"),
      WRONG("one application only: 'b' after 'a'", "a", "b"),
      WRONG("--bind=: must be a text that is not empty", "--bind="),
      WRONG("--chdir=?[31m: must be a text", NULL),
  };
  for (size_t i = 0; i + 1 < sizeof lines / sizeof *lines; i++) {
    size_t used, count = 0;
    while (count < 4 && lines[i].words[count])
      count++;
    assert_int_equal(
        fcgi_options_read_words(f->options, count, lines[i].words, &used),
        FCGI_ERR_INVALID);
    assert_string_equal(fcgi_options_message(f->options), lines[i].message);
    giving_tear_down(state);
    giving_set_up(state);
    f = *state;
  }
}

static void test_given_messages_are_one_line(void **state) {
  giving *f = *state;
  assert_int_equal(
      fcgi_options_set(f->options, FCGI_ORIGIN_LINE, "threads", "\x1b[31m\n"),
      FCGI_ERR_INVALID);
  assert_string_equal(
      fcgi_options_message(f->options),
      "--threads=?[31m?: must be a whole number from 1 to 4096");
}

static void test_given_variables_are_checked(void **state) {
  giving *f = *state;
  setenv("FASTCGI_PRINT_CONFIG", "1", 1);
  setenv("FASTCGI_THREADS", "", 1);
  assert_int_equal(fcgi_options_read_environment(f->options), 0);
  assert_int_equal(fcgi_options_number(f->options, "print_config"), 0);
  setenv("FASTCGI_THREADS", "x", 1);
  assert_int_equal(fcgi_options_read_environment(f->options), FCGI_ERR_INVALID);
  assert_string_equal(
      fcgi_options_message(f->options),
      "FASTCGI_THREADS=x: must be a whole number from 1 to 4096");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      GIVING_TEST(test_given_later_origins_win),
      GIVING_TEST(test_given_lists_are_of_one_origin),
      GIVING_TEST(test_given_concurrency_is_a_default),
      GIVING_TEST(test_given_words),
      GIVING_TEST(test_given_options_are_no_values),
      GIVING_TEST(test_given_of_a_client_are_none),
      GIVING_TEST(test_given_of_a_command_end_at_it),
      GIVING_TEST(test_given_say_what_is_wrong),
      GIVING_TEST(test_given_messages_are_one_line),
      GIVING_TEST(test_given_variables_are_checked),
  };
  return cmocka_run_group_tests_name("given", tests, NULL, NULL);
}

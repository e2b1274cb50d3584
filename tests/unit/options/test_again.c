/* SPDX-License-Identifier: MIT */
#include "options/again.h"
#include "options/options.h"
#include "support/failing.h"
#include "support/giving.h"
#include "support/unit.h"

#include <fastcgi/fastcgi.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOM = 1024, NOBODY = 65534 };

/* The variables that were put, one a line. */
typedef struct variables {
  char text[ROOM]; /* NAME=VALUE and a line feed. */
} variables;

static int put(void *data, const char *name, const char *text) {
  variables *all = data;
  size_t len = strlen(all->text);
  snprintf(all->text + len, sizeof all->text - len, "%s=%s\n", name, text);
  return 0;
}

static int put_own(void *data, const char *name, const char *text) {
  variables *all = data;
  size_t len = strlen(all->text);
  snprintf(all->text + len, sizeof all->text - len, "%s=PID:%s", name, text);
  return 0;
}

static void rewrite(const giving *f, const char *text) {
  giving_write(f, text, strlen(text));
}

static int differ(const fcgi_options *then, const fcgi_options *now,
                  const char *name) {
  return fcgi__options_differ(then, now, fcgi_option_find(name));
}

static void test_again_reads_what_there_is_now(void **state) {
  giving *f = *state;
  fcgi_options *now;
  size_t used;
  setenv("FASTCGI_LIMIT_PARAMS", "3", 1);
  assert_int_equal(fcgi_options_read_words(
                       f->options, WORDS("--threads", "4", "a:b"), &used),
                   0);
  assert_int_equal(fcgi_options_read_environment(f->options), 0);
  assert_int_equal(giving_read(f, "threads = 1\nbacklog = 1\nio_timeout = 60\n"
                                  "bind = ['unix:a']\nuser = 'x'\n"),
                   0);
  rewrite(f, "bind = ['unix:a', 'unix:b']\nio_timeout = '1m'\n");
  assert_int_equal(fcgi__options_read_again(f->options, NULL, &now), 0);
  assert_int_equal(fcgi_options_number(now, "threads"), 4);
  assert_int_equal(fcgi_options_number(now, "limit_params"), 3);
  assert_int_equal(fcgi_options_number(now, "backlog"), 4096);
  assert_string_equal(fcgi_options_text(now, "app", 0), "a:b");
  assert_true(differ(f->options, now, "backlog"));
  assert_true(differ(f->options, now, "bind"));
  assert_true(differ(f->options, now, "user"));
  assert_false(differ(f->options, now, "io_timeout"));
  assert_false(differ(f->options, now, "threads"));
  assert_false(differ(f->options, now, "group"));
  fcgi_options_free(now);
}

static void test_again_says_what_is_wrong(void **state) {
  giving *f = *state;
  fcgi_options *now;
  char wanted[200];
  assert_int_equal(giving_read(f, "threads = 1\n"), 0);
  rewrite(f, "threads = 0\n");
  assert_int_equal(fcgi__options_read_again(f->options, NULL, &now),
                   FCGI_ERR_INVALID);
  snprintf(wanted, sizeof wanted,
           "%s: threads=0: must be a whole number from 1 to 4096", f->path);
  assert_string_equal(fcgi_options_message(now), wanted);
  fcgi_options_free(now);
  unlink(f->path);
  assert_int_equal(fcgi__options_read_again(f->options, NULL, &now),
                   FCGI_ERR_INVALID);
  snprintf(wanted, sizeof wanted, "%s: No such file or directory", f->path);
  assert_string_equal(fcgi_options_message(now), wanted);
  fcgi_options_free(now);
}

static void test_again_finds_files_where_they_are(void **state) {
  giving *f = *state;
  char here[PATH_MAX], place[] = "/tmp/fastcgi-again-XXXXXX";
  fcgi_options *now;
  assert_non_null(getcwd(here, sizeof here));
  assert_non_null(mkdtemp(place));
  rewrite(f, "threads = 2\n");
  assert_int_equal(chdir("/tmp"), 0);
  assert_int_equal(
      fcgi_options_read_file(f->options, NULL, strrchr(f->path, '/') + 1, NULL),
      0);
  assert_int_equal(chdir(here), 0);
  rewrite(f, "threads = 3\n");
  assert_int_equal(fcgi__options_read_again(f->options, NULL, &now), 0);
  assert_int_equal(fcgi_options_number(now, "threads"), 3);
  fcgi_options_free(now);
  assert_int_equal(fcgi__options_read_again(f->options, place, &now),
                   FCGI_ERR_INVALID);
  fcgi_options_free(now);
  rmdir(place);
}

/* A project's file need not have options, and need not be there. */
static void test_again_reads_a_table_that_comes_and_goes(void **state) {
  giving *f = *state;
  static const char text[] = "[tool.fastcgi]\nthreads = 2\n";
  fcgi_options *now;
  unlink(f->path);
  assert_int_equal(
      fcgi_options_read_file(f->options, "/tmp", f->path, "tool.fastcgi"), 0);
  rewrite(f, text);
  assert_int_equal(fcgi__options_read_again(f->options, NULL, &now), 0);
  assert_int_equal(fcgi_options_number(now, "threads"), 2);
  fcgi_options_free(now);
}

static void test_again_tells_a_lack_of_rights(void **state) {
  giving *f = *state;
  uid_t user = geteuid();
  assert_int_equal(chmod(f->path, 0), 0);
  if (user == 0)
    assert_int_equal(seteuid(NOBODY), 0); /* Root may read everything. */
  int error = fcgi_options_read_file(f->options, NULL, f->path, NULL);
  assert_int_equal(seteuid(user), 0);
  assert_int_equal(error, FCGI_ERR_SYSTEM);
}

static void test_again_a_program_gets_variables(void **state) {
  giving *f = *state;
  variables all = {{0}};
  fcgi_options *run;
  size_t used;
  assert_int_equal(fcgi_options_new(&run, FCGI_LAUNCHER_RUN), 0);
  assert_int_equal(
      fcgi_options_read_words(run,
                              WORDS("--limit-params=5", "--no-multiplex",
                                    "--backlog=5", "--workers=2"),
                              &used),
      0);
  assert_int_equal(fcgi__options_export(run, put, put_own, &all), 0);
  assert_string_equal(all.text,
                      "FASTCGI_LIMIT_PARAMS=5\nFASTCGI_NO_MULTIPLEX=true\n");
  fcgi_options_free(run);
  (void)f;
}

/* A launcher's worker reads words and environment by itself, and files never:
   what they say may have changed since. */
static void test_again_a_launcher_gets_what_files_said(void **state) {
  giving *f = *state;
  variables all = {{0}};
  char text[ROOM + 16];
  size_t used;
  fcgi_options *worker;
  assert_int_equal(
      fcgi_options_read_words(f->options, WORDS("--threads=4"), &used), 0);
  assert_int_equal(giving_read(f, "threads = 1\nlimit_params = 7\n"
                                  "role = ['a=b:c', \"d=\\\"e\\n:\\\\f\"]\n"),
                   0);
  assert_int_equal(fcgi__options_export(f->options, put, put_own, &all), 0);
  assert_non_null(strstr(all.text, "FASTCGI_FILE_OPTIONS=PID:"));
  assert_null(strstr(all.text, "threads"));
  snprintf(text, sizeof text, "%ld%s", (long)getpid(), strchr(all.text, ':'));
  setenv("FASTCGI_FILE_OPTIONS", text, 1);
  rewrite(f, "no = TOML");
  assert_int_equal(fcgi_options_new(&worker, FCGI_LAUNCHER_PYTHON), 0);
  assert_int_equal(fcgi_options_read_environment(worker), 0);
  assert_int_equal(fcgi_options_read_file(worker, NULL, f->path, NULL), 0);
  assert_int_equal(fcgi_options_number(worker, "limit_params"), 7);
  assert_int_equal(fcgi_options_number(worker, "threads"), 1);
  assert_string_equal(fcgi_options_text(worker, "role", 1), "d=\"e\n:\\f");
  assert_int_equal(fcgi_options_origin(worker, "limit_params"),
                   FCGI_ORIGIN_FILE);
  fcgi_options_free(worker);
  unsetenv("FASTCGI_FILE_OPTIONS");
}

static void test_again_what_is_for_others_is_nothing(void **state) {
  giving *f = *state;
  setenv("FASTCGI_FILE_OPTIONS", "1:threads = 9\n", 1);
  assert_int_equal(fcgi_options_read_environment(f->options), 0);
  assert_int_equal(giving_read(f, "threads = 2\n"), 0);
  assert_int_equal(fcgi_options_number(f->options, "threads"), 2);
  unsetenv("FASTCGI_FILE_OPTIONS");
}

static void test_again_a_configuration_forgets_what_is_not_given(void **state) {
  giving *f = *state;
  fcgi_supervisor_config config = {.size = sizeof config,
                                   .workers = 3,
                                   .timeout_ms = 5,
                                   .user = "x",
                                   .ready_after_ms = -1};
  assert_int_equal(giving_read(f, "workers = 7\nuser = 'y'\n"), 0);
  fcgi__options_reload(f->options, &config);
  assert_int_equal(config.workers, 7);
  assert_int_equal(config.timeout_ms, 0);
  assert_string_equal(config.user, "x");
  assert_int_equal(config.ready_after_ms, -1);
}

static void test_again_survives_lack_of_memory(void **state) {
  giving *f = *state;
  int error = FCGI_ERR_NOMEM;
  rewrite(f, "bind = ['unix:a', 'unix:b']\nthreads = 2\n");
  for (long n = 0; error; n++) {
    failing memory = {.until_failure = n};
    fcgi_allocator allocator = failing_allocator(&memory);
    fcgi_options *options = NULL, *now = NULL;
    variables all = {{0}};
    size_t used;
    error = fcgi__options_new(&options, FCGI_LAUNCHER_PYTHON, &allocator);
    if (!error)
      error = fcgi_options_read_words(options, WORDS("app:app"), &used);
    if (!error)
      error = fcgi_options_read_file(options, NULL, f->path, NULL);
    if (!error)
      error = fcgi__options_read_again(options, NULL, &now);
    if (!error)
      error = fcgi__options_export(now, put, put_own, &all);
    assert_true(error == 0 || error == FCGI_ERR_NOMEM);
    fcgi_options_free(now);
    fcgi_options_free(options);
    assert_int_equal(memory.live, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      GIVING_TEST(test_again_reads_what_there_is_now),
      GIVING_TEST(test_again_says_what_is_wrong),
      GIVING_TEST(test_again_finds_files_where_they_are),
      GIVING_TEST(test_again_reads_a_table_that_comes_and_goes),
      GIVING_TEST(test_again_tells_a_lack_of_rights),
      GIVING_TEST(test_again_a_program_gets_variables),
      GIVING_TEST(test_again_a_launcher_gets_what_files_said),
      GIVING_TEST(test_again_what_is_for_others_is_nothing),
      GIVING_TEST(test_again_a_configuration_forgets_what_is_not_given),
      GIVING_TEST(test_again_survives_lack_of_memory),
  };
  return cmocka_run_group_tests_name("again", tests, NULL, NULL);
}

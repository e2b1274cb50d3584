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

enum { MOST_FAILURES = 4000 };

static void test_config_fill_a_server(void **state) {
  giving *f = *state;
  fcgi_server_config config = {.size = sizeof config, .backlog = 7};
  size_t used;
  assert_int_equal(
      fcgi_options_read_words(f->options,
                              WORDS("--io-timeout=0", "--limit-params", "5",
                                    "--root-path=/x", "--log-level", "debug",
                                    "--stream", "--body-memory", "5K",
                                    "--max-requests=0"),
                              &used),
      0);
  assert_int_equal(fcgi_options_set_number(f->options, FCGI_ORIGIN_PROGRAM,
                                           "no_multiplex", 0),
                   0);
  fcgi_options_server(f->options, &config);
  assert_int_equal(config.io_timeout_ms, FCGI_WAIT_FOREVER);
  assert_int_equal(config.limit_params, 5);
  assert_string_equal(config.root_path, "/x");
  assert_int_equal(config.log_levels, 15);
  assert_int_equal(config.body, FCGI_BODY_STREAM);
  assert_int_equal(config.body_memory, 5120);
  assert_true(config.max_requests == UINT64_MAX);
  assert_int_equal(config.no_multiplex, -1);
  assert_int_equal(config.backlog, 7);
  assert_int_equal(config.limit_connections, 0);
}

static void test_config_fill_a_supervisor(void **state) {
  giving *f = *state;
  fcgi_supervisor_config config = {.size = sizeof config};
  size_t used;
  assert_int_equal(fcgi_options_read_words(
                       f->options,
                       WORDS("-w2", "-b", "unix:a", "-bunix:b", "-m", "0", "-u",
                             "nobody", "-t", "5", "--max-worker-age", "2d"),
                       &used),
                   0);
  fcgi_options_supervisor(f->options, &config);
  assert_int_equal(config.workers, 2);
  assert_string_equal(config.bind[1], "unix:b");
  assert_null(config.bind[2]);
  assert_int_equal(config.has_umask, 1);
  assert_string_equal(config.user, "nobody");
  assert_int_equal(config.timeout_ms, 5000);
  assert_int_equal(config.max_worker_age_ms, 172800000);
}

static void test_config_defaults_of_a_server(void **state) {
  fcgi_server_config config = {.size = sizeof config, .backlog = 7};
  char why[8] = "";
  (void)state;
  setenv("FASTCGI_LIMIT_PARAMS", "9", 1);
  setenv("FASTCGI_BACKLOG", "x", 1); /* The field is set. */
  setenv("FASTCGI_ROOT_PATH", "", 1);
  setenv("FASTCGI_IO_TIMEOUT", "", 1);
  assert_int_equal(fcgi__server_config_fill(&config, why, sizeof why), 0);
  assert_int_equal(config.limit_params, 9);
  assert_int_equal(config.backlog, 7);
  assert_string_equal(config.root_path, "");
  assert_int_equal(config.io_timeout_ms, 60000);
  assert_int_equal(config.limit_request_body, 1 << 30);
  assert_int_equal(config.socket_mode, 0660);
  assert_null(config.status_path);
  assert_int_equal(config.request_timeout_ms, 0);
}

/* A text that no option of that kind can have. */
static const char *nonsense(const fcgi_option *option) {
  return option->kind == FCGI_OPTION_USERS ? "root,no-such-user" : "x\ny";
}

/* Each variable that a server reads, an access rule first of all: what cannot
   be meant is not left out. */
static void test_config_refuse_each_variable(void **state) {
  const fcgi_option *option;
  unsigned count = 0;
  (void)state;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    fcgi_server_config config = {.size = sizeof config};
    char name[FCGI__OPTION_PATH], why[512], line[512], wanted[160];
    if (option->scope != FCGI_OPTION_FOR_SERVER ||
        option->kind == FCGI_OPTION_TEXT)
      continue;
    fcgi__option_variable(option, name);
    setenv(name, nonsense(option), 1);
    assert_int_equal(fcgi__server_config_fill(&config, why, sizeof why),
                     FCGI_ERR_INVALID);
    unsetenv(name);
    snprintf(line, sizeof line, "%s=%s: must be %s", name,
             option->kind == FCGI_OPTION_USERS ? nonsense(option) : "x?y",
             fcgi_option_wanted(option, wanted, sizeof wanted));
    assert_string_equal(why, line);
    count++;
  }
  assert_true(count > 25);
}

static void test_config_ranges_of_configurations(void **state) {
  fcgi_server_config server = {.size = sizeof server,
                               .io_timeout_ms = FCGI_WAIT_NEVER};
  fcgi_supervisor_config supervisor = {.size = sizeof supervisor};
  (void)state;
  assert_null(fcgi__server_config_wrong(&server));
  server.socket_mode = 01000;
  assert_string_equal(fcgi__server_config_wrong(&server)->name, "socket_mode");
  server.socket_mode = 0;
  server.backlog = -1;
  assert_string_equal(fcgi__server_config_wrong(&server)->name, "backlog");
  assert_null(fcgi__supervisor_config_wrong(&supervisor));
  supervisor.workers = 4097;
  assert_string_equal(fcgi__supervisor_config_wrong(&supervisor)->name,
                      "workers");
}

/* Whichever allocation fails, the call says so and nothing leaks. */
static void test_config_survive_lack_of_memory(void **state) {
  giving *f = *state;
  int error = FCGI_ERR_NOMEM;
  giving_write(f, "bind = ['unix:a', 'unix:b']\nthreads = 2\n", 40);
  for (long n = 0; error; n++) {
    failing memory = {.until_failure = n};
    fcgi_allocator allocator = failing_allocator(&memory);
    fcgi_options *options = NULL;
    size_t used;
    error = fcgi__options_new(&options, FCGI_LAUNCHER_PYTHON, &allocator);
    if (!error)
      error = fcgi_options_read_words(options, WORDS("app:app", "-b", "unix:c"),
                                      &used);
    if (!error)
      error = fcgi_options_read_file(options, NULL, f->path, NULL);
    if (!error && !(fcgi_options_show(options) && fcgi_options_help(options)))
      error = FCGI_ERR_NOMEM;
    fcgi_options_free(options);
    assert_true(error == 0 || error == FCGI_ERR_NOMEM);
    assert_int_equal(memory.live, 0);
    assert_true(n < MOST_FAILURES);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      GIVING_TEST(test_config_fill_a_server),
      GIVING_TEST(test_config_fill_a_supervisor),
      GIVING_TEST(test_config_defaults_of_a_server),
      GIVING_TEST(test_config_refuse_each_variable),
      GIVING_TEST(test_config_ranges_of_configurations),
      GIVING_TEST(test_config_survive_lack_of_memory),
  };
  return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* A server that is not made says why, in one line. */
#include "support/unit.h"

#include <fastcgi/error.h>
#include <fastcgi/server.h>
#include <string.h>

enum { SIZE = sizeof(fcgi_server_config) };

static void test_what_is_wrong_is_named(void **state) {
  static char longest[8192];
  const struct {
    fcgi_server_config config; /* What is wrong. */
    const char *says;          /* The beginning of the line. */
  } wrong[] = {
      {{.size = 1}, "the configuration has the size of no version"},
      {{.size = SIZE, .status_path = "status"}, "status_path must be "},
      {{.size = SIZE, .poller = FCGI_POLLERS}, "poller must be "},
      {{.size = SIZE, .backlog = -1}, "backlog must be "},
      {{.size = SIZE, .body = (fcgi_body_mode)7}, "body must be "},
      {{.size = SIZE, .temp_dir = longest}, "temp_dir must be "},
      {{.size = SIZE, .header_timeout_ms = FCGI_WAIT_NEVER},
       "header_timeout must be "},
      {{.size = SIZE, .io_timeout_ms = -3}, "io_timeout must be "},
  };
  (void)state;
  memset(longest, 'x', sizeof longest - 1);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    fcgi_server *server = NULL;
    char why[256] = "";
    assert_int_equal(
        fcgi_server_new(&server, &wrong[i].config, why, sizeof why),
        FCGI_ERR_INVALID);
    assert_null(server);
    assert_memory_equal(why, wrong[i].says, strlen(wrong[i].says));
    assert_null(strchr(why, '\n'));
    assert_int_equal(fcgi_server_new(&server, &wrong[i].config, NULL, 0),
                     FCGI_ERR_INVALID);
  }
}

static void test_the_line_is_cut(void **state) {
  const fcgi_server_config config = {.size = 1};
  fcgi_server *server;
  char why[4];
  (void)state;
  assert_int_equal(fcgi_server_new(&server, &config, why, sizeof why),
                   FCGI_ERR_INVALID);
  assert_string_equal(why, "the");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_wrong_is_named),
      cmocka_unit_test(test_the_line_is_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

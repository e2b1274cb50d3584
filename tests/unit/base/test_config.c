/* SPDX-License-Identifier: MIT */
#include "base/config.h"
#include "support/unit.h"

#include <fastcgi/fastcgi.h>
#include <stdlib.h>
#include <string.h>

/* What a program of another version has. */
typedef struct other {
  size_t size;      /* As every config. */
  char bytes[4096]; /* More than any of ours has. */
} other;

typedef int (*make_fn)(const void *config);

static int make_server(const void *config) {
  fcgi_server *made;
  int error = fcgi_server_new(&made, config, NULL, 0);
  if (!error)
    fcgi_server_free(made);
  return error;
}

static int make_session(const void *config) {
  fcgi_session *made;
  int error = fcgi_session_new(&made, config);
  if (!error)
    fcgi_session_free(made);
  return error;
}

static int make_peer(const void *config) {
  fcgi_peer *made;
  int error = fcgi_peer_new(&made, config);
  if (!error)
    fcgi_peer_free(made);
  return error;
}

static int make_client(const void *config) {
  fcgi_client *made;
  int error = fcgi_client_new(&made, config);
  if (!error)
    fcgi_client_free(made);
  return error;
}

static const struct {
  make_fn make; /* What takes a config. */
  size_t size;  /* Of that config. */
} kinds[] = {{make_server, sizeof(fcgi_server_config)},
             {make_session, sizeof(fcgi_session_config)},
             {make_peer, sizeof(fcgi_peer_config)},
             {make_client, sizeof(fcgi_client_config)}};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* One rule for all of them. */
static void test_config_sizes(void **state) {
  (void)state;
  for (int i = 0; i < KINDS; i++) {
    other config = {.size = 0};
    assert_int_equal(kinds[i].make(&config), FCGI_ERR_INVALID);
    config.size = sizeof(size_t) - 1;
    assert_int_equal(kinds[i].make(&config), FCGI_ERR_INVALID);
    config.size = sizeof(size_t);
    assert_int_equal(kinds[i].make(&config), 0);
    config.size = kinds[i].size;
    assert_int_equal(kinds[i].make(&config), 0);
    config.size = sizeof config;
    assert_int_equal(kinds[i].make(&config), 0);
    config.bytes[sizeof config.bytes - 1] = 1;
    assert_int_equal(kinds[i].make(&config), FCGI_ERR_INVALID);
    assert_int_equal(kinds[i].make(NULL), 0);
  }
}

static void test_config_of_a_supervisor(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    const char *const command[] = {"true", NULL};
    struct {
      fcgi_supervisor_config config; /* Of this version. */
      char more[16];                 /* Of another one. */
    } given = {.config = {.size = sizeof given,
                          .command = command,
                          .check_only = 1,
                          .allow_root = 1}};
    given.more[15] = (char)i;
    assert_int_equal(fcgi_supervisor_run(&given.config),
                     i ? FCGI_SUPERVISOR_FAILED : FCGI_SUPERVISOR_STOPPED);
    given.config.size = 0;
    assert_int_equal(fcgi_supervisor_run(&given.config),
                     FCGI_SUPERVISOR_FAILED);
  }
}

/* A copy has our size, and leaves what the other one does not have. */
static void test_config_copy(void **state) {
  struct {
    size_t size; /* As every config. */
    int a, b;    /* What it says. */
  } ours = {sizeof ours, 1, 2}, smaller = {0, 7, 7};
  (void)state;
  smaller.size = sizeof(size_t) + sizeof(int);
  assert_int_equal(fcgi__config_copy(&ours, sizeof ours, 0, &smaller), 0);
  assert_int_equal(ours.size, sizeof ours);
  assert_int_equal(ours.a, 7);
  assert_int_equal(ours.b, 2);
  assert_int_equal(fcgi__config_copy(&ours, sizeof ours, sizeof ours, &smaller),
                   FCGI_ERR_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_config_sizes),
      cmocka_unit_test(test_config_of_a_supervisor),
      cmocka_unit_test(test_config_copy),
  };
  return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

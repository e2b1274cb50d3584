/* SPDX-License-Identifier: MIT */
/* What others do wrong is counted by its kind and told in few lines. */
#include "server/server.h"
#include "support/serving.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOG = 4096 };

static void keep(fcgi_log_level level, const char *line, void *user_data) {
  char *log = user_data;
  (void)level;
  snprintf(log + strlen(log), LOG - strlen(log), "%s\n", line);
}

/* A server with a status, whose lines go to `log`. */
static void begin(serving *f, char log[LOG]) {
  *log = '\0';
  f->config.log = keep;
  f->config.log_data = log;
  f->config.status_path = "/status";
  serving_restart(f);
}

/* Serves until the client sees the end of its connection. */
static void serve_to_the_end(serving *f) {
  for (int i = 0; i < 10000; i++) {
    serving_idle(f, 1);
    if (serving_is_closed(f, 0))
      return;
  }
  fail_msg("the connection was not closed");
}

static void send_bytes(serving *f, const void *data, size_t len) {
  close(f->client);
  f->client = serving_connect(f);
  assert_int_equal(send(f->client, data, len, MSG_NOSIGNAL), len);
  serve_to_the_end(f);
}

static uint64_t counted(const serving *f, fcgi_status_value value) {
  fcgi__board_slot *slot = atomic_load(&f->server->slot);
  return atomic_load(&slot->counts.values[value]);
}

static unsigned lines(const char *log) {
  unsigned count = 0;
  for (; *log; log++)
    count += *log == '\n';
  return count;
}

/* Pretends that the pause after a line is over. */
static void pass_time(serving *f) {
  for (unsigned i = 0; i < FCGI__TROUBLES; i++)
    atomic_store(&f->server->troubles[i].quiet, 0);
}

static void expect_broken(serving *f, const void *data, size_t len,
                          const char *what) {
  char log[LOG], expected[200];
  begin(f, log);
  send_bytes(f, data, len);
  snprintf(expected, sizeof expected,
           "closed the connection of process %ld of user %lu, from which came "
           "%s\n",
           (long)getpid(), (unsigned long)getuid(), what);
  assert_string_equal(log, expected);
  assert_int_equal(counted(f, FCGI_STATUS_PROTOCOL_ERRORS), 1);
}

static void test_strangers_are_named(void **state) {
  static const char http[] = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
  static const char post[] = "POST /x HTTP/1.0\r\n\r\n";
  static const char tls[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
  static const char proxy[] = "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n";
  static const char other[] = "\x02\x01\x00\x01\x00\x08\x00\x00";
  serving *f = *state;
  expect_broken(f, http, sizeof http - 1,
                "an HTTP request; in nginx use fastcgi_pass, not proxy_pass");
  expect_broken(f, post, sizeof post - 1,
                "an HTTP request; in nginx use fastcgi_pass, not proxy_pass");
  expect_broken(f, tls, sizeof tls - 1, "TLS; FastCGI is spoken without it");
  expect_broken(f, proxy, sizeof proxy - 1,
                "a PROXY protocol header; switch that off");
  expect_broken(f, other, sizeof other - 1,
                "bytes that are no FastCGI: 02 01 00 01 00 08 00 00");
}

/* Once it has asked properly, its bytes may be a client's: they stay out. */
static void test_a_later_fault_is_named_without_bytes(void **state) {
  static const uint8_t wrong[] = {2, 1, 0, 1, 0, 8, 0, 0};
  serving *f = *state;
  char log[LOG];
  begin(f, log);
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request_end(serving_take(f, FCGI_EVENT_REQUEST), 0);
  send(f->client, wrong, sizeof wrong, MSG_NOSIGNAL);
  serve_to_the_end(f);
  assert_non_null(strstr(log, "from which came what breaks the FastCGI "
                              "protocol\n"));
}

static void test_a_flood_is_two_lines(void **state) {
  static const char http[] = "GET /x HTTP/1.1\r\n\r\n";
  serving *f = *state;
  char log[LOG];
  begin(f, log);
  for (int i = 0; i < 20; i++)
    send_bytes(f, http, sizeof http - 1);
  assert_int_equal(lines(log), 1);
  assert_int_equal(counted(f, FCGI_STATUS_PROTOCOL_ERRORS), 20);
  pass_time(f);
  assert_int_equal(fcgi__trouble_tell(f->server, fcgi__now()), LLONG_MAX);
  assert_int_equal(lines(log), 2);
  assert_non_null(
      strstr(log, "\n19 more connections that broke the protocol\n"));
}

/* The rest is told when the pause is over though nothing more happens, and at
   the end of the server. */
static void test_the_rest_is_always_told(void **state) {
  static const char http[] = "GET /x HTTP/1.1\r\n\r\n";
  serving *f = *state;
  char log[LOG];
  begin(f, log);
  send_bytes(f, http, sizeof http - 1);
  send_bytes(f, http, sizeof http - 1);
  assert_true(atomic_load(&f->server->next_sweep) <= fcgi__now() + 10000);
  pass_time(f);
  atomic_store(&f->server->next_sweep, 0);
  serving_idle(f, 10);
  assert_non_null(strstr(log, "\n1 more connections that broke"));
  pass_time(f);
  send_bytes(f, http, sizeof http - 1);
  send_bytes(f, http, sizeof http - 1);
  send_bytes(f, http, sizeof http - 1);
  *log = '\0';
  f->config.log_data = NULL;
  f->config.log = NULL;
  serving_restart(f);
  assert_string_equal(log, "2 more connections that broke the protocol\n");
}

static void test_parameters_that_stop_coming(void **state) {
  serving *f = *state;
  char log[LOG];
  f->config.header_timeout_ms = 20;
  begin(f, log);
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  serving_send(f);
  serve_to_the_end(f);
  assert_non_null(
      strstr(log, "a request's parameters stopped coming from process "));
  assert_int_equal(counted(f, FCGI_STATUS_TIMEOUTS_HEADER), 1);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_strangers_are_named),
      SERVING_TEST(test_a_later_fault_is_named_without_bytes),
      SERVING_TEST(test_a_flood_is_two_lines),
      SERVING_TEST(test_the_rest_is_always_told),
      SERVING_TEST(test_parameters_that_stop_coming),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}

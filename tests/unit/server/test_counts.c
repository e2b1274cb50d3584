/* SPDX-License-Identifier: MIT */
/* What a server counts for its status: each number once for what it says. */
#include "server/server.h"
#include "support/serving.h"

#include <fastcgi/error.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LIMIT_MS = 300, LONG_MS = 20000, ROOM = 4096 };

static void begin(serving *f) {
  lines_begin(&f->log, &f->config);
  f->config.status_path = "/status";
  serving_restart(f);
  serving_idle(f, 0); /* From its first wait on it counts. */
}

static uint64_t counted(const serving *f, fcgi_metric metric) {
  fcgi__board_slot *slot = atomic_load(&f->server->observer.slot);
  return atomic_load(&slot->counts.values[metric]);
}

static void await(serving *f, fcgi_metric metric, uint64_t value) {
  for (int ms = 0; counted(f, metric) != value; ms++) {
    assert_true(ms < LONG_MS);
    serving_idle(f, 1);
  }
}

static fcgi_request *get(serving *f) {
  records_get(&f->text->sent, 1);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static void hang_up(serving *f) {
  close(f->client);
  f->client = -1;
}

static void test_bytes_both_ways(void **state) {
  serving *f = *state;
  uint64_t sent = 0;
  begin(f);
  for (int i = 0; i < 3; i++) {
    records_get(&f->text->sent, 1);
    sent += f->text->sent.len;
    serving_send(f);
    assert_int_equal(fcgi_request_reply(serving_take(f, FCGI_EVENT_REQUEST),
                                        200, "text/plain", "hello", 5),
                     0);
    serving_idle(f, 0);
    serving_receive(f);
    assert_int_equal(counted(f, FCGI_METRIC_BYTES_IN), sent);
    assert_int_equal(counted(f, FCGI_METRIC_BYTES_OUT), f->got.len);
  }
}

static void test_connections(void **state) {
  serving *f = *state;
  int others[2];
  begin(f);
  for (int i = 0; i < 2; i++)
    others[i] = serving_connect(f);
  await(f, FCGI_METRIC_OPEN, 3);
  close(others[0]);
  await(f, FCGI_METRIC_OPEN, 2);
  assert_int_equal(counted(f, FCGI_METRIC_ACCEPTED), 3);
  assert_int_equal(counted(f, FCGI_METRIC_MOVED), 0);
  close(others[1]);
}

/* One request was aborted, for this reason. */
static void expect_abort(serving *f, fcgi_metric reason) {
  await(f, reason, 1);
  for (unsigned i = FCGI_METRIC_ABORTS_RECORD; i <= FCGI_METRIC_ABORTS_DEADLINE;
       i++)
    assert_int_equal(counted(f, (fcgi_metric)i), i == (unsigned)reason);
}

static void test_an_abort_by_the_web_server(void **state) {
  serving *f = *state;
  begin(f);
  fcgi_request *request = get(f);
  records_abort(&f->text->sent, 1);
  serving_send(f);
  expect_abort(f, FCGI_METRIC_ABORTS_RECORD);
  fcgi_request_end(request, 0);
}

static void test_an_abort_by_the_end_of_the_connection(void **state) {
  serving *f = *state;
  begin(f);
  fcgi_request *request = get(f);
  hang_up(f);
  expect_abort(f, FCGI_METRIC_ABORTS_CONNECTION);
  fcgi_request_end(request, 0);
}

static void test_an_abort_for_wrong_bytes(void **state) {
  static const uint8_t wrong[] = {2, 1, 0, 1, 0, 8, 0, 0};
  serving *f = *state;
  begin(f);
  fcgi_request *request = get(f);
  assert_int_equal(send(f->client, wrong, sizeof wrong, MSG_NOSIGNAL),
                   sizeof wrong);
  expect_abort(f, FCGI_METRIC_ABORTS_PROTOCOL);
  assert_int_equal(counted(f, FCGI_METRIC_PROTOCOL_ERRORS), 1);
  fcgi_request_end(request, 0);
}

static void test_an_abort_where_nobody_reads(void **state) {
  static const char bytes[ROOM];
  serving *f = *state;
  f->config.io_timeout_ms = LIMIT_MS;
  begin(f);
  fcgi_request *request = get(f);
  fcgi_request_set_timeout(request, 0);
  assert_int_equal(fcgi_request_start(request, 200, NULL, 0), 0);
  while (fcgi_request_write(request, bytes, sizeof bytes) > 0)
    ;
  expect_abort(f, FCGI_METRIC_ABORTS_TIMEOUT);
  assert_int_equal(counted(f, FCGI_METRIC_TIMEOUTS_OUTPUT), 1);
  assert_int_equal(counted(f, FCGI_METRIC_TIMEOUTS_HEADER), 0);
  assert_int_equal(lines_count(&f->log, "took no more of an answer"), 1);
  fcgi_request_end(request, 0);
}

static void test_an_abort_by_a_stop(void **state) {
  serving *f = *state;
  fcgi_server_event event = {.size = sizeof event};
  begin(f);
  fcgi_request *request = get(f);
  fcgi_server_stop(f->server, FCGI_STOP_NOW);
  assert_int_equal(fcgi_server_next(f->server, &event, LONG_MS),
                   FCGI_ERR_CLOSED);
  expect_abort(f, FCGI_METRIC_ABORTS_STOP);
  fcgi_request_end(request, 0);
}

/* Its handler counts as one that runs until it has returned. */
static void test_an_abort_by_the_deadline(void **state) {
  serving *f = *state;
  f->config.request_timeout_ms = LIMIT_MS;
  begin(f);
  fcgi_request *request = get(f);
  expect_abort(f, FCGI_METRIC_ABORTS_DEADLINE);
  assert_int_equal(counted(f, FCGI_METRIC_OVERDUE), 1);
  assert_int_equal(counted(f, FCGI_METRIC_ACTIVE), 1);
  assert_int_equal(counted(f, FCGI_METRIC_FINISHED), 1);
  assert_int_equal(fcgi_request_end(request, 0), FCGI_ERR_ABORTED);
  await(f, FCGI_METRIC_OVERDUE, 0);
  await(f, FCGI_METRIC_ACTIVE, 0);
  assert_int_equal(counted(f, FCGI_METRIC_RESPONSES_5XX), 1);
}

/* No handler sees it, and it is no request that was ready for one. */
static void test_a_request_that_is_refused(void **state) {
  serving *f = *state;
  f->config.limit_params = 1;
  begin(f);
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(&f->text->sent, 1, "A", "b");
  records_param(&f->text->sent, 1, "C", "d");
  records_params_end(&f->text->sent, 1);
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  await(f, FCGI_METRIC_REFUSED, 1);
  assert_int_equal(counted(f, FCGI_METRIC_REQUESTS), 0);
  fcgi_request_end(get(f), 0);
  assert_int_equal(counted(f, FCGI_METRIC_REFUSED), 1);
  assert_int_equal(counted(f, FCGI_METRIC_REQUESTS), 1);
}

static void test_a_body_that_stops_coming(void **state) {
  serving *f = *state;
  f->config.io_timeout_ms = LIMIT_MS;
  begin(f);
  records_open(&f->text->sent, 1);
  records_stdin(&f->text->sent, 1, "half");
  serving_send(f);
  await(f, FCGI_METRIC_TIMEOUTS_BODY, 1);
  assert_int_equal(counted(f, FCGI_METRIC_TIMEOUTS_OUTPUT), 0);
  assert_int_equal(lines_count(&f->log, "answered 408"), 1);
}

/* The body of a request, of as many bytes, in two records. */
static void send_body(serving *f, size_t len) {
  static const char bytes[2 * ROOM];
  records_open(&f->text->sent, 1);
  records_put(&f->text->sent, FCGI_RECORD_STDIN, 1, bytes, 1, 0);
  records_put(&f->text->sent, FCGI_RECORD_STDIN, 1, bytes, len - 1, 0);
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_content_length(request), len);
  fcgi_request_end(request, 0);
  serving_idle(f, 0);
}

/* Once for each of them, and not at its limit. */
static void test_bodies_that_go_to_a_file(void **state) {
  serving *f = *state;
  f->config.body_memory = ROOM;
  begin(f);
  send_body(f, ROOM);
  assert_int_equal(counted(f, FCGI_METRIC_SPILLS), 0);
  send_body(f, ROOM + 1);
  assert_int_equal(counted(f, FCGI_METRIC_SPILLS), 1);
  send_body(f, 2 * ROOM);
  assert_int_equal(counted(f, FCGI_METRIC_SPILLS), 2);
}

static void ask_library(serving *f, const char *path) {
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(&f->text->sent, 1, "SCRIPT_NAME", path);
  records_params_end(&f->text->sent, 1);
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
}

/* They are no requests for a handler. */
static void test_pages_of_the_library(void **state) {
  serving *f = *state;
  f->config.ping_path = "/ping";
  begin(f);
  ask_library(f, "/status");
  await(f, FCGI_METRIC_STATUS_PAGES, 1);
  ask_library(f, "/ping");
  await(f, FCGI_METRIC_STATUS_PAGES, 2);
  assert_int_equal(counted(f, FCGI_METRIC_REQUESTS), 0);
}

static void test_a_slow_request(void **state) {
  serving *f = *state;
  f->config.slow_log_ms = LIMIT_MS;
  begin(f);
  fcgi_request_end(get(f), 0);
  fcgi_request *request = get(f);
  await(f, FCGI_METRIC_SLOW, 1);
  serving_idle(f, 2 * LIMIT_MS);
  fcgi_request_end(request, 0);
  assert_int_equal(counted(f, FCGI_METRIC_SLOW), 1);
}

static void test_memory_of_requests(void **state) {
  serving *f = *state;
  begin(f);
  assert_int_equal(counted(f, FCGI_METRIC_MEMORY), 0);
  fcgi_request *request = get(f);
  assert_true(counted(f, FCGI_METRIC_MEMORY) > 0);
  fcgi_request_end(request, 0);
  await(f, FCGI_METRIC_MEMORY, 0);
}

static void test_peers_that_may_not_connect(void **state) {
  serving *f = *state;
  f->config.peer_users = "4294967294";
  begin(f);
  await(f, FCGI_METRIC_PEERS_REFUSED, 1);
  assert_int_equal(counted(f, FCGI_METRIC_ACCEPTED), 0);
  assert_int_equal(counted(f, FCGI_METRIC_OPEN), 0);
  assert_true(serving_is_closed(f, LONG_MS));
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_bytes_both_ways),
      SERVING_TEST(test_connections),
      SERVING_TEST(test_an_abort_by_the_web_server),
      SERVING_TEST(test_an_abort_by_the_end_of_the_connection),
      SERVING_TEST(test_an_abort_for_wrong_bytes),
      SERVING_TEST(test_an_abort_where_nobody_reads),
      SERVING_TEST(test_an_abort_by_a_stop),
      SERVING_TEST(test_an_abort_by_the_deadline),
      SERVING_TEST(test_a_request_that_is_refused),
      SERVING_TEST(test_a_body_that_stops_coming),
      SERVING_TEST(test_bodies_that_go_to_a_file),
      SERVING_TEST(test_pages_of_the_library),
      SERVING_TEST(test_a_slow_request),
      SERVING_TEST(test_memory_of_requests),
      SERVING_TEST(test_peers_that_may_not_connect),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}

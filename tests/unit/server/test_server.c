/* SPDX-License-Identifier: MIT */
/* Connections: kept, drained, timed out, stopped. */
#include "support/serving.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELLO                                                                  \
  "stdout 1 Content-Type: text/plain\r\nContent-Length: 3\r\n"                 \
  "Status: 200 OK\r\n\r\nhi\n\nstdout_end 1\n"
#define HELLO_END HELLO "end 1 app=0 status=0\n"

static void answer(fcgi_request *request) {
  assert_int_equal(fcgi_request_reply(request, 200, "text/plain", "hi\n", 3),
                   0);
}

/* A request that closes its connection; its body is still to come. */
static void open_once(serving *f) {
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, 0);
  records_params_end(&f->text->sent, 1);
}

static void test_request_is_answered(void **state) {
  serving *f = *state;
  records_get(&f->text->sent, 1);
  serving_send(f);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  serving_expect(f, HELLO_END);
}

static void test_connection_is_kept(void **state) {
  serving *f = *state;
  for (int i = 0; i < 3; i++) {
    records_get(&f->text->sent, 1);
    serving_send(f);
    answer(serving_take(f, FCGI_EVENT_REQUEST));
    serving_expect(f, HELLO_END);
  }
  assert_false(serving_is_closed(f, 0));
}

static void test_connection_is_closed_when_not_kept(void **state) {
  serving *f = *state;
  open_once(f);
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  serving_expect(f, HELLO_END);
  assert_true(serving_is_closed(f, 1000));
}

static void test_many_requests_in_flight(void **state) {
  serving *f = *state;
  for (uint16_t id = 1; id <= 64; id++)
    records_get(&f->text->sent, id);
  serving_send(f);
  fcgi_request *requests[64];
  for (int i = 0; i < 64; i++)
    requests[i] = serving_take(f, FCGI_EVENT_REQUEST);
  for (int i = 64; i-- > 0;) {
    assert_int_equal(fcgi_request_id(requests[i]), i + 1);
    assert_int_equal(fcgi_request_end(requests[i], 7), 0);
    char expected[64];
    snprintf(expected, sizeof expected,
             "stdout_end %d\nend %d app=7 status=0\n", i + 1, i + 1);
    serving_expect(f, expected);
  }
}

static void test_early_end_waits_for_stdin(void **state) {
  serving *f = *state;
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  records_stdin(&f->text->sent, 1, "some");
  serving_send(f);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  serving_expect(f, HELLO);
  records_stdin(&f->text->sent, 1, "more");
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  serving_idle(f, 20);
  serving_expect(f, "end 1 app=0 status=0\n");
  records_get(&f->text->sent, 1);
  serving_send(f);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  serving_expect(f, HELLO_END);
  assert_false(serving_is_closed(f, 0));
}

/* nginx stops sending the body once it has the head of the answer. */
static void test_early_end_gives_up_on_silence(void **state) {
  serving *f = *state;
  f->config.body = FCGI_BODY_STREAM;
  f->config.drain_silence_ms = 40;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  serving_send(f);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  serving_expect(f, HELLO);
  serving_idle(f, 60);
  serving_expect(f, "end 1 app=0 status=0\n");
  assert_true(serving_is_closed(f, 1000));
}

/* The unread body consists of records that would begin a request. */
static void test_unread_body_is_never_parsed(void **state) {
  serving *f = *state;
  records inner = {0};
  records_get(&inner, 2);
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  records_put(&f->text->sent, FCGI_RECORD_STDIN, 1, inner.data, inner.len, 0);
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  serving_idle(f, 20);
  serving_expect(f, HELLO_END);
  records_free(&inner);
}

static void test_draining_ends_at_its_byte_limit(void **state) {
  serving *f = *state;
  f->config.body = FCGI_BODY_STREAM;
  f->config.drain_bytes = 10;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  serving_send(f);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  records_stdin(&f->text->sent, 1, "more than ten bytes");
  serving_send(f);
  serving_idle(f, 20);
  serving_expect(f, HELLO_END);
}

static void test_half_closed_client_gets_its_answer(void **state) {
  serving *f = *state;
  records_get(&f->text->sent, 1);
  serving_send(f);
  shutdown(f->client, SHUT_WR);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  serving_idle(f, 20);
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_NONE);
  answer(request);
  serving_expect(f, HELLO_END);
  assert_true(serving_is_closed(f, 1000));
}

/* Its request and its end come in one report, and nothing comes later. */
static void test_half_close_beside_a_request_is_seen(void **state) {
  serving *f = *state;
  serving_idle(f, 20);
  records_get(&f->text->sent, 1);
  serving_send(f);
  shutdown(f->client, SHUT_WR);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  serving_expect(f, HELLO_END);
  assert_true(serving_is_closed(f, 10000));
}

static void test_client_gone_aborts(void **state) {
  serving *f = *state;
  f->config.events = 1u << FCGI_EVENT_ABORT;
  serving_restart(f);
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  close(f->client);
  f->client = -1;
  assert_ptr_equal(serving_take(f, FCGI_EVENT_ABORT), request);
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_CONNECTION);
  assert_int_equal(fcgi_request_write(request, "x", 1), FCGI_ERR_ABORTED);
  assert_int_equal(fcgi_request_end(request, 0), 0);
}

static void test_client_gone_mid_body_is_forgotten(void **state) {
  serving *f = *state;
  records_open(&f->text->sent, 1);
  records_stdin(&f->text->sent, 1, "part");
  serving_send(f);
  close(f->client);
  serving_idle(f, 30);
  f->client = serving_connect(f);
  records_get(&f->text->sent, 1);
  serving_send(f);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  serving_expect(f, HELLO_END);
}

static void test_abort_record_is_told(void **state) {
  serving *f = *state;
  f->config.events = 1u << FCGI_EVENT_ABORT;
  serving_restart(f);
  records_get(&f->text->sent, 1);
  records_abort(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_ptr_equal(serving_take(f, FCGI_EVENT_ABORT), request);
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_RECORD);
  answer(request);
  serving_expect(f, HELLO_END);
}

/* Nobody but the handler looks; the loss says more than the record did. */
static void test_loss_after_an_abort_record_is_told(void **state) {
  serving *f = *state;
  records_get(&f->text->sent, 1);
  records_abort(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_RECORD);
  close(f->client);
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_CONNECTION);
  fcgi_request_fail(request);
  f->client = serving_connect(f);
}

static void test_other_protocols_are_refused(void **state) {
  serving *f = *state;
  records_raw(&f->text->sent, "GET / HTTP/1.1\r\n\r\n", 18);
  serving_send(f);
  serving_idle(f, 20);
  assert_true(serving_is_closed(f, 1000));
}

static void test_header_timeout_closes(void **state) {
  serving *f = *state;
  f->config.header_timeout_ms = 30;
  serving_restart(f);
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, 1);
  serving_send(f);
  serving_idle(f, 60);
  assert_true(serving_is_closed(f, 1000));
}

static void test_idle_timeout_closes(void **state) {
  serving *f = *state;
  f->config.idle_timeout_ms = 30;
  serving_restart(f);
  records_get(&f->text->sent, 1);
  serving_send(f);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  serving_idle(f, 60);
  serving_expect(f, HELLO_END);
  assert_true(serving_is_closed(f, 1000));
}

static void test_stalled_body_is_answered_408(void **state) {
  serving *f = *state;
  f->config.io_timeout_ms = 30;
  f->config.drain_silence_ms = 10;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  serving_send(f);
  serving_idle(f, 80);
  serving_expect(f, "stdout 1 Content-Type: text/plain\r\n"
                    "Content-Length: 20\r\nStatus: 408 Request Timeout\r\n\r\n"
                    "408 Request Timeout\n\nstdout_end 1\n"
                    "end 1 app=0 status=0\n");
  assert_true(serving_is_closed(f, 1000));
}

static void test_graceful_stop_finishes_what_runs(void **state) {
  serving *f = *state;
  fcgi_server_event event = {.size = sizeof event};
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  serving_idle(f, 20);
  answer(request);
  serving_expect(f, HELLO_END);
  assert_int_equal(fcgi_server_next(f->server, &event, 1000), FCGI_ERR_CLOSED);
  assert_true(serving_is_closed(f, 1000));
}

static void test_stop_now_aborts_what_runs(void **state) {
  serving *f = *state;
  fcgi_server_event event = {.size = sizeof event};
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_server_stop(f->server, FCGI_STOP_NOW);
  assert_int_equal(fcgi_server_next(f->server, &event, 1000), FCGI_ERR_CLOSED);
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_STOP);
  assert_int_equal(fcgi_request_write(request, "x", 1), FCGI_ERR_ABORTED);
  fcgi_request_end(request, 0);
}

static void test_stopped_server_refuses_at_once(void **state) {
  serving *f = *state;
  fcgi_server_event event = {.size = sizeof event};
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  assert_int_equal(fcgi_server_next(f->server, &event, 1000), FCGI_ERR_CLOSED);
  char address[160];
  assert_true(fcgi_server_address(f->server, 0, address, sizeof address) < 0);
}

/* A handler in the only thread: nobody takes events meanwhile. */
static void test_stop_now_is_seen_without_taking_events(void **state) {
  serving *f = *state;
  char byte;
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_server_stop(f->server, FCGI_STOP_NOW);
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_STOP);
  assert_int_equal(fcgi_request_read(request, &byte, 1), FCGI_ERR_ABORTED);
  assert_int_equal(fcgi_request_write(request, "x", 1), FCGI_ERR_ABORTED);
  fcgi_request_end(request, 0);
}

static fcgi_request *begin_answer(serving *f) {
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_start(request, 200, NULL, 0), 0);
  assert_int_equal(fcgi_request_flush(request), 0);
  return request;
}

/* A part of an answer must not be ended as if it were the whole. */
static void test_stop_now_cuts_what_has_begun(void **state) {
  serving *f = *state;
  fcgi_request *request = begin_answer(f);
  fcgi_server_stop(f->server, FCGI_STOP_NOW);
  assert_int_equal(fcgi_request_write(request, "x", 1), FCGI_ERR_ABORTED);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_expect(f, "stdout 1 Status: 200 OK\r\n\r\n\n");
  assert_true(serving_is_closed(f, 1000));
}

static void test_stop_now_cuts_what_then_fails(void **state) {
  serving *f = *state;
  fcgi_request *request = begin_answer(f);
  fcgi_server_stop(f->server, FCGI_STOP_NOW);
  assert_int_equal(fcgi_request_fail(request), 0);
  serving_expect(f, "stdout 1 Status: 200 OK\r\n\r\n\n");
  assert_true(serving_is_closed(f, 1000));
}

/* The handler ends without reading what has filled the window. */
static void test_full_window_is_drained_after_the_end(void **state) {
  serving *f = *state;
  static char piece[60000];
  f->config.body = FCGI_BODY_STREAM;
  f->config.input_window = 50000;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  records_put(&f->text->sent, FCGI_RECORD_STDIN, 1, piece, sizeof piece, 0);
  serving_send(f);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  for (int i = 0; i < 20; i++) {
    records_put(&f->text->sent, FCGI_RECORD_STDIN, 1, piece, sizeof piece, 0);
    serving_send(f);
    serving_idle(f, 1);
  }
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  serving_idle(f, 10);
  serving_expect(f, HELLO_END);
  assert_false(serving_is_closed(f, 0));
}

static void test_status_without_a_body_drops_it(void **state) {
  serving *f = *state;
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_reply(request, 304, NULL, "body", 4), 0);
  serving_expect(f, "stdout 1 Status: 304 Not Modified\r\n\r\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_connections_are_limited(void **state) {
  serving *f = *state;
  f->config.limit_connections = 1;
  serving_restart(f);
  int second = serving_connect(f);
  records_get(&f->text->sent, 1);
  serving_send(f);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  close(f->client);
  f->client = second;
  records_get(&f->text->sent, 1);
  serving_send(f);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  serving_expect(f, HELLO_END);
}

static void test_listen_explains_a_failure(void **state) {
  serving *f = *state;
  assert_int_equal(fcgi_server_listen(f->server, "nonsense"), FCGI_ERR_INVALID);
  assert_non_null(strstr(fcgi_server_message(f->server), "nonsense"));
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_request_is_answered),
      SERVING_TEST(test_connection_is_kept),
      SERVING_TEST(test_connection_is_closed_when_not_kept),
      SERVING_TEST(test_many_requests_in_flight),
      SERVING_TEST(test_early_end_waits_for_stdin),
      SERVING_TEST(test_early_end_gives_up_on_silence),
      SERVING_TEST(test_unread_body_is_never_parsed),
      SERVING_TEST(test_draining_ends_at_its_byte_limit),
      SERVING_TEST(test_half_closed_client_gets_its_answer),
      SERVING_TEST(test_half_close_beside_a_request_is_seen),
      SERVING_TEST(test_client_gone_aborts),
      SERVING_TEST(test_client_gone_mid_body_is_forgotten),
      SERVING_TEST(test_abort_record_is_told),
      SERVING_TEST(test_loss_after_an_abort_record_is_told),
      SERVING_TEST(test_other_protocols_are_refused),
      SERVING_TEST(test_header_timeout_closes),
      SERVING_TEST(test_idle_timeout_closes),
      SERVING_TEST(test_stalled_body_is_answered_408),
      SERVING_TEST(test_graceful_stop_finishes_what_runs),
      SERVING_TEST(test_stop_now_aborts_what_runs),
      SERVING_TEST(test_stopped_server_refuses_at_once),
      SERVING_TEST(test_stop_now_is_seen_without_taking_events),
      SERVING_TEST(test_stop_now_cuts_what_has_begun),
      SERVING_TEST(test_stop_now_cuts_what_then_fails),
      SERVING_TEST(test_full_window_is_drained_after_the_end),
      SERVING_TEST(test_status_without_a_body_drops_it),
      SERVING_TEST(test_connections_are_limited),
      SERVING_TEST(test_listen_explains_a_failure),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
